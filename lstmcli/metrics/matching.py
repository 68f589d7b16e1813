"""Matching of detections with the ground truth by COCO's rules, once for all metrics.

Greedy, highest score first: a detection matches the unmatched ground-truth box of its class with
the highest IoU, if that reaches the IoU threshold. An unmatched detection that lies in an ignored
region (by that share of its own area) counts neither way. An ignored box of a class below 0 is of
every class.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar, cast

import numpy as np

from lstmcli.core.boxes import box_area, box_iou, paired_box_iou
from lstmcli.core.types import Annotations, BoolArray, Detections, FloatArray, IntArray
from lstmcli.metrics.frame_result import FrameResult

DUPLICATE_IOU = 0.6
"""Detections of different classes that overlap by more are duplicates of one object."""


PAIRS_AT_ONCE = 1_000_000
"""Detections times ground truth of the frames that are matched in one go."""


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


@dataclass(frozen=True)
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

    @cached_property
    def ranked(self) -> IntArray:
        """int64 [D], rows by class, the best score of each first."""
        return np.lexsort((-self.scores, self.labels))

    def ranked_of(self, label: int, counted: BoolArray) -> IntArray:
        """Return the counted rows of a class, the best score first."""
        begin, end = np.searchsorted(self.labels, (label, label + 1), sorter=self.ranked)
        rows = self.ranked[begin:end]
        return rows[counted[rows]]

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
    frame = np.zeros(len(gt), np.int64), np.zeros(len(detections), np.int64)
    return _match(gt, detections, frame, 1, iou=iou, by_class=by_class)


def _match(
    gt: Annotations,
    detections: Detections,
    frames: tuple[IntArray, IntArray],
    count: int,
    *,
    iou: float,
    by_class: bool,
) -> tuple[IntArray, BoolArray]:
    """Match the boxes of many frames at once; see `match_frame`.

    Args:
        gt: ground truth of all frames.
        detections: of all frames.
        frames: numbers of the frames of each of them, rising.
        count: of the frames.
        iou: minimum intersection over union of a match.
        by_class: False matches boxes of different classes, too.
    """
    rows, touched = [-1] * len(detections), np.zeros(len(detections), np.bool_)
    free = [True] * len(gt)
    for pairs in matchable_pairs(gt, detections, frames, count, by_class=by_class):
        first, second = pairs
        ignore = gt.ignore[second]
        overlap = _overlap(detections.boxes[first], gt.boxes[second], ignore)
        near = overlap >= iou
        touched[first[near & ignore]] = True
        kept = np.flatnonzero(near & ~ignore)
        # COCO lets the later one of two equal overlaps win.
        scores = detections.scores[first[kept]]
        order = np.lexsort((-second[kept], -overlap[kept], first[kept], -scores))
        kept = kept[order]
        for row, other in zip(first[kept].tolist(), second[kept].tolist(), strict=True):
            if rows[row] < 0 and free[other]:
                rows[row], free[other] = other, False
    matched = np.array(rows, np.int64)
    return matched, touched & (matched < 0)


def matchable_pairs(
    gt: Annotations,
    detections: Detections,
    frames: tuple[IntArray, IntArray],
    count: int,
    *,
    by_class: bool = True,
) -> Iterator[tuple[IntArray, IntArray]]:
    """Yield rows of detections and of ground truth of one frame and class, some frames at a time.

    Args:
        gt: ground truth of all frames.
        detections: of all frames.
        frames: numbers of the frames of each of them, rising.
        count: of the frames.
        by_class: False pairs boxes of different classes, too.
    """
    gt_ends = np.searchsorted(frames[0], np.arange(count + 1))
    ends = np.searchsorted(frames[1], np.arange(count + 1))
    sizes = np.cumsum(np.diff(gt_ends) * np.diff(ends))
    begin = 0
    while begin < count:
        before = sizes[begin - 1] if begin else 0
        end = max(int(np.searchsorted(sizes, before + PAIRS_AT_ONCE, side="right")), begin + 1)
        some = np.arange(ends[begin], ends[end])
        partners = np.diff(gt_ends)[frames[1][some]]
        first = np.repeat(some, partners)
        offsets = np.arange(len(first)) - np.repeat(np.cumsum(partners) - partners, partners)
        second = np.repeat(gt_ends[frames[1][some]], partners) + offsets
        if by_class:
            labels = gt.labels[second]
            same = (detections.labels[first] == labels) | (gt.ignore[second] & (labels < 0))
            first, second = first[same], second[same]
        yield first, second
        begin = end


def _overlap(first: FloatArray, second: FloatArray, crowd: BoolArray) -> FloatArray:
    """Return the IoU of each pair, [N].

    An ignored region is a crowd, as COCO has it: the detection has to lie inside, and the overlap
    is the share of its own area.
    """
    overlap = np.asarray(paired_box_iou(first, second), np.float32)
    rows = np.flatnonzero(crowd)
    if len(rows):
        overlap[rows] = _share_inside(first[rows], second[rows])
    return overlap


def _share_inside(first: FloatArray, second: FloatArray) -> FloatArray:
    sides = np.minimum(first[:, 2:], second[:, 2:]) - np.maximum(first[:, :2], second[:, :2])
    np.maximum(sides, 0, out=sides)
    shared = sides[:, 0] * sides[:, 1]
    return np.asarray(shared / np.maximum(box_area(first), 1e-9), np.float32)


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


@dataclass(frozen=True, slots=True)
class JoinedResults:
    """Boxes of all results in a row, joined once for several matchings.

    Args:
        count: of the results.
        gt: ground truth, ignored boxes too.
        gt_frames: int64, the row of each box's result.
        detections: that `detect` outputs.
        frames: int64, the row of each one's result.
    """

    count: int
    gt: Annotations
    gt_frames: IntArray
    detections: Detections
    frames: IntArray

    @classmethod
    def of(cls, results: Sequence[FrameResult]) -> JoinedResults:
        """Join results."""
        detections = joined_detections([result.detections for result in results])
        return cls(len(results), *joined_ground_truth(results), *detections)

    def match(self, *, iou: float, threshold: float = 0, by_class: bool = True) -> Matching:
        """Match the detections of at least a score."""
        rows = np.flatnonzero(self.detections.scores >= threshold)
        found = self.detections.select(rows), self.frames[rows]
        return self.match_others(*found, iou=iou, by_class=by_class)

    def match_others(
        self, detections: Detections, frames: IntArray, *, iou: float, by_class: bool = True
    ) -> Matching:
        """Match other detections of the same frames.

        Args:
            detections: of all frames.
            frames: int64, the row of each one's result, rising.
            iou: minimum intersection over union of a match.
            by_class: False matches boxes of different classes, too.
        """
        both = self.gt_frames, frames
        rows, ignored = _match(self.gt, detections, both, self.count, iou=iou, by_class=by_class)
        counted = np.append(np.cumsum(~self.gt.ignore) - 1, -1)  # -1 stays -1
        return Matching(
            results=frames,
            scores=detections.scores,
            labels=detections.labels,
            boxes=detections.boxes,
            gt=counted[rows],
            ignored=ignored,
        )


def joined_ground_truth(results: Sequence[FrameResult]) -> tuple[Annotations, IntArray]:
    """Return the ground truth of all results, and the row of each box's result."""
    gts = [result.gt for result in results]
    gt = Annotations(
        _joined([g.boxes for g in gts], np.zeros((0, 4), np.float32)),
        _joined([g.labels for g in gts], np.zeros(0, np.int64)),
        _joined([g.tracks for g in gts], np.zeros(0, np.int64)),
        _joined([g.ignore for g in gts], np.zeros(0, np.bool_)),
    )
    return gt, np.repeat(np.arange(len(results)), [len(g) for g in gts])


