"""Greedy non-maximum suppression in NumPy.

Without torch, so that an exported network can run where torch is not even loaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.core.types import FloatArray, IntArray

PRE_NMS_TOP_K = 10
"""NMS considers this many times the maximum number of detections, the highest scores."""

BLOCK = 128
"""Boxes that are compared with each other in one call."""


def multiclass_nms(
    boxes: FloatArray,
    scores: FloatArray,
    *,
    threshold: float,
    iou: float,
    limit: int,
    multi_label: bool = False,
) -> tuple[FloatArray, FloatArray, IntArray]:
    """Return boxes [K, 4], scores [K] and labels [K] after NMS; see `nms`."""
    rows, labels = nms(
        boxes, scores, threshold=threshold, iou=iou, limit=limit, multi_label=multi_label
    )
    return boxes[rows], scores[rows, labels], labels


def nms(
    boxes: FloatArray,
    scores: FloatArray,
    *,
    threshold: float,
    iou: float,
    limit: int,
    multi_label: bool = False,
) -> tuple[IntArray, IntArray]:
    """Suppress boxes that overlap a box of their class with a higher score.

    Args:
        boxes: [M, 4]; scores: [M, classes], of all cells of one frame.
        threshold: minimum score, 0..1.
        iou: a box with a higher IoU with a better one is suppressed.
        limit: maximum number of detections.
        multi_label: a cell may have several classes (for average precision); otherwise only its
            best one, and classes suppress each other.

    Returns:
        rows and classes [K] of the kept boxes, best first.
    """
    if multi_label:
        rows, labels = np.nonzero(scores > threshold)
        values = scores[rows, labels]
    elif scores.shape[1] == 1:
        rows = np.flatnonzero(scores[:, 0] > threshold)
        labels = np.zeros(len(rows), np.int64)
        values = scores[rows, 0]
    else:
        rows = np.flatnonzero((scores > threshold).any(axis=1))
        labels = scores[rows].argmax(axis=1) if len(rows) else np.zeros(0, np.int64)
        values = scores[rows, labels]
    order = _best(values, PRE_NMS_TOP_K * limit)
    rows, labels = rows[order], labels[order]
    kept = _greedy_nms(boxes[rows], labels if multi_label else None, iou, limit)
    return rows[kept].astype(np.int64), labels[kept].astype(np.int64)


def _best(values: FloatArray, count: int) -> IntArray:
    """Return the rows of the highest values, at most `count`, the highest and the earlier first."""
    rows = np.arange(len(values))
    if 0 < count < len(values):  # sorting all candidates of a frame costs more than the rest
        rows = np.flatnonzero(values >= np.partition(values, -count)[-count])
    return rows[np.argsort(-values[rows], kind="stable")[:count]]


def _greedy_nms(boxes: FloatArray, labels: IntArray | None, iou: float, limit: int) -> IntArray:
    """Return the rows of the kept boxes, at most `limit`, best first.

    Box by box would take one NumPy call for every kept box; here it takes two for each `BLOCK`:
    boxes are suppressed by the kept ones first, then by each other.
    """
    sides = boxes[:, 2:] - boxes[:, :2]
    left, top, right, bottom = np.ascontiguousarray(boxes.T)
    columns = _Columns(left, top, right, bottom, sides[:, 0] * sides[:, 1], labels)
    kept: list[IntArray] = []
    count = 0
    for begin in range(0, len(boxes), BLOCK):
        rows = np.arange(begin, min(begin + BLOCK, len(boxes)))
        if kept:
            better = columns.at(np.concatenate(kept)).at(np.s_[:, None])
            rows = rows[~columns.at(rows).overlaps(better, iou).any(axis=0)]
        some = columns.at(rows)
        table = some.overlaps(some.at(np.s_[:, None]), iou)
        free = np.ones(len(rows), bool)
        for row in np.flatnonzero(table.sum(axis=1) > 1):  # each overlaps itself
            if free[row]:
                free[row + 1 :] &= ~table[row, row + 1 :]
        kept.append(rows[free])
        count += len(kept[-1])
        if count >= limit:
            break
    return np.concatenate(kept)[:limit] if kept else np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class _Columns:
    """Boxes by column, [N] each; labels are None where classes do not matter."""

    left: FloatArray
    top: FloatArray
    right: FloatArray
    bottom: FloatArray
    area: FloatArray
    labels: IntArray | None

    def at(self, row: Any) -> _Columns:
        labels = None if self.labels is None else self.labels[row]
        return _Columns(
            self.left[row],
            self.top[row],
            self.right[row],
            self.bottom[row],
            self.area[row],
            labels,
        )

    def overlaps(self, other: _Columns, iou: float) -> npt.NDArray[np.bool_]:
        """Return which of these others suppress, [N] for one box, [M, N] for [M, 1] boxes."""
        width = np.minimum(other.right, self.right) - np.maximum(other.left, self.left)
        height = np.minimum(other.bottom, self.bottom) - np.maximum(other.top, self.top)
        shared = np.maximum(width, 0) * np.maximum(height, 0)
        overlap: npt.NDArray[np.bool_] = shared > iou * (other.area + self.area - shared)
        return overlap if self.labels is None else overlap & (other.labels == self.labels)
