"""The few answers that are kept of all cells' (greedy non-maximum suppression), in NumPy alone.

Without torch, so that an exported network can run where torch is not even loaded.
"""

from __future__ import annotations

import numpy as np

from lstmcli.core.structures import FloatArray, IntArray

CANDIDATES = 10
"""This many times the number of answers take part; weaker ones are not looked at."""


def keep_best(
    boxes: FloatArray,
    scores: FloatArray,
    *,
    threshold: float,
    iou: float,
    limit: int,
    multi_label: bool = False,
) -> tuple[FloatArray, FloatArray, IntArray]:
    """Return boxes [K, 4], scores [K] and labels [K] of the best answers; see `keep_rows`."""
    rows, labels = keep_rows(
        boxes, scores, threshold=threshold, iou=iou, limit=limit, multi_label=multi_label
    )
    return boxes[rows], scores[rows, labels], labels


def keep_rows(
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
    order = np.argsort(-values, kind="stable")[: CANDIDATES * limit]
    rows, labels = rows[order], labels[order]
    kept = _survivors(boxes[rows], labels if multi_label else None, iou, limit)
    return rows[kept].astype(np.int64), labels[kept].astype(np.int64)


def _survivors(boxes: FloatArray, labels: IntArray | None, iou: float, limit: int) -> list[int]:
    """Return the places of the boxes that stay, at most `limit`; the best come first."""
    left, top, right, bottom = boxes.T
    areas = (right - left) * (bottom - top)
    free = np.ones(len(boxes), bool)
    kept: list[int] = []
    place = 0
    while len(kept) < limit:
        while place < len(free) and not free[place]:
            place += 1
        if place == len(free):
            break
        kept.append(place)
        rest = slice(place + 1, None)
        width = np.minimum(right[place], right[rest]) - np.maximum(left[place], left[rest])
        height = np.minimum(bottom[place], bottom[rest]) - np.maximum(top[place], top[rest])
        shared = np.maximum(width, 0) * np.maximum(height, 0)
        overlaps = shared > iou * (areas[place] + areas[rest] - shared)
        if labels is not None:
            overlaps &= labels[rest] == labels[place]
        free[rest] &= ~overlaps
        place += 1
    return kept
