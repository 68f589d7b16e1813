"""Precision, recall and F1 at the threshold: pooled, by class and by video."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lstmcli.core.types import BoolArray
from lstmcli.metrics.average_precision import average_precision, mean_of_known
from lstmcli.metrics.comparison import Comparison, Json
from lstmcli.metrics.frame_result import FrameResult
from lstmcli.metrics.matching import JoinedResults

THRESHOLDS = np.round(np.arange(0.05, 0.61, 0.01), 2).astype(np.float32)
"""Candidates of the best threshold."""
MIN_TRUE_POSITIVES = 20


def overall(comparison: Comparison) -> dict[str, float | None]:
    """Return mAP, mAP50, mAR, and precision, recall and F1 pooled over all classes."""
    any_class, shown = comparison.scored_any, comparison.shown
    precision, recall, f1 = precision_recall_f1(
        true_positives=int((shown.gt >= 0).sum()),
        detections=int((~shown.ignored).sum()),
        boxes=len(comparison.gt),
    )
    return {
        "map": mean_of_known(comparison.coco.ap[:, 0]),
        "map50": mean_of_known(comparison.coco.ap50[:, 0]),
        "ar": mean_of_known(comparison.coco.ar[:, 0]),
        "map50_any_class": average_precision(any_class, ~any_class.ignored, len(comparison.gt)),
        "precision": precision,
        "recall": recall,
        "f1": f1,
    }


def best_threshold(results: Sequence[FrameResult]) -> float | None:
    """Return the threshold of the best F1 pooled over all classes, IoU 0.5; see `THRESHOLDS`.

    None with fewer than `MIN_TRUE_POSITIVES` true positives: the choice would be noise.
    """
    matching = JoinedResults.of(results).match(iou=0.5)
    boxes = sum(int((~result.gt.ignore).sum()) for result in results)
    scores = matching.scores[~matching.ignored]
    correct = matching.gt[~matching.ignored] >= 0
    if int(correct.sum()) < MIN_TRUE_POSITIVES:
        return None
    detections = np.array([(scores > threshold).sum() for threshold in THRESHOLDS])
    hits = np.array([(correct & (scores > threshold)).sum() for threshold in THRESHOLDS])
    best = THRESHOLDS[int(np.argmax(2 * hits / np.maximum(detections + boxes, 1)))]
    return round(float(best), 2)


def by_class(comparison: Comparison) -> dict[str, Json]:
    """Return AP, AR, precision, recall, F1 and the counts behind them for every class."""
    table: dict[str, Json] = {}
    for label, name in enumerate(comparison.classes):
        gt = comparison.gt.labels == label
        table[name] = {
            "ap": mean_of_known(comparison.coco.ap[label, :1]),
            "ap50": mean_of_known(comparison.coco.ap50[label, :1]),
            "ar": mean_of_known(comparison.coco.ar[label, :1]),
            **_counts(comparison, gt, comparison.shown.labels == label),
        }
    return table


def by_video(comparison: Comparison) -> dict[str, Json]:
    """Return AP50, precision, recall, F1 and the counts behind them for every video."""
    table: dict[str, Json] = {}
    gt_video = comparison.videos[comparison.gt.results]
    for number, name in enumerate(comparison.video_names):
        gt = gt_video == number
        table[name] = {
            "frames": int((comparison.videos == number).sum()),
            "map50": comparison.ap50(gt, comparison.videos[comparison.scored.results] == number),
            **_counts(comparison, gt, comparison.videos[comparison.shown.results] == number),
        }
    return table


def precision_recall_f1(
    true_positives: int, detections: int, boxes: int
) -> tuple[float | None, float | None, float | None]:
    """Return precision, recall and F1; None where there is nothing to divide by.

    No detection where there is ground truth is a precision of 0, so that a silent model has an F1
    of 0. Detections without any ground truth are a precision of 0, without recall and F1.
    """
    recall = true_positives / boxes if boxes else None
    if detections:
        precision: float | None = true_positives / detections
    else:
        precision = 0.0 if boxes else None
    return precision, recall, 2 * true_positives / (detections + boxes) if boxes else None


def _counts(comparison: Comparison, gt: BoolArray, shown: BoolArray) -> dict[str, Json]:
    matching = comparison.shown
    detections = int((shown & ~matching.ignored).sum())
    true_positives = int((shown & (matching.gt >= 0)).sum())
    precision, recall, f1 = precision_recall_f1(true_positives, detections, int(gt.sum()))
    return {
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "boxes": int(gt.sum()),
        "detections": detections,
        "true_positives": true_positives,
    }
