"""Precision, recall and F1 over all thresholds, and operating points for comparisons.

Detections are matched greedily from the highest score down, so one matching of all scores holds the
matching at every threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from lstmcli.metrics.comparison import AP50_IOU, Comparison, Json
from lstmcli.metrics.frame_result import FrameResult
from lstmcli.metrics.matching import JoinedResults, Matching, ground_truth_table
from lstmcli.metrics.motion import track_rows
from lstmcli.metrics.precision_recall import MIN_TRUE_POSITIVES
from lstmcli.metrics.stability import count_flicker

CURVE_POINTS = 101


@dataclass(frozen=True, slots=True)
class ThresholdCurve:
    """Precision, recall and F1 where detections of at least a score are kept.

    Args:
        thresholds: float64 [K], falling, each score that occurs once.
        precision: float64 [K] in 0..1.
        recall: float64 [K] in 0..1, rising.
    """

    thresholds: npt.NDArray[np.float64]
    precision: npt.NDArray[np.float64]
    recall: npt.NDArray[np.float64]

    @property
    def f1(self) -> npt.NDArray[np.float64]:
        """Harmonic mean of precision and recall, float64 [K]."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / np.where(total > 0, total, 1.0)

    @property
    def best_f1_threshold(self) -> float | None:
        """Score of the highest F1; None without a single true positive."""
        f1 = self.f1
        if not len(f1) or f1.max() <= 0:
            return None
        return float(self.thresholds[int(np.argmax(f1))])

    def threshold_of_precision(self, precision: float) -> float | None:
        """Return the lowest score down to which the precision is reached; None if it never is."""
        reached = np.flatnonzero(self.precision >= precision)
        return float(self.thresholds[reached[-1]]) if len(reached) else None


def threshold_curve(matching: Matching, boxes: int, *, label: int | None = None) -> ThresholdCurve:
    """Return precision and recall at every score.

    Args:
        matching: all detections, down to the lowest score.
        boxes: number of ground-truth boxes.
        label: of one class only; None pools all classes.
    """
    counted = ~matching.ignored
    if label is not None:
        counted &= matching.labels == label
    rows = np.flatnonzero(counted)
    rows = rows[np.argsort(-matching.scores[rows], kind="stable")]
    scores = matching.scores[rows].astype(np.float64)
    hits = np.cumsum(matching.gt[rows] >= 0)
    last = np.flatnonzero(np.append(np.diff(scores) != 0, len(scores) > 0))
    return ThresholdCurve(scores[last], hits[last] / (last + 1), hits[last] / max(boxes, 1))


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """Metrics of the output at one threshold.

    Args:
        threshold: minimum calibrated score.
        precision: true positives among the detections; None without detections and ground truth.
        recall: matched share of the ground truth; None without ground truth.
        f1: their harmonic mean.
        flicker_per_minute: changes between found and lost per minute of object time.
    """

    threshold: float
    precision: float | None
    recall: float | None
    f1: float | None
    flicker_per_minute: float | None

    def as_json(self) -> dict[str, Json]:
        """Return plain values."""
        return {
            "threshold": self.threshold,
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
            "flicker_per_minute": self.flicker_per_minute,
        }


def shown_at(comparison: Comparison, threshold: float) -> Comparison:
    """Return the comparison at another (calibrated) threshold."""
    joined, iou = comparison.joined, comparison.iou
    return replace(
        comparison,
        threshold=threshold,
        shown=joined.match(iou=iou, threshold=threshold),
        shown_any=joined.match(iou=iou, threshold=threshold, by_class=False),
    )


def operating_point(comparison: Comparison, threshold: float) -> OperatingPoint:
    """Return precision, recall, F1 and flicker at a (calibrated) threshold."""
    at = shown_at(comparison, threshold)
    gt, shown = at.gt, at.shown
    correct, detections = int((shown.gt >= 0).sum()), int((~shown.ignored).sum())
    frames = np.array([result.frame for result in at.results], np.int64)[gt.results]
    tracks = track_rows(at.videos[gt.results], gt.tracks, frames)
    flicker = count_flicker(at, tracks, shown.by_gt(len(gt)) >= 0)
    boxes = len(gt)
    return OperatingPoint(
        threshold,
        precision=correct / detections if detections else (0.0 if boxes else None),
        recall=correct / boxes if boxes else None,
        f1=2 * correct / (detections + boxes) if boxes else None,
        flicker_per_minute=flicker.per_minute,
    )


def match_all_scores(comparison: Comparison) -> Matching:
    """Match the detections of all scores."""
    return comparison.joined.match(iou=comparison.iou)


def best_class_thresholds(
    results: Sequence[FrameResult], classes: Sequence[str]
) -> dict[str, float]:
    """Return the threshold of the best F1 of each class at IoU 0.5.

    A class with fewer than `MIN_TRUE_POSITIVES` true positives has none: it would be noise.
    """
    matching = JoinedResults.of(results).match(iou=AP50_IOU)
    table = ground_truth_table(results)
    found = {}
    for label, name in enumerate(classes):
        hits = int(((matching.labels == label) & (matching.gt >= 0)).sum())
        boxes = int((table.labels == label).sum())
        best = threshold_curve(matching, boxes, label=label).best_f1_threshold
        if best is not None and hits >= MIN_TRUE_POSITIVES:
            found[name] = best
    return found


def thresholds(comparison: Comparison) -> dict[str, Json]:
    """Return the threshold of the best F1, over all classes and by class, and the F1 curve.

    Keys:
        best_f1: threshold, precision, recall, f1, flicker_per_minute; None without a right one.
        per_class: class name -> the threshold of its best F1, None without a right detection.
        curve: threshold, precision, recall and f1 at up to 101 thresholds.
    """
    matching = match_all_scores(comparison)
    curve = threshold_curve(matching, len(comparison.gt))
    best = curve.best_f1_threshold
    picked = np.unique(np.linspace(0, len(curve.f1) - 1, CURVE_POINTS).astype(int))
    picked = picked[: len(curve.f1)] if len(curve.f1) else picked[:0]
    by_class: dict[str, Json] = {}
    for label, name in enumerate(comparison.classes):
        boxes = int((comparison.gt.labels == label).sum())
        by_class[name] = threshold_curve(matching, boxes, label=label).best_f1_threshold
    return {
        "best_f1": None if best is None else operating_point(comparison, best).as_json(),
        "per_class": by_class,
        "curve": {
            "threshold": curve.thresholds[picked].tolist(),
            "precision": curve.precision[picked].tolist(),
            "recall": curve.recall[picked].tolist(),
            "f1": curve.f1[picked].tolist(),
        },
    }
