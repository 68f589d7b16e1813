"""All results against the truth, matched once; every metric reads from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from lstmcli.core.types import BoolArray, IntArray
from lstmcli.metrics.average_precision import CocoAverages, average_precision, coco_averages
from lstmcli.metrics.frame_result import FrameResult
from lstmcli.metrics.matching import (
    GroundTruthTable,
    Matching,
    above,
    class_agnostic_nms,
    ground_truth_table,
    match_all,
)

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

AP50_IOU = 0.5


@dataclass(frozen=True, slots=True)
class Comparison:
    """Results, truth, and what became of every detection.

    Args:
        results: by video (in the order of their coming) and frame.
        classes: class names.
        threshold: smallest score of a shown detection.
        iou: the least overlap of a shown detection with its truth.
        truth: one row per box that counts.
        videos: int64 [F], the number of each result's video.
        video_names: by that number.
        scored: all of `found`, at an overlap of 0.5: for average precision.
        scored_any: the same, one per place, with all classes taken as one.
        shown: `answers` above the threshold.
        shown_any: the same with all classes taken as one.
        coco: COCO's averages.
    """

    results: tuple[FrameResult, ...]
    classes: tuple[str, ...]
    threshold: float
    iou: float
    gt: GroundTruthTable
    videos: IntArray
    video_names: tuple[str, ...]
    scored: Matching
    scored_any: Matching
    shown: Matching
    shown_any: Matching
    coco: CocoAverages

    def ap50(self, truth_rows: BoolArray, counted: BoolArray) -> float | None:
        """Return the mean AP50 of the classes with truth among some of the boxes.

        A detection of a truth that is not among them counts neither way.

        Args:
            truth_rows: bool [N], the truth that is asked about.
            counted: bool [D] over `scored`, which wrong detections count.
        """
        matching = self.scored
        right = matching.gt >= 0
        rows = counted & ~right & ~matching.ignored
        rows[right] = truth_rows[matching.gt[right]]
        values = []
        for label in range(len(self.classes)):
            boxes = int((truth_rows & (self.gt.labels == label)).sum())
            value = average_precision(matching, rows & (matching.labels == label), boxes)
            if value is not None:
                values.append(value)
        return float(np.mean(values)) if values else None

    def share(self, truth_rows: BoolArray, counted: BoolArray) -> dict[str, Json]:
        """Return boxes, AP50 and recall at the threshold among some of the boxes; see `ap50`."""
        boxes = int(truth_rows.sum())
        hits = self.shown.by_truth(len(self.gt)) >= 0
        return {
            "boxes": boxes,
            "map50": self.ap50(truth_rows, counted),
            "recall": int((hits & truth_rows).sum()) / boxes if boxes else None,
        }


def compare(
    results: Sequence[FrameResult],
    classes: Sequence[str],
    *,
    threshold: float,
    iou: float,
) -> Comparison:
    """Match all detections with the truth.

    Args:
        results: in any order; no frame twice.
        classes: class names; labels are indices into them.
        threshold: smallest score of a shown detection.
        iou: the least overlap of a shown detection with its truth.
    """
    numbers: dict[str, int] = {}
    for result in results:
        numbers.setdefault(result.video, len(numbers))
    rows = sorted(results, key=lambda result: (numbers[result.video], result.frame))
    places = [(result.video, result.frame) for result in rows]
    assert len(set(places)) == len(places), "a frame was given twice"

    return Comparison(
        results=tuple(rows),
        classes=tuple(classes),
        threshold=threshold,
        iou=iou,
        gt=ground_truth_table(rows),
        videos=np.array([numbers[result.video] for result in rows], np.int64),
        video_names=tuple(numbers),
        scored=match_all(rows, lambda r: r.found, iou=AP50_IOU),
        scored_any=match_all(
            rows, lambda r: class_agnostic_nms(r.found), iou=AP50_IOU, by_class=False
        ),
        shown=match_all(rows, lambda r: above(r.answers, threshold), iou=iou),
        shown_any=match_all(rows, lambda r: above(r.answers, threshold), iou=iou, by_class=False),
        coco=coco_averages(rows, len(classes)),
    )
