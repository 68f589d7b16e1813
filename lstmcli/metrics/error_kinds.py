"""TIDE's kinds of errors, and the average precision that each costs.

Bolya et al. 2020, "TIDE: A General Toolbox for Identifying Object Detection Errors",
https://arxiv.org/abs/2008.08115. Every false detection is of exactly one kind, every missed object
that no false detection could have found is `missed`; the cost of a kind is the AP50 that an oracle
gains which repairs this kind alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lstmcli.core.boxes import box_iou
from lstmcli.core.types import BoolArray, FloatArray, IntArray
from lstmcli.metrics.average_precision import RECALLS
from lstmcli.metrics.comparison import AP50_IOU, Comparison, Json

BACKGROUND_IOU = 0.1
"""Below this overlap with every object a false detection is of the background."""

KINDS: dict[str, str] = {
    "classification": "right place, wrong class",
    "localisation": "right class, overlap between 0.1 and 0.5",
    "both": "wrong class, overlap between 0.1 and 0.5",
    "duplicate": "a second detection of an object",
    "background": "no object there",
    "missed": "no detection at all",
}
_NAMES = tuple(KINDS)
_CLASSIFICATION, _LOCALISATION, _BOTH, _DUPLICATE, _BACKGROUND = range(5)


@dataclass(frozen=True, slots=True)
class ErrorKinds:
    """What is wrong with each detection and which objects were missed.

    Args:
        kinds: int64 [D], index into `KINDS`; -1 for right and for ignored detections.
        targets: int64 [D], the ground-truth row that a classification or localisation error aimed
            at, -1 otherwise.
        missed: bool [N], ground truth that no detection found and none aimed at.
    """

    kinds: IntArray
    targets: IntArray
    missed: BoolArray


def error_kinds(comparison: Comparison) -> ErrorKinds:
    """Sort every false detection into its kind, at an overlap of 0.5."""
    gt, matching = comparison.gt, comparison.scored
    kinds = np.full(len(matching.scores), -1, np.int64)
    targets = np.full(len(matching.scores), -1, np.int64)
    used = matching.by_truth(len(gt)) >= 0
    wrong = (matching.gt < 0) & ~matching.ignored
    gt_begin = np.searchsorted(gt.results, np.arange(len(comparison.results) + 1))
    det_begin = np.searchsorted(matching.results, np.arange(len(comparison.results) + 1))
    for place in range(len(comparison.results)):
        objects = slice(int(gt_begin[place]), int(gt_begin[place + 1]))
        first = int(det_begin[place])
        rows = first + np.flatnonzero(wrong[first : int(det_begin[place + 1])])
        if not len(rows):
            continue
        if objects.start == objects.stop:
            kinds[rows] = _BACKGROUND
            continue
        iou = box_iou(matching.boxes[rows], gt.boxes[objects].astype(np.float32))
        same = matching.labels[rows][:, None] == gt.labels[objects][None, :]
        kinds[rows], aims = _kinds_of_frame(iou, same, used[objects])
        targets[rows] = np.where(aims >= 0, aims + objects.start, -1)
    aimed = np.zeros(len(gt), np.bool_)
    aimed[targets[targets >= 0]] = True
    return ErrorKinds(kinds, targets, ~used & ~aimed)


def _kinds_of_frame(iou: FloatArray, same: BoolArray, used: BoolArray) -> tuple[IntArray, IntArray]:
    """Return kinds and aimed-at objects of a frame's false detections; arrays are [D, N]."""
    own, other = np.where(same, iou, 0.0), np.where(same, 0.0, iou)
    near = (own.max(axis=1) >= BACKGROUND_IOU) & (own.max(axis=1) < AP50_IOU)
    wrong_class = other.max(axis=1) >= AP50_IOU
    again = np.where(used[None, :], own, 0.0).max(axis=1) >= AP50_IOU
    nothing = iou.max(axis=1) <= BACKGROUND_IOU
    kinds = np.select(
        [near, wrong_class, again, nothing],
        [_LOCALISATION, _CLASSIFICATION, _DUPLICATE, _BACKGROUND],
        default=_BOTH,
    ).astype(np.int64)
    aims = np.where(
        kinds == _LOCALISATION,
        own.argmax(axis=1),
        np.where(kinds == _CLASSIFICATION, other.argmax(axis=1), -1),
    ).astype(np.int64)
    return kinds, aims


def errors(comparison: Comparison) -> dict[str, Json]:
    """Return for every kind how many there are and the AP50 that they cost; None without boxes."""
    found = error_kinds(comparison)
    base = _mean_ap(comparison, found, repaired=None)
    table: dict[str, Json] = {}
    for number, name in enumerate(_NAMES):
        repaired = _mean_ap(comparison, found, repaired=number)
        count = found.missed.sum() if name == "missed" else (found.kinds == number).sum()
        table[name] = {
            "count": int(count),
            "map50_cost": None if base is None or repaired is None else max(0.0, repaired - base),
        }
    return table


def _mean_ap(comparison: Comparison, found: ErrorKinds, *, repaired: int | None) -> float | None:
    """Return mAP50 after an oracle repaired one kind (None: as it is)."""
    gt, matching = comparison.gt, comparison.scored
    right, counted = matching.gt >= 0, ~matching.ignored
    labels = matching.labels
    boxes = np.bincount(gt.labels, minlength=len(comparison.classes))
    if repaired in (_CLASSIFICATION, _LOCALISATION):
        rows = _best_repairs(comparison, found, repaired)
        counted &= found.kinds != repaired
        counted[rows] = True
        right[rows] = True
        labels = labels.copy()
        labels[rows] = gt.labels[found.targets[rows]]
    elif repaired == len(_NAMES) - 1:
        boxes = boxes - np.bincount(gt.labels[found.missed], minlength=len(comparison.classes))
    elif repaired is not None:
        counted &= found.kinds != repaired
    values = []
    for label in range(len(comparison.classes)):
        if boxes[label] > 0:
            rows = np.flatnonzero(counted & (labels == label))
            values.append(_average(matching.scores[rows], right[rows], int(boxes[label])))
    return float(np.mean(values)) if values else None


def _best_repairs(comparison: Comparison, found: ErrorKinds, kind: int) -> npt.NDArray[np.intp]:
    """Return the best-scored false detection of a kind for each object that nothing found."""
    matching = comparison.scored
    free = matching.by_truth(len(comparison.gt)) < 0
    rows = np.flatnonzero((found.kinds == kind) & (found.targets >= 0))
    rows = rows[free[found.targets[rows]]]
    rows = rows[np.argsort(-matching.scores[rows], kind="stable")]
    _, first = np.unique(found.targets[rows], return_index=True)
    return rows[first]


def _average(scores: FloatArray, right: BoolArray, boxes: int) -> float:
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(right[order])
    precision = hits / np.arange(1, len(order) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    place = np.searchsorted(hits / boxes, RECALLS, side="left")
    return float(np.append(precision, 0.0)[place].mean())
