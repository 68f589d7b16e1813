"""All metrics of an evaluation in one record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lstmcli.core.types import FloatArray
from lstmcli.metrics import METRICS
from lstmcli.metrics.average_precision import precision_of
from lstmcli.metrics.comparison import Comparison, Json, compare
from lstmcli.metrics.frame_result import FrameResult
from lstmcli.metrics.precision_recall import overall

__all__ = ["FrameResult", "Scores", "score"]


@dataclass(frozen=True, slots=True)
class Scores:
    """Metrics of the detections; None where there is no ground truth.

    Args:
        videos: number of videos with an annotated frame.
        frames: number of annotated frames, empty ones too.
        boxes: number of ground-truth boxes without the ignored ones.
        threshold: minimum score of a shown detection.
        iou: minimum IoU of a true positive.
        map: COCO's mAP@[.5:.95], scores from the lowest, the mean over classes with
            ground truth.
        map50: COCO's mAP@.5.
        ar: COCO's mAR@[.5:.95] of 100 detections a frame, the mean over classes with ground truth.
        map50_any_class: AP@.5 with all classes taken as one, after class-agnostic NMS.
        precision: true positives among the shown detections, all classes pooled.
        recall: matched boxes among the ground truth, all classes pooled.
        f1: their harmonic mean.
        parts: result of each of `METRICS`, by its name.
        curves: by class name, the precision at overlap 0.5 for each recall 0, 0.01 ... 1; classes
            without ground truth are left out.
    """

    videos: int
    frames: int
    boxes: int
    threshold: float
    iou: float
    map: float | None
    map50: float | None
    ar: float | None
    map50_any_class: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    parts: Mapping[str, dict[str, Json]]
    curves: Mapping[str, FloatArray]

    def as_json(self) -> dict[str, Any]:
        """Return everything but the curves as plain values."""
        return {
            "videos": self.videos,
            "frames": self.frames,
            "boxes": self.boxes,
            "threshold": self.threshold,
            "iou": self.iou,
            "map": self.map,
            "map50": self.map50,
            "map50_any_class": self.map50_any_class,
            "ar": self.ar,
            "precision": self.precision,
            "recall": self.recall,
            "f1": self.f1,
            **self.parts,
        }


def score(
    results: Sequence[FrameResult],
    classes: Sequence[str],
    *,
    threshold: float,
    iou: float = 0.5,
) -> Scores:
    """Return the metrics of annotated frames.

    Args:
        results: in any order, no frame twice.
        classes: class names; labels are indices into them.
        threshold: minimum score of a shown detection; average precision takes all `candidates`.
        iou: minimum IoU of a true positive; average precision has its own.
    """
    comparison = compare(results, classes, threshold=threshold, iou=iou)
    return Scores(
        videos=len(comparison.video_names),
        frames=len(comparison.results),
        boxes=len(comparison.gt),
        threshold=threshold,
        iou=iou,
        parts={name: metric(comparison) for name, metric in METRICS.items()},
        curves=_curves(comparison),
        **overall(comparison),
    )


def _curves(comparison: Comparison) -> dict[str, FloatArray]:
    matching = comparison.scored
    curves = {}
    for label, name in enumerate(comparison.classes):
        boxes = int((comparison.gt.labels == label).sum())
        if boxes:
            curves[name] = precision_of(matching, ~matching.ignored, boxes, label=label)
    return curves
