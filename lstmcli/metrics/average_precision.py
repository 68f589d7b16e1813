"""Average precision: COCO's by faster-coco-eval, and the same in NumPy for subsets of the data.

Lin et al. 2014, https://arxiv.org/abs/1405.0312: precision is made to fall monotonically and read
at 101 recalls from 0 to 1. At most 100 detections of a class count in a frame, as COCO has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from faster_coco_eval import COCO, COCOeval_faster

from lstmcli.core.types import BoolArray, FloatArray
from lstmcli.metrics.frame_result import FrameResult
from lstmcli.metrics.matching import Matching

RECALLS = np.linspace(0, 1, 101)
COCO_SIZES: dict[str, tuple[float, float]] = {
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}
"""COCO's ranges of box area in square pixels."""

AREAS = ("all", *COCO_SIZES)


@dataclass(frozen=True, slots=True)
class CocoAverages:
    """Average precision of each class in each of `AREAS`; -1 without ground truth.

    Args:
        ap: float64 [classes, areas], the mean over the IoU thresholds 0.5, 0.55 ... 0.95.
        ap50: float64 [classes, areas], at an IoU threshold of 0.5.
        ar: float64 [classes, areas], average recall of 100 detections, over the same thresholds.
    """

    ap: npt.NDArray[np.float64]
    ap50: npt.NDArray[np.float64]
    ar: npt.NDArray[np.float64]


def mean_of_known(values: npt.NDArray[np.float64]) -> float | None:
    """Return the mean of the values that are not negative; None without any."""
    known = values[values >= 0]
    return float(known.mean()) if len(known) else None


def coco_averages(results: Sequence[FrameResult], classes: int) -> CocoAverages:
    """Return COCO average precision of the candidates; ignored boxes are COCO crowds."""
    unknown = np.full((classes, len(AREAS)), -1.0)
    if not any((~result.gt.ignore).any() for result in results):
        return CocoAverages(unknown, unknown.copy(), unknown.copy())
    gt = COCO(_coco_ground_truth(results, classes))
    detections = COCO(_coco_detections(results, classes))
    run = COCOeval_faster(
        gt, detections, "bbox", ranges={k: list(v) for k, v in COCO_SIZES.items()}
    )
    run.params.maxDets = [100]
    run.evaluate()
    run.accumulate()
    precision = np.asarray(run.eval["precision"], np.float64)[..., 0]  # [T, R, K, A]
    known = (precision >= 0).all(axis=1)  # [T, K, A]
    means = np.where(known, precision.mean(axis=1), -1.0)
    recall = np.asarray(run.eval["recall"], np.float64)[..., 0]  # [T, K, A]
    return CocoAverages(
        np.where(known.all(axis=0), means.mean(axis=0), -1.0),
        means[0],
        np.where((recall >= 0).all(axis=0), recall.mean(axis=0), -1.0),
    )


def average_precision(matching: Matching, counted: BoolArray, boxes: int) -> float | None:
    """Return the average precision of the counted detections, None without ground truth.

    Args:
        matching: all detections.
        counted: bool [D], which of them count as true or false positives.
        boxes: number of ground-truth boxes.
    """
    if not boxes:
        return None
    return float(precision_at_recalls(matching, counted, boxes).mean())


def precision_at_recalls(matching: Matching, counted: BoolArray, boxes: int) -> FloatArray:
    """Return the precision at each of `RECALLS`, 0 where the recall is not reached."""
    rows = np.flatnonzero(counted)
    rows = rows[np.argsort(-matching.scores[rows], kind="stable")]
    hits = np.cumsum(matching.gt[rows] >= 0)
    precision = hits / np.arange(1, len(rows) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    index = np.searchsorted(hits / max(boxes, 1), RECALLS, side="left")
    return np.append(precision, 0.0)[index].astype(np.float32)


def _coco_ground_truth(results: Sequence[FrameResult], classes: int) -> dict[str, Any]:
    boxes: list[dict[str, Any]] = []
    for image, result in enumerate(results, start=1):
        gt = result.gt
        rows = zip(_corner_and_sides(gt.boxes), gt.labels.tolist(), gt.ignore, strict=True)
        for box, label, ignore in rows:
            for category in range(classes) if label < 0 else (label,):
                boxes.append(
                    {
                        "id": len(boxes) + 1,
                        "image_id": image,
                        "category_id": category + 1,
                        "bbox": box,
                        "area": box[2] * box[3],
                        "iscrowd": int(ignore),
                    }
                )
    return _coco_set(results, classes, boxes)


def _coco_detections(results: Sequence[FrameResult], classes: int) -> dict[str, Any]:
    """Return all candidates; columns of all frames at once, since there are a hundred a frame."""
    candidates = [result.candidates for result in results]
    if not any(len(found) for found in candidates):
        return _coco_set(results, classes, [])
    images = np.repeat(np.arange(1, len(results) + 1), [len(found) for found in candidates])
    boxes = _corner_and_sides(np.concatenate([found.boxes for found in candidates]))
    labels = np.concatenate([found.labels for found in candidates]) + 1
    scores = np.concatenate([found.scores for found in candidates])
    columns = (images.tolist(), labels.tolist(), boxes, scores.tolist())
    rows = [
        {
            "id": number,
            "image_id": image,
            "category_id": label,
            "bbox": box,
            "area": box[2] * box[3],
            "score": score,
            "iscrowd": 0,
        }
        for number, (image, label, box, score) in enumerate(zip(*columns, strict=True), start=1)
    ]
    return _coco_set(results, classes, rows)


def _corner_and_sides(boxes: FloatArray) -> list[list[float]]:
    wide = boxes.astype(np.float64)
    wide[:, 2:] -= wide[:, :2]
    values: list[list[float]] = wide.tolist()
    return values


def _coco_set(
    results: Sequence[FrameResult], classes: int, boxes: list[dict[str, Any]]
) -> dict[str, Any]:
    return {
        "images": [
            {"id": image, "height": result.size_hw[0], "width": result.size_hw[1]}
            for image, result in enumerate(results, start=1)
        ],
        "categories": [{"id": label + 1, "name": str(label)} for label in range(classes)],
        "annotations": boxes,
    }
