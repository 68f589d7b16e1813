"""Greedy non-maximum suppression in NumPy.

Without torch, so that an exported network can run where torch is not even loaded.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lstmcli.core.types import FloatArray, IntArray

PRE_NMS_TOP_K = 10
"""NMS considers this many times the maximum number of detections, the highest scores."""

BLOCK = 128
"""Boxes that are compared with each other in one call."""

_PAIRWISE = 8
"""NumPy sums rows of as many numbers pairwise; shorter ones in their order."""

MIN_VOTE = 0.05
"""Objectness above which a prediction takes part in box voting."""


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
        rows = np.flatnonzero(class_max(scores)[:, 0] > threshold)
        labels = scores[rows].argmax(axis=1) if len(rows) else np.zeros(0, np.int64)
        values = scores[rows, labels]
    order = _best(values, PRE_NMS_TOP_K * limit)
    rows, labels = rows[order], labels[order]
    if multi_label and len(boxes) <= BLOCK:
        kept = _nms_of_few(boxes, rows, labels, scores.shape[1], iou)[:limit]
    else:
        kept = _greedy_nms(boxes[rows], labels if multi_label else None, iou, limit)
    return rows[kept].astype(np.int64), labels[kept].astype(np.int64)


def class_max(scores: FloatArray) -> FloatArray:
    """Return the highest score of each box, [M, 1], of scores [M, classes].

    Class by class, because NumPy reduces short rows one by one: 9 instead of 770 microseconds for
    5,120 boxes of four classes.
    """
    best = scores[:, :1].copy()
    for column in range(1, scores.shape[1]):
        np.maximum(best, scores[:, column : column + 1], out=best)
    return best


def class_sum(scores: FloatArray) -> FloatArray:
    """Return the sum of each box's scores, [M, 1], of scores [M, classes]; see `class_max`."""
    if scores.shape[1] >= _PAIRWISE:
        return np.asarray(scores.sum(axis=1, keepdims=True))
    total = scores[:, :1].copy()
    for column in range(1, scores.shape[1]):
        total += scores[:, column : column + 1]
    return total


def vote(boxes: FloatArray, objectness: FloatArray, rows: IntArray, iou: float) -> FloatArray:
    """Return some boxes as means of the predictions around them (box voting, 1505.01749).

    The best prediction of an object is seldom the one that is placed best; its neighbours agree on
    the place. Predictions without an objectness of `MIN_VOTE` neither vote nor change.

    Args:
        boxes: [M, 4]; objectness: [M], of all predictions of one frame.
        rows: [K] of the boxes that are wanted, for instance those that NMS kept.
        iou: predictions with a higher IoU with a box vote, weighted by their objectness.
    """
    wanted = boxes[rows]
    changed = np.flatnonzero(objectness[rows] > MIN_VOTE)
    if iou <= 0 or not len(changed):
        return wanted
    voters = np.flatnonzero(objectness > MIN_VOTE)
    agree = _overlaps(_columns(wanted[changed])[:, :, None], _columns(boxes[voters]), iou)
    weights = objectness[voters, None]
    sums = agree.astype(np.float32) @ np.concatenate((weights * boxes[voters], weights), axis=1)
    has_votes = sums[:, 4] > 0  # a box without an area overlaps nothing, not even itself
    wanted[changed[has_votes]] = sums[has_votes, :4] / sums[has_votes, 4:]
    return wanted


def _best(values: FloatArray, count: int) -> IntArray:
    """Return the rows of the highest values, at most `count`, the highest and the earlier first."""
    rows = np.arange(len(values))
    if 0 < count < len(values):  # sorting all candidates of a frame costs more than the rest
        rows = np.flatnonzero(values >= np.partition(values, -count)[-count])
    return rows[np.argsort(-values[rows], kind="stable")[:count]]


def _nms_of_few(
    boxes: FloatArray, rows: IntArray, labels: IntArray, classes: int, iou: float
) -> IntArray:
    """Return the kept ones of boxes with several classes each, best first.

    The boxes are compared once for all classes.

    Args:
        boxes: [M, 4].
        rows: [N] of boxes, best first.
        labels: [N], classes of these.
        classes: how many there are.
        iou: maximum overlap with a better box of the class.
    """
    columns = _columns(boxes)
    table = _overlaps(columns[:, :, None], columns, iou)
    first, second = np.nonzero(np.triu(table, 1))
    place = np.full((len(boxes), classes), -1, np.int64)
    place[rows, labels] = np.arange(len(rows))
    first, second = place[first].ravel(), place[second].ravel()
    both = np.flatnonzero((first >= 0) & (second >= 0))
    first, second = first[both], second[both]
    return _undisturbed(len(rows), np.minimum(first, second), np.maximum(first, second))


def _greedy_nms(boxes: FloatArray, labels: IntArray | None, iou: float, limit: int) -> IntArray:
    """Return the rows of the kept boxes, at most `limit`, best first.

    Box by box would take one NumPy call for every kept box; here it takes two for each `BLOCK`:
    boxes are suppressed by the kept ones first, then by each other.
    """
    columns = _columns(boxes)
    kept = np.zeros(0, np.int64)
    for begin in range(0, len(boxes), BLOCK):
        rows = np.arange(begin, min(begin + BLOCK, len(boxes)))
        if len(kept):
            covered = _overlaps(columns[:, kept, None], columns[:, rows], iou)
            if labels is not None:
                covered &= labels[kept, None] == labels[rows]
            rows = rows[~covered.any(axis=0)]
        some = columns[:, rows]
        table = _overlaps(some[:, :, None], some, iou)
        if labels is not None:
            table &= labels[rows, None] == labels[rows]
        first, second = np.divmod(np.flatnonzero(table), max(len(rows), 1))
        pairs = first < second
        rows = rows[_undisturbed(len(rows), first[pairs], second[pairs])]
        kept = np.concatenate((kept, rows))
        if len(kept) >= limit:
            break
    return kept[:limit]


def _undisturbed(count: int, better: IntArray, worse: IntArray) -> IntArray:
    """Return which of `count` boxes, best first, no kept better one overlaps.

    Args:
        count: of the boxes.
        better: [P], the better box of each pair that overlaps, in any order.
        worse: [P], the other one.
    """
    order = np.argsort(better, kind="stable")
    free = [True] * count
    for row, other in zip(better[order].tolist(), worse[order].tolist(), strict=True):
        if free[row]:
            free[other] = False
    return np.flatnonzero(free)


def _columns(boxes: FloatArray) -> FloatArray:
    """Return [5, N]: left, top, right, bottom and area of boxes."""
    columns = np.empty((5, len(boxes)), boxes.dtype)
    columns[:4] = boxes.T
    np.multiply(columns[2] - columns[0], columns[3] - columns[1], out=columns[4])
    return columns


def _overlaps(first: FloatArray, second: FloatArray, iou: float) -> npt.NDArray[np.bool_]:
    """Return which of the columns [5, N, 1] overlap which of the others [5, M] by more; [N, M]."""
    width = np.minimum(first[2], second[2])
    width -= np.maximum(first[0], second[0])
    np.maximum(width, 0, out=width)
    shared = np.minimum(first[3], second[3])
    shared -= np.maximum(first[1], second[1])
    np.maximum(shared, 0, out=shared)
    shared *= width
    union = first[4] + second[4]
    union -= shared
    union *= iou
    return np.asarray(shared > union)