def joined_detections(parts: Sequence[Detections]) -> tuple[Detections, IntArray]:
    """Return the detections of all frames in a row, and the number of each one's frame."""
    detections = Detections(
        _joined([part.boxes for part in parts], np.zeros((0, 4), np.float32)),
        _joined([part.scores for part in parts], np.zeros(0, np.float32)),
        _joined([part.labels for part in parts], np.zeros(0, np.int64)),
        _joined([part.track_ids for part in parts], np.zeros(0, np.int64)),
    )
    return detections, np.repeat(np.arange(len(parts)), [len(part) for part in parts])


def class_agnostic_nms(detections: Detections, *, iou: float = DUPLICATE_IOU) -> Detections:
    """Greedy NMS across classes.

    Average precision by class wants a detection for every class; with all classes taken as one, the
    second class of an object is a false positive.
    """
    detections = detections.select(np.argsort(-detections.scores, kind="stable"))
    count = len(detections)
    keep = np.ones(count, np.bool_)
    covered = np.flatnonzero(box_iou(detections.boxes, detections.boxes) > iou)
    better, worse = np.divmod(covered, max(count, 1))
    pairs = better < worse
    for row, other in zip(better[pairs].tolist(), worse[pairs].tolist(), strict=True):
        if keep[row]:
            keep[other] = False
    return detections.select(keep)


def above(detections: Detections, threshold: float) -> Detections:
    """Return the detections of at least this score."""
    return detections.select(detections.scores >= threshold)


Column = TypeVar("Column", bound="np.ndarray[Any, Any]")


def _joined(columns: Sequence[Column], empty: Column) -> Column:
    return cast("Column", np.concatenate((empty, *columns)))
