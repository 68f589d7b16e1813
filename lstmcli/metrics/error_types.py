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

from lstmcli.core.boxes import box_iou
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
    types = np.full(len(matching.scores), -1, np.int64)
    targets = np.full(len(matching.scores), -1, np.int64)
    used = matching.by_gt(len(gt)) >= 0
    wrong = (matching.gt < 0) & ~matching.ignored
    gt_begin = np.searchsorted(gt.results, np.arange(len(comparison.results) + 1))
    det_begin = np.searchsorted(matching.results, np.arange(len(comparison.results) + 1))
    for frame in range(len(comparison.results)):
        objects = slice(int(gt_begin[frame]), int(gt_begin[frame + 1]))
        first = int(det_begin[frame])
        rows = first + np.flatnonzero(wrong[first : int(det_begin[frame + 1])])
        if not len(rows):
            continue
        if objects.start == objects.stop:
            types[rows] = _BACKGROUND
            continue
        iou = box_iou(matching.boxes[rows], gt.boxes[objects].astype(np.float32))
        same = matching.labels[rows][:, None] == gt.labels[objects][None, :]
        types[rows], aims = _types_of_frame(iou, same, used[objects])
        targets[rows] = np.where(aims >= 0, aims + objects.start, -1)
    aimed = np.zeros(len(gt), np.bool_)
    aimed[targets[targets >= 0]] = True
    return DetectionErrors(types, targets, ~used & ~aimed)


def _types_of_frame(iou: FloatArray, same: BoolArray, used: BoolArray) -> tuple[IntArray, IntArray]:
    """Return types and target objects of a frame's false positives; arrays are [D, N]."""
    own, other = np.where(same, iou, 0.0), np.where(same, 0.0, iou)
    near = (own.max(axis=1) >= BACKGROUND_IOU) & (own.max(axis=1) < AP50_IOU)
    wrong_class = other.max(axis=1) >= AP50_IOU
    again = np.where(used[None, :], own, 0.0).max(axis=1) >= AP50_IOU
    background = iou.max(axis=1) <= BACKGROUND_IOU
    types = np.select(
        [near, wrong_class, again, background],
        [_LOCALISATION, _CLASSIFICATION, _DUPLICATE, _BACKGROUND],
        default=_BOTH,
    ).astype(np.int64)
    aims = np.where(
        types == _LOCALISATION,
        own.argmax(axis=1),
        np.where(types == _CLASSIFICATION, other.argmax(axis=1), -1),
    ).astype(np.int64)
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
