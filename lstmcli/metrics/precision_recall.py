"""Precision, recall and F1 at the threshold, in all and by class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lstmcli.core.types import BoolArray
from lstmcli.metrics.average_precision import average_precision, mean_of_known
from lstmcli.metrics.comparison import Comparison, Json
from lstmcli.metrics.frame_result import FrameResult
from lstmcli.metrics.matching import match_all

THRESHOLDS = np.round(np.arange(0.05, 0.61, 0.01), 2).astype(np.float32)
"""Among which the best one is looked for."""
LEAST_RIGHT = 20


def overall(comparison: Comparison) -> dict[str, float | None]:
    """Return the headline: average precisions, and precision, recall and F1 of all boxes pooled."""
    any_class, shown = comparison.scored_any, comparison.shown
    precision, recall, f1 = precision_recall_f1(
        right=int((shown.gt >= 0).sum()),
        found=int((~shown.ignored).sum()),
        boxes=len(comparison.gt),
    )
    return {
        "map": mean_of_known(comparison.coco.ap[:, 0]),
        "map50": mean_of_known(comparison.coco.ap50[:, 0]),
        "map50_any_class": average_precision(any_class, ~any_class.ignored, len(comparison.gt)),
        "precision": precision,
        "recall": recall,
        "f1": f1,
    }


def best_threshold(results: Sequence[FrameResult]) -> float | None:
    """Return the threshold of the best F1 of all boxes pooled, overlap 0.5; see `THRESHOLDS`.

    None where fewer than `LEAST_RIGHT` answers were right: chance would choose.
    """
    matching = match_all(results, lambda result: result.answers, iou=0.5)
    boxes = sum(int((~result.gt.ignore).sum()) for result in results)
    scores = matching.scores[~matching.ignored]
    right = matching.gt[~matching.ignored] >= 0
    if int(right.sum()) < LEAST_RIGHT:
        return None
    found = np.array([(scores > threshold).sum() for threshold in THRESHOLDS])
    hits = np.array([(right & (scores > threshold)).sum() for threshold in THRESHOLDS])
    best = THRESHOLDS[int(np.argmax(2 * hits / np.maximum(found + boxes, 1)))]
    return round(float(best), 2)


def by_class(comparison: Comparison) -> dict[str, Json]:
    """Return the same for every class: ap, ap50, precision, recall, f1, boxes, found, right."""
    table: dict[str, Json] = {}
    for label, name in enumerate(comparison.classes):
        gt = comparison.gt.labels == label
        table[name] = {
            "ap": mean_of_known(comparison.coco.ap[label, :1]),
            "ap50": mean_of_known(comparison.coco.ap50[label, :1]),
            **_counts(comparison, gt, comparison.shown.labels == label),
        }
    return table


def by_video(comparison: Comparison) -> dict[str, Json]:
    """Return the same for every video, with its AP50 and number of frames."""
    table: dict[str, Json] = {}
    truth_video = comparison.videos[comparison.gt.results]
    for number, name in enumerate(comparison.video_names):
        gt = truth_video == number
        table[name] = {
            "frames": int((comparison.videos == number).sum()),
            "map50": comparison.ap50(gt, comparison.videos[comparison.scored.results] == number),
            **_counts(comparison, gt, comparison.videos[comparison.shown.results] == number),
        }
    return table


def precision_recall_f1(
    right: int, found: int, boxes: int
) -> tuple[float | None, float | None, float | None]:
    """Return precision, recall and F1; None where there is nothing to divide by.

    Nothing found where there is truth is a precision of 0, so that a silent model has an F1 of 0.
    Something found where there is no truth is a precision of 0, without recall and F1.
    """
    recall = right / boxes if boxes else None
    if found:
        precision: float | None = right / found
    else:
        precision = 0.0 if boxes else None
    return precision, recall, 2 * right / (found + boxes) if boxes else None


def _counts(comparison: Comparison, gt: BoolArray, shown: BoolArray) -> dict[str, Json]:
    matching = comparison.shown
    found = int((shown & ~matching.ignored).sum())
    right = int((shown & (matching.gt >= 0)).sum())
    precision, recall, f1 = precision_recall_f1(right, found, int(gt.sum()))
    return {
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "boxes": int(gt.sum()),
        "found": found,
        "right": right,
    }
