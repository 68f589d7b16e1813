"""The few answers that are kept of all cells' (greedy non-maximum suppression), in NumPy alone.

Without torch, so that an exported network can run where torch is not even loaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.core.types import FloatArray, IntArray

PRE_NMS_TOP_K = 10
"""This many times the number of answers take part; weaker ones are not looked at."""

AT_ONCE = 128
"""So many boxes are compared with each other in one go."""


def multiclass_nms(
    boxes: FloatArray,
    scores: FloatArray,
    *,
    threshold: float,
    iou: float,
    limit: int,
    multi_label: bool = False,
) -> tuple[FloatArray, FloatArray, IntArray]:
    """Return boxes [K, 4], scores [K] and labels [K] of the best answers; see `nms`."""
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
    """Keep the answers above the threshold that no better one of their class overlaps.

    Args:
        boxes: [M, 4]; scores: [M, classes], of all cells of one frame.
        threshold: smallest score that is kept, 0..1.
        iou: a box that overlaps a better one by more is dropped.
        limit: how many are kept at the most.
        multi_label: a cell may answer with several classes (for average precision); otherwise
            only with its best, and classes suppress each other.

    Returns:
        the rows and the classes [K] of the answers that are kept, best first.
    """
    if multi_label:
        rows, labels = np.nonzero(scores > threshold)
        values = scores[rows, labels]
    else:
        labels = scores.argmax(axis=1) if len(scores) else np.zeros(0, np.int64)
        values = scores[np.arange(len(scores)), labels]
        rows = np.nonzero(values > threshold)[0]
        values, labels = values[rows], labels[rows]
    order = np.argsort(-values, kind="stable")[: PRE_NMS_TOP_K * limit]
    rows, labels = rows[order], labels[order]
    kept = _greedy_nms(boxes[rows], labels if multi_label else None, iou, limit)
    return rows[kept].astype(np.int64), labels[kept].astype(np.int64)


def _greedy_nms(boxes: FloatArray, labels: IntArray | None, iou: float, limit: int) -> IntArray:
    """Return the places of the boxes that stay, at most `limit`; the best come first.

    Box by box would be as many calls of NumPy as boxes stay; here it is two for each `AT_ONCE`:
    what the kept ones overlap goes first, then those that are left go through among themselves.
    """
    sides = boxes[:, 2:] - boxes[:, :2]
    left, top, right, bottom = np.ascontiguousarray(boxes.T)
    columns = _Columns(left, top, right, bottom, sides[:, 0] * sides[:, 1], labels)
    kept: list[IntArray] = []
    count = 0
    for begin in range(0, len(boxes), AT_ONCE):
        places = np.arange(begin, min(begin + AT_ONCE, len(boxes)))
        if kept:
            better = columns.at(np.concatenate(kept)).at(np.s_[:, None])
            places = places[~columns.at(places).overlaps(better, iou).any(axis=0)]
        some = columns.at(places)
        table = some.overlaps(some.at(np.s_[:, None]), iou)
        free = np.ones(len(places), bool)
        for place in range(len(places)):
            if free[place]:
                free[place + 1 :] &= ~table[place, place + 1 :]
        kept.append(places[free])
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

    def at(self, place: Any) -> _Columns:
        labels = None if self.labels is None else self.labels[place]
        return _Columns(
            self.left[place],
            self.top[place],
            self.right[place],
            self.bottom[place],
            self.area[place],
            labels,
        )

    def overlaps(self, other: _Columns, iou: float) -> npt.NDArray[np.bool_]:
        """Return whether others overlap each of these too much, [N] for one, [M, N] for [M, 1]."""
        width = np.minimum(other.right, self.right) - np.maximum(other.left, self.left)
        height = np.minimum(other.bottom, self.bottom) - np.maximum(other.top, self.top)
        shared = np.maximum(width, 0) * np.maximum(height, 0)
        found: npt.NDArray[np.bool_] = shared > iou * (other.area + self.area - shared)
        return found if self.labels is None else found & (other.labels == self.labels)
