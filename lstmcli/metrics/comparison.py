"""Detections matched with the ground truth once; every metric reads from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from lstmcli.core.types import BoolArray, Detections, IntArray
from lstmcli.metrics.average_precision import average_precision
from lstmcli.metrics.coco import CocoAverages, coco_averages
from lstmcli.metrics.frame_result import FrameResult
from lstmcli.metrics.matching import (
    GroundTruthTable,
    JoinedResults,
    Matching,
    class_agnostic_nms,
    ground_truth_table,
    joined_detections,
)

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

AP50_IOU = 0.5


@dataclass(frozen=True, slots=True)
class Comparison:
    """Results, ground truth, and detections with their matches.

    Args:
        results: sorted by video (in the given order) and frame.
        classes: class names.
        threshold: smallest score of a shown detection.
        iou: minimum IoU of a shown detection with its ground truth.
        joined: boxes of all results in a row.
        gt: one row a ground-truth box that is not ignored.
        videos: int64 [F], the number of each result's video.
        video_names: by that number.
        scored: all `candidates`, matched at IoU 0.5: for average precision.
        scored_any: the same with all classes taken as one, after class-agnostic NMS.
        shown: `detections` above the threshold.
        shown_any: the same with all classes taken as one.
        coco: COCO average precision.
    """

    results: tuple[FrameResult, ...]
    classes: tuple[str, ...]
    threshold: float
    iou: float
    joined: JoinedResults
    gt: GroundTruthTable
    videos: IntArray
    video_names: tuple[str, ...]
    scored: Matching
    scored_any: Matching
    shown: Matching
    shown_any: Matching
    coco: CocoAverages

    def ap50(self, gt_rows: BoolArray, counted: BoolArray) -> float | None:
        """Return AP50 over a subset of the boxes: the mean over classes with ground truth in it.

        A detection that matches a box outside the subset counts neither way.

        Args:
            gt_rows: bool [N], the subset of the ground truth.
            counted: bool [D] over `scored`, which false positives count.
        """
        matching = self.scored
        is_true = matching.gt >= 0
        rows = counted & ~is_true & ~matching.ignored
        rows[is_true] = gt_rows[matching.gt[is_true]]
        values = []
        for label in range(len(self.classes)):
            boxes = int((gt_rows & (self.gt.labels == label)).sum())
            value = average_precision(matching, rows, boxes, label=label)
            if value is not None:
                values.append(value)
        return float(np.mean(values)) if values else None

    def subset_scores(self, gt_rows: BoolArray, counted: BoolArray) -> dict[str, Json]:
        """Return boxes, AP50 and recall at the threshold over a subset; see `ap50`."""
        boxes = int(gt_rows.sum())
        hits = self.shown.by_gt(len(self.gt)) >= 0
        return {
            "boxes": boxes,
            "map50": self.ap50(gt_rows, counted),
            "recall": int((hits & gt_rows).sum()) / boxes if boxes else None,
        }


def compare(
    results: Sequence[FrameResult],
    classes: Sequence[str],
    *,
    threshold: float,
    iou: float,
) -> Comparison:
    """Match all detections with the ground truth.

    Args:
        results: in any order; no frame twice.
        classes: class names; labels are indices into them.
        threshold: smallest score of a shown detection.
        iou: minimum IoU of a shown detection with its ground truth.
    """
    numbers: dict[str, int] = {}
    for result in results:
        numbers.setdefault(result.video, len(numbers))
    rows = sorted(results, key=lambda result: (numbers[result.video], result.frame))
    frames = [(result.video, result.frame) for result in rows]
    assert len(set(frames)) == len(frames), "a frame was given twice"

    joined = JoinedResults.of(rows)
    candidates = joined_detections([result.candidates for result in rows])
    distinct = joined_detections([_distinct(result) for result in rows])
    return Comparison(
        results=tuple(rows),
        classes=tuple(classes),
        threshold=threshold,
        iou=iou,
        joined=joined,
        gt=ground_truth_table(rows),
        videos=np.array([numbers[result.video] for result in rows], np.int64),
        video_names=tuple(numbers),
        scored=joined.match_others(*candidates, iou=AP50_IOU),
        scored_any=joined.match_others(*distinct, iou=AP50_IOU, by_class=False),
        shown=joined.match(iou=iou, threshold=threshold),
        shown_any=joined.match(iou=iou, threshold=threshold, by_class=False),
        coco=coco_averages(joined, candidates, len(classes)),
    )


def _distinct(result: FrameResult) -> Detections:
    """Return the candidates of a frame after class-agnostic NMS."""
    if result.distinct is not None:
        return result.distinct
    return class_agnostic_nms(result.candidates)
