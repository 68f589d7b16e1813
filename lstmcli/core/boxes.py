"""Boxes and canvases in NumPy: area, overlap, letterbox and its inverse."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from lstmcli.core.types import FloatArray


def box_area(boxes: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Return the areas [N] of boxes [N, 4] in square pixels; 0 where a box is turned inside out."""
    width = np.maximum(boxes[:, 2] - boxes[:, 0], 0)
    return np.asarray(width * np.maximum(boxes[:, 3] - boxes[:, 1], 0))


def _intersections(
    first: npt.NDArray[np.floating], second: npt.NDArray[np.floating]
) -> npt.NDArray[np.floating]:
    """Return the common area of every pair, [N, M] in square pixels."""
    # side by side in columns, in place: a third of the time of arrays [N, M, 2]
    shared = np.minimum(first[:, None, 2], second[None, :, 2])
    shared -= np.maximum(first[:, None, 0], second[None, :, 0])
    np.maximum(shared, 0, out=shared)
    height = np.minimum(first[:, None, 3], second[None, :, 3])
    height -= np.maximum(first[:, None, 1], second[None, :, 1])
    np.maximum(height, 0, out=height)
    shared *= height
    return np.asarray(shared)


def exact_box_iou(
    first: npt.NDArray[np.floating], second: npt.NDArray[np.floating]
) -> npt.NDArray[np.floating]:
    """Return the intersection over union of every pair [N, M] in the precision of the boxes."""
    overlap = _intersections(first, second)
    union = box_area(first)[:, None] + box_area(second)[None, :]
    union -= overlap
    np.maximum(union, 1e-9, out=union)
    overlap /= union
    return overlap


def box_iou(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return the intersection over union of every pair, float32 [N, M] in 0..1."""
    return np.asarray(exact_box_iou(first, second), np.float32)


def paired_box_iou(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return the intersection over union of the boxes in the same rows, [N] in 0..1."""
    sides = np.minimum(first[:, 2:], second[:, 2:])
    sides -= np.maximum(first[:, :2], second[:, :2])
    np.maximum(sides, 0, out=sides)
    shared = sides[:, 0] * sides[:, 1]
    union = box_area(first) + box_area(second)
    union -= shared
    np.maximum(union, 1e-9, out=union)
    return np.asarray(shared / union)


def box_overlap_of_first(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return which share of each first box lies inside each second one, float32 [N, M] in 0..1."""
    overlap = _intersections(first, second)
    return np.asarray(overlap / np.maximum(box_area(first)[:, None], 1e-9), np.float32)


def clip_boxes(boxes: FloatArray, size_hw: tuple[int, int]) -> FloatArray:
    """Return boxes cut to a picture of (height, width) pixels."""
    height, width = size_hw
    limits = np.array((width, height, width, height), np.float32)
    return np.asarray(np.clip(boxes, 0, limits), np.float32)


Fit = Literal["center", "corner", "stretch"]
"""Placement of a picture on a canvas: in the middle of grey bars, in the upper left corner before
them, or stretched to the whole canvas."""
LETTERBOX_GREY = 114
"""The level of the bars of a canvas, 0..255."""
SKIPS_PIXELS = 2.0
"""Bilinear interpolation between two pixels skips others where it shrinks by more."""


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Lays a picture on a canvas; unstretched and centred on grey bars unless `fit` says otherwise.

    Args:
        source_hw: (height, width) of the picture as shown.
        canvas_hw: (height, width) of the canvas.
        fit: our networks take `center`; foreign ones take what they were trained with.
    """

    source_hw: tuple[int, int]
    canvas_hw: tuple[int, int]
    fit: Fit = "center"

    @property
    def inner_hw(self) -> tuple[int, int]:
        """(height, width) of the scaled picture on the canvas, in whole pixels, at least 1."""
        if self.fit == "stretch":
            return self.canvas_hw
        scale = min(self.canvas_hw[0] / self.source_hw[0], self.canvas_hw[1] / self.source_hw[1])
        return (
            max(1, min(self.canvas_hw[0], round(self.source_hw[0] * scale))),
            max(1, min(self.canvas_hw[1], round(self.source_hw[1] * scale))),
        )

    @property
    def is_unfiltered(self) -> bool:
        """Whether the picture is interpolated between neighbours only, not averaged.

        Foreign detectors were trained on pictures shrunk without a filter; they get the same as
        long as no pixel is skipped. Ours are trained on filtered pictures.
        """
        sides = zip(self.source_hw, self.inner_hw, strict=True)
        shrinks = [source / inner for source, inner in sides]
        return self.fit != "center" and 1 < max(shrinks) <= SKIPS_PIXELS

    @property
    def offset_yx(self) -> tuple[int, int]:
        """(y, x) of the scaled picture's upper left corner on the canvas, in pixels."""
        if self.fit != "center":
            return 0, 0
        inner = self.inner_hw
        return (self.canvas_hw[0] - inner[0]) // 2, (self.canvas_hw[1] - inner[1]) // 2

    def minimal_canvas(self, multiple: int) -> Letterbox:
        """Return the letterbox with the smallest canvas that shows the picture as large as here.

        Args:
            multiple: of which the new canvas's sides are, where the old ones are not less.
        """
        sides = zip(self.inner_hw, self.canvas_hw, strict=True)
        height, width = (min(-(-inner // multiple) * multiple, side) for inner, side in sides)
        return replace(self, canvas_hw=(height, width))

    def turned_canvas(self) -> Letterbox:
        """Return the letterbox whose canvas is upright or wide, as shows the picture larger."""
        turned = replace(self, canvas_hw=(self.canvas_hw[1], self.canvas_hw[0]))
        return turned if turned.inner_hw[0] > self.inner_hw[0] else self

    def _scale_and_shift(self) -> tuple[FloatArray, FloatArray]:
        (inner_h, inner_w), (top, left) = self.inner_hw, self.offset_yx
        x, y = inner_w / self.source_hw[1], inner_h / self.source_hw[0]
        return np.array((x, y, x, y), np.float32), np.array((left, top, left, top), np.float32)

    def to_canvas(self, boxes: FloatArray) -> FloatArray:
        """Return boxes of the picture in pixels of the canvas."""
        scale, shift = self._scale_and_shift()
        return np.asarray(boxes * scale + shift, np.float32)

    def to_source(self, boxes: FloatArray) -> FloatArray:
        """Return boxes of the canvas in pixels of the picture, cut to it."""
        scale, shift = self._scale_and_shift()
        return clip_boxes(np.asarray((boxes - shift) / scale, np.float32), self.source_hw)
