"""Which detection belongs to which truth: COCO's rules, counted once for all metrics.

A detection takes, the best score first, the free truth of its class that it overlaps most, if by at
least the asked intersection over union. One that finds none but lies in an ignored region (by that
share of its own area) counts neither way. An ignored box of a class below 0 covers every class.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np

from lstmcli.core.boxes import box_iou, box_overlap_of_first
from lstmcli.core.types import Annotations, BoolArray, Detections, FloatArray, IntArray
from lstmcli.metrics.frame_result import FrameResult

SAME_PLACE_IOU = 0.6
"""Answers of different classes that overlap more than this speak of the same object."""


@dataclass(frozen=True, slots=True)
class GroundTruthTable:
    """The boxes that count (ignored ones are left out), one row each, in the order of the results.

    Args:
        results: int64 [N], the row of the frame among the results.
        labels: int64 [N].
        tracks: int64 [N], -1 where unknown.
        boxes: [N, 4].
    """

    results: IntArray
    labels: IntArray
    tracks: IntArray
    boxes: FloatArray

    def __len__(self) -> int:
        return len(self.results)


@dataclass(frozen=True, slots=True)
class Matching:
    """Detections of all results and what became of them, one row each.

    Args:
        results: int64 [D], the row of the frame among the results.
        scores: float32 [D].
        labels: int64 [D].
        boxes: float32 [D, 4].
        truth: int64 [D], the row in the truth table that the detection found, -1 for none.
        ignored: bool [D], True where the detection counts neither way.
    """

    results: IntArray
    scores: FloatArray
    labels: IntArray
    boxes: FloatArray
    gt: IntArray
    ignored: BoolArray

    def by_truth(self, count: int) -> IntArray:
        """Return for each of `count` truth rows the row of the detection that found it, or -1."""
        rows = np.full(count, -1, np.int64)
        hits = np.flatnonzero(self.gt >= 0)
        rows[self.gt[hits]] = hits
        return rows


def match_frame(
    gt: Annotations, found: Detections, *, iou: float, by_class: bool = True
) -> tuple[IntArray, BoolArray]:
    """Return for each detection of a frame the row of its truth (-1: none), and if it is ignored.

    Args:
        truth: what somebody saw.
        found: what was found; equal scores are taken in the given order.
        iou: the least intersection over union of a match.
        by_class: False lets any class find any truth.
    """
    rows = np.full(len(found), -1, np.int64)
    ignored = np.zeros(len(found), np.bool_)
    if not len(found) or not len(gt):
        return rows, ignored
    overlap = np.where(
        gt.ignore[None, :],
        box_overlap_of_first(found.boxes, gt.boxes),
        box_iou(found.boxes, gt.boxes),
    )
    near = overlap >= iou
    if by_class:
        same = found.labels[:, None] == gt.labels[None, :]
        near &= same | (gt.ignore & (gt.labels < 0))[None, :]
    free = ~gt.ignore
    order = np.argsort(-found.scores, kind="stable")
    for row in order[near[order].any(axis=1)]:
        candidates = np.flatnonzero(near[row] & free)
        if len(candidates):
            # COCO lets the later one of two equal overlaps win.
            best = candidates[len(candidates) - 1 - np.argmax(overlap[row, candidates][::-1])]
            rows[row] = best
            free[best] = False
        else:
            ignored[row] = bool((near[row] & gt.ignore).any())
    return rows, ignored


def ground_truth_table(results: Sequence[FrameResult]) -> GroundTruthTable:
    """Return the boxes that count of all results."""
    kept = [np.flatnonzero(~result.gt.ignore) for result in results]
    counts = [len(rows) for rows in kept]
    pairs = list(zip(results, kept, strict=True))
    return GroundTruthTable(
        results=np.repeat(np.arange(len(results)), counts),
        labels=_joined([r.gt.labels[k] for r, k in pairs], np.zeros(0, np.int64)),
        tracks=_joined([r.gt.tracks[k] for r, k in pairs], np.zeros(0, np.int64)),
        boxes=_joined([r.gt.boxes[k] for r, k in pairs], np.zeros((0, 4), np.float32)),
    )


def match_all(
    results: Sequence[FrameResult],
    answers: Callable[[FrameResult], Detections],
    *,
    iou: float,
    by_class: bool = True,
) -> Matching:
    """Return what became of the detections that `answers` gives for each result."""
    parts, gts, ignores = [], [], []
    first = 0
    for result in results:
        found = answers(result)
        rows, ignored = match_frame(result.gt, found, iou=iou, by_class=by_class)
        counted = np.cumsum(~result.gt.ignore) - 1
        hits = rows >= 0
        rows[hits] = first + counted[rows[hits]]
        first += int((~result.gt.ignore).sum())
        parts.append(found)
        gts.append(rows)
        ignores.append(ignored)
    return Matching(
        results=np.repeat(np.arange(len(results)), [len(part) for part in parts]),
        scores=_joined([part.scores for part in parts], np.zeros(0, np.float32)),
        labels=_joined([part.labels for part in parts], np.zeros(0, np.int64)),
        boxes=_joined([part.boxes for part in parts], np.zeros((0, 4), np.float32)),
        gt=_joined(gts, np.zeros(0, np.int64)),
        ignored=_joined(ignores, np.zeros(0, np.bool_)),
    )


def class_agnostic_nms(found: Detections, *, iou: float = SAME_PLACE_IOU) -> Detections:
    """Return the best-scored answer of each place, whatever its class.

    An answer for every class is right for average precision, and wrong for the question what a
    person would see: there one object with two names is a false alarm more.
    """
    order = np.argsort(-found.scores, kind="stable")
    found = found.select(order)
    if len(found) < 2:
        return found
    covered = box_iou(found.boxes, found.boxes) > iou
    keep = np.ones(len(found), np.bool_)
    for row in np.flatnonzero(covered.sum(1) > 1):
        if keep[row]:
            keep[row + 1 :] &= ~covered[row, row + 1 :]
    return found.select(keep)


def above(found: Detections, threshold: float) -> Detections:
    """Return the detections of at least this score."""
    return found.select(found.scores >= threshold)


Column = TypeVar("Column", bound="np.ndarray[Any, Any]")


def _joined(columns: Sequence[Column], empty: Column) -> Column:
    return cast("Column", np.concatenate((empty, *columns)))
