"""Matching of detections with the ground truth by COCO's rules, once for all metrics.

Greedy, highest score first: a detection matches the unmatched ground-truth box of its class with
the highest IoU, if that reaches the IoU threshold. An unmatched detection that lies in an ignored
region (by that share of its own area) counts neither way. An ignored box of a class below 0 is of
every class.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import numpy as np

from lstmcli.core.boxes import box_iou, box_overlap_of_first
from lstmcli.core.types import Annotations, BoolArray, Detections, FloatArray, IntArray
from lstmcli.metrics.frame_result import FrameResult

DUPLICATE_IOU = 0.6
"""Detections of different classes that overlap by more are duplicates of one object."""


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
    """Detections of all results with the ground truth that they match, one row each.

    Args:
        results: int64 [D], the row of the frame among the results.
        scores: float32 [D].
        labels: int64 [D].
        boxes: float32 [D, 4].
        gt: int64 [D], the matched row of the ground-truth table, -1 for none.
        ignored: bool [D], True where the detection counts neither way.
    """

    results: IntArray
    scores: FloatArray
    labels: IntArray
    boxes: FloatArray
    gt: IntArray
    ignored: BoolArray

    def by_gt(self, count: int) -> IntArray:
        """Return the matched detection of each of `count` ground-truth rows, -1 for none."""
        rows = np.full(count, -1, np.int64)
        hits = np.flatnonzero(self.gt >= 0)
        rows[self.gt[hits]] = hits
        return rows


def match_frame(
    gt: Annotations, detections: Detections, *, iou: float, by_class: bool = True
) -> tuple[IntArray, BoolArray]:
    """Return the matched ground-truth row of each detection (-1: none), and which are ignored.

    Args:
        gt: ground truth of the frame.
        detections: of the frame; equal scores are matched in the given order.
        iou: minimum intersection over union of a match.
        by_class: False matches boxes of different classes, too.
    """
    rows = np.full(len(detections), -1, np.int64)
    ignored = np.zeros(len(detections), np.bool_)
    if not len(detections) or not len(gt):
        return rows, ignored
    overlap = np.where(
        gt.ignore[None, :],
        box_overlap_of_first(detections.boxes, gt.boxes),
        box_iou(detections.boxes, gt.boxes),
    )
    near = overlap >= iou
    if by_class:
        same = detections.labels[:, None] == gt.labels[None, :]
        near &= same | (gt.ignore & (gt.labels < 0))[None, :]
    free = ~gt.ignore
    order = np.argsort(-detections.scores, kind="stable")
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
    """Return the ground-truth boxes of all results but the ignored ones."""
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
    select: Callable[[FrameResult], Detections],
    *,
    iou: float,
    by_class: bool = True,
) -> Matching:
    """Match the detections that `select` takes of each result."""
    parts, gts, ignores = [], [], []
    first = 0
    for result in results:
        detections = select(result)
        rows, ignored = match_frame(result.gt, detections, iou=iou, by_class=by_class)
        counted = np.cumsum(~result.gt.ignore) - 1
        hits = rows >= 0
        rows[hits] = first + counted[rows[hits]]
        first += int((~result.gt.ignore).sum())
        parts.append(detections)
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


def class_agnostic_nms(detections: Detections, *, iou: float = DUPLICATE_IOU) -> Detections:
    """Greedy NMS across classes.

    Average precision by class wants a detection for every class; with all classes taken as one, the
    second class of an object is a false positive.
    """
    order = np.argsort(-detections.scores, kind="stable")
    detections = detections.select(order)
    if len(detections) < 2:
        return detections
    covered = box_iou(detections.boxes, detections.boxes) > iou
    keep = np.ones(len(detections), np.bool_)
    for row in np.flatnonzero(covered.sum(1) > 1):
        if keep[row]:
            keep[row + 1 :] &= ~covered[row, row + 1 :]
    return detections.select(keep)


def above(detections: Detections, threshold: float) -> Detections:
    """Return the detections of at least this score."""
    return detections.select(detections.scores >= threshold)


Column = TypeVar("Column", bound="np.ndarray[Any, Any]")


def _joined(columns: Sequence[Column], empty: Column) -> Column:
    return cast("Column", np.concatenate((empty, *columns)))
