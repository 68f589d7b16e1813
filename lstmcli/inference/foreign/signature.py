"""Signature of a network, from which its layout is recognised, and decoder of the layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lstmcli.core.types import FloatArray, IntArray
from lstmcli.inference.foreign.preprocessing import Preprocessing

Array = npt.NDArray[Any]
Outputs = Mapping[str, Array]
"""A network's outputs for one frame, in the file's order, by name."""

NO_NMS = 1.0
"""An IoU that no two boxes exceed: the network has NMS inside."""
GRIDS: tuple[tuple[int, ...], ...] = (
    (8, 16, 32),
    (8, 16, 32, 64),
    (8, 16, 32, 64, 128),
    (4, 8, 16, 32),
)
"""Common strides of one-stage detectors."""


@dataclass(frozen=True, slots=True)
class Signature:
    """Shapes and values by which the layout of a network is recognised.

    Args:
        outputs: of a frame of grey and noise.
        canvas_hw: (height, width) of its input.
        class_count: number of listed class names; None without a list.
        input_names: of its inputs.
    """

    outputs: Outputs
    canvas_hw: tuple[int, int]
    class_count: int | None = None
    input_names: tuple[str, ...] = ()


class Decode(Protocol):
    """Turns outputs into boxes."""

    def __call__(self, outputs: Outputs) -> tuple[FloatArray, FloatArray]:
        """Return boxes [M, 4] in pixels of the canvas and scores [M, columns]."""


@dataclass(frozen=True, slots=True)
class Decoder:
    """A recognised layout.

    Args:
        decode: boxes and scores of one frame's outputs.
        columns: of the scores; None for labelled boxes with an unknown number of classes.
        preprocessing: of the training of such networks.
        nms_iou: IoU above which NMS suppresses the lower of two scores; `NO_NMS` for none.
        max_detections: maximum number of boxes.
    """

    decode: Decode
    columns: int | None
    preprocessing: Preprocessing
    nms_iou: float = NO_NMS
    max_detections: int = 300


class Recognize(Protocol):
    """Recognises a layout."""

    def __call__(self, signature: Signature) -> Decoder | None:
        """Return the decoder of such outputs, None for another layout."""


def scores_of_labels(
    boxes: FloatArray, values: FloatArray, labels: IntArray
) -> tuple[FloatArray, FloatArray]:
    """Convert labelled boxes to one row a box with a score for every class.

    A box with several labels becomes one row, as in the network; otherwise each of its labels would
    be a separate detection.

    Args:
        boxes: [N, 4]; values: scores [N]; labels: classes [N], from 0.
    """
    rows, owner = np.unique(boxes, axis=0, return_inverse=True)
    scores = np.zeros((len(rows), int(labels.max(initial=0)) + 1), np.float32)
    np.maximum.at(scores, (owner.reshape(-1), labels), values)
    return rows.astype(np.float32), scores


def best_class_only(scores: FloatArray) -> FloatArray:
    """Return scores [N, C] with all but each box's best class at 0, as in YOLOX and PicoDet."""
    rows, best = np.arange(len(scores)), scores.argmax(axis=1)
    kept = np.zeros_like(scores)
    kept[rows, best] = scores[rows, best]
    return kept


def sigmoid(values: Array) -> FloatArray:
    """Return the logistic function, without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * values)), np.float32)


def softmax(values: Array) -> FloatArray:
    """Return the softmax over the last axis."""
    powers = np.exp(values - values.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), np.float32)


def corners_of(centers: FloatArray) -> FloatArray:
    """Return boxes (center x, center y, width, height) [N, 4] as (x1, y1, x2, y2)."""
    half = centers[:, 2:] / 2
    return np.concatenate((centers[:, :2] - half, centers[:, :2] + half), axis=1)


def level_sizes(canvas_hw: tuple[int, int], strides: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return the (rows, columns) of each level's grid."""
    return [(-(-canvas_hw[0] // stride), -(-canvas_hw[1] // stride)) for stride in strides]


def find_strides(canvas_hw: tuple[int, int], rows: int) -> tuple[tuple[int, ...], int] | None:
    """Return the strides and the boxes a cell of a network with so many boxes, None for none."""
    for strides in GRIDS:
        cells = sum(height * width for height, width in level_sizes(canvas_hw, strides))
        for boxes_a_cell in (1, 3):
            if rows == cells * boxes_a_cell:
                return strides, boxes_a_cell
    return None


def cell_grid(
    canvas_hw: tuple[int, int], strides: tuple[int, ...]
) -> tuple[FloatArray, FloatArray]:
    """Return each cell's (column, row) [N, 2] and stride [N, 1], level by level, row by row."""
    cells, sizes = [], []
    for stride, (height, width) in zip(strides, level_sizes(canvas_hw, strides), strict=True):
        y, x = np.mgrid[:height, :width]
        cells.append(np.stack((x.ravel(), y.ravel()), axis=1))
        sizes.append(np.full((height * width, 1), stride))
    return np.concatenate(cells).astype(np.float32), np.concatenate(sizes).astype(np.float32)
