"""TIDE error types, and the average precision that each costs.

Bolya et al. 2020, "TIDE: A General Toolbox for Identifying Object Detection Errors",
https://arxiv.org/abs/2008.08115. Every false positive has exactly one type, every missed object
that no false positive could have matched is `missed`; the cost of a type is the AP50 that an oracle
gains by repairing that type alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lstmcli.core.boxes import paired_box_iou
from lstmcli.core.types import BoolArray, FloatArray, IntArray
from lstmcli.metrics.coco import RECALLS
from lstmcli.metrics.comparison import AP50_IOU, Comparison, Json

BACKGROUND_IOU = 0.1
"""A false positive that overlaps every object by less is background."""

ERROR_TYPES: dict[str, str] = {
    "classification": "wrong class, IoU at least 0.5",
    "localisation": "right class, IoU between 0.1 and 0.5",
    "both": "wrong class, IoU between 0.1 and 0.5",
    "duplicate": "a second detection of an object",
    "background": "no object there",
    "missed": "no detection at all",
}
_NAMES = tuple(ERROR_TYPES)
_CLASSIFICATION, _LOCALISATION, _BOTH, _DUPLICATE, _BACKGROUND = range(5)


@dataclass(frozen=True, slots=True)
class DetectionErrors:
    """Error type of each detection, and the missed objects.

    Args:
        types: int64 [D], index into `ERROR_TYPES`; -1 for true positives and ignored ones.
        targets: int64 [D], the ground-truth row nearest to a classification or localisation error,
            -1 otherwise.
        missed: bool [N], ground truth that no detection matches and that is no target.
    """

    types: IntArray
    targets: IntArray
    missed: BoolArray


def error_types(comparison: Comparison) -> DetectionErrors:
    """Return the error type of every false positive, at IoU 0.5."""
    gt, matching = comparison.gt, comparison.scored
    used = matching.by_gt(len(gt)) >= 0
    wrong = np.flatnonzero((matching.gt < 0) & ~matching.ignored)
    types = np.full(len(matching.scores), -1, np.int64)
    targets = np.full(len(matching.scores), -1, np.int64)
    types[wrong] = _BACKGROUND
    begins = np.searchsorted(gt.results, matching.results[wrong])
    counts = np.searchsorted(gt.results, matching.results[wrong], side="right") - begins
    near = np.flatnonzero(counts)
    if len(near):
        wrong, begins, counts = wrong[near], begins[near], counts[near]
        firsts = np.cumsum(counts) - counts
        detections = np.repeat(wrong, counts)
        objects = np.arange(len(detections)) + np.repeat(begins - firsts, counts)
        iou = paired_box_iou(matching.boxes[detections], gt.boxes[objects].astype(np.float32))
        same = matching.labels[detections] == gt.labels[objects]
        types[wrong], aims = _types(iou, same, used[objects], firsts)
        targets[wrong[aims >= 0]] = objects[aims[aims >= 0]]
    aimed = np.zeros(len(gt), np.bool_)
    aimed[targets[targets >= 0]] = True
    return DetectionErrors(types, targets, ~used & ~aimed)


def _types(
    iou: FloatArray, same: BoolArray, used: BoolArray, firsts: IntArray
) -> tuple[IntArray, IntArray]:
    """Return types and target pairs (-1: none) of false positives.

    Args:
        iou: [P], of each false positive with each object of its frame, one after the other.
        same: bool [P], whether both are of one class.
        used: bool [P], whether the object is matched.
        firsts: int64 [D], the first pair of each false positive.
    """
    own, other = np.where(same, iou, 0.0), np.where(same, 0.0, iou)
    best_own, best_other = np.maximum.reduceat(own, firsts), np.maximum.reduceat(other, firsts)
    near = (best_own >= BACKGROUND_IOU) & (best_own < AP50_IOU)
    wrong_class = best_other >= AP50_IOU
    again = np.maximum.reduceat(np.where(used, own, 0.0), firsts) >= AP50_IOU
    background = np.maximum.reduceat(iou, firsts) <= BACKGROUND_IOU
    types = np.select(
        [near, wrong_class, again, background],
        [_LOCALISATION, _CLASSIFICATION, _DUPLICATE, _BACKGROUND],
        default=_BOTH,
    ).astype(np.int64)
    aims = np.full(len(firsts), -1, np.int64)
    counts = np.diff(np.append(firsts, len(iou)))
    for kind, overlap, best in (
        (_LOCALISATION, own, best_own),
        (_CLASSIFICATION, other, best_other),
    ):
        pairs = np.flatnonzero(
            np.repeat(types == kind, counts) & (overlap == np.repeat(best, counts))
        )
        rows = np.searchsorted(firsts, pairs, side="right") - 1
        rows, first = np.unique(rows, return_index=True)
        aims[rows] = pairs[first]
    return types, aims


def errors(comparison: Comparison) -> dict[str, Json]:
    """Return count and AP50 cost of every error type; costs are None without boxes."""
    labelled = error_types(comparison)
    base = _mean_ap(comparison, labelled, repaired=None)
    table: dict[str, Json] = {}
    for number, name in enumerate(_NAMES):
        repaired = _mean_ap(comparison, labelled, repaired=number)
        count = labelled.missed.sum() if name == "missed" else (labelled.types == number).sum()
        table[name] = {
            "count": int(count),
            "map50_cost": None if base is None or repaired is None else max(0.0, repaired - base),
        }
    return table


def _mean_ap(
    comparison: Comparison, labelled: DetectionErrors, *, repaired: int | None
) -> float | None:
    """Return mAP50 after an oracle repaired one error type (None: as it is)."""
    gt, matching = comparison.gt, comparison.scored
    right, counted = matching.gt >= 0, ~matching.ignored
    labels = matching.labels
    boxes = np.bincount(gt.labels, minlength=len(comparison.classes))
    if repaired in (_CLASSIFICATION, _LOCALISATION):
        rows = _best_repairs(comparison, labelled, repaired)
        counted &= labelled.types != repaired
        counted[rows] = True
        right[rows] = True
        labels = labels.copy()
        labels[rows] = gt.labels[labelled.targets[rows]]
    elif repaired == len(_NAMES) - 1:
        boxes = boxes - np.bincount(gt.labels[labelled.missed], minlength=len(comparison.classes))
    elif repaired is not None:
        counted &= labelled.types != repaired
    values = []
    for label in range(len(comparison.classes)):
        if boxes[label] > 0:
            rows = np.flatnonzero(counted & (labels == label))
            values.append(_average(matching.scores[rows], right[rows], int(boxes[label])))
    return float(np.mean(values)) if values else None


def _best_repairs(
    comparison: Comparison, labelled: DetectionErrors, error_type: int
) -> npt.NDArray[np.intp]:
    """Return the errors of a type that are the highest-scored one at an unmatched object.

    As in `tidecv`, wrong classes and bad boxes compete for the object: the lower one is dropped.
    """
    matching = comparison.scored
    free = matching.by_gt(len(comparison.gt)) < 0
    rows = np.flatnonzero(labelled.targets >= 0)
    rows = rows[free[labelled.targets[rows]]]
    rows = rows[np.argsort(-matching.scores[rows], kind="stable")]
    _, first = np.unique(labelled.targets[rows], return_index=True)
    best = rows[first]
    kept: npt.NDArray[np.intp] = best[labelled.types[best] == error_type]
    return kept


def _average(scores: FloatArray, right: BoolArray, boxes: int) -> float:
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(right[order])
    precision = hits / np.arange(1, len(order) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    index = np.searchsorted(hits / boxes, RECALLS, side="left")
    return float(np.append(precision, 0.0)[index].mean())
