"""Mosaic augmentation: four clips side by side in one (YOLOv4, 2004.10934, section 3.3).

Small parts of many pictures vary scale, context and neighbours more than one crop does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lstmcli.core.types import BoolArray, FloatArray, IntArray, no_boxes

NARROWEST = 0.3
"""Share of the side that a tile has at least."""


@dataclass(frozen=True, slots=True)
class FrameTargets:
    """The ground truth of one picture of the network.

    Args:
        boxes: float32 [N, 4] in pixels of the picture.
        labels: int64 [N]; an ignored region may have any class.
        ignore: bool [N].
        scores: float32 [N] in 0..1, how sure each label is.
    """

    boxes: FloatArray
    labels: IntArray
    ignore: BoolArray
    scores: FloatArray

    def __len__(self) -> int:
        return len(self.boxes)


@dataclass(frozen=True, slots=True)
class Tile:
    """A part of the picture: (top, left) and (height, width) in pixels."""

    top: int
    left: int
    size_hw: tuple[int, int]


def draw_tiles(rng: np.random.Generator, size_hw: tuple[int, int]) -> tuple[Tile, ...]:
    """Draw four tiles around a common corner, row by row.

    Args:
        rng: decides the corner.
        size_hw: (height, width) of the picture.
    """
    y, x = (round(float(rng.uniform(NARROWEST, 1 - NARROWEST)) * side) for side in size_hw)
    height, width = size_hw
    return (
        Tile(0, 0, (y, x)),
        Tile(0, x, (y, width - x)),
        Tile(y, 0, (height - y, x)),
        Tile(y, x, (height - y, width - x)),
    )


def join_pictures(parts: Sequence[Tensor]) -> Tensor:
    """Return pictures [T, 3, h, w] of those of four tiles, row by row."""
    rows = [torch.cat((parts[n], parts[n + 1]), dim=-1) for n in (0, 2)]
    return torch.cat(rows, dim=-2)


def join_targets(
    tiles: Sequence[Tile], parts: Sequence[FrameTargets | None]
) -> FrameTargets | None:
    """Return the ground truth of a picture of tiles; one that is not annotated is ignored.

    Args:
        tiles: where each part lies.
        parts: the ground truth of each in its own pixels, None where it is not annotated.
    """
    if all(part is None for part in parts):
        return None
    moved = []
    for tile, part in zip(tiles, parts, strict=True):
        offset = np.array((tile.left, tile.top) * 2, np.float32)
        if part is None:
            height, width = tile.size_hw
            whole = np.array([(0, 0, width, height)], np.float32)
            one = np.ones(1, np.float32)
            moved.append((whole + offset, np.zeros(1, np.int64), np.ones(1, np.bool_), one))
        else:
            moved.append((part.boxes + offset, part.labels, part.ignore, part.scores))
    boxes, labels, ignore, scores = (np.concatenate(column) for column in zip(*moved, strict=True))
    return FrameTargets(boxes if len(boxes) else no_boxes(), labels, ignore, scores)
