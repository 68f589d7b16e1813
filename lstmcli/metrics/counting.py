"""Precision, recall and F1 at the threshold, in all and by class."""

from __future__ import annotations

from lstmcli.core.structures import BoolArray
from lstmcli.metrics.average_precision import average_precision, mean_of_known
from lstmcli.metrics.comparison import Comparison, Json


def overall(comparison: Comparison) -> dict[str, float | None]:
    """Return the headline: average precisions, and precision, recall and F1 of all boxes pooled."""
    any_class, shown = comparison.scored_any, comparison.shown
    precision, recall, f1 = precision_recall_f1(
        right=int((shown.truth >= 0).sum()),
        found=int((~shown.ignored).sum()),
        boxes=len(comparison.truth),
    )
    return {
        "map": mean_of_known(comparison.coco.ap[:, 0]),
        "map50": mean_of_known(comparison.coco.ap50[:, 0]),
        "map50_any_class": average_precision(any_class, ~any_class.ignored, len(comparison.truth)),
        "precision": precision,
        "recall": recall,
        "f1": f1,
    }


def by_class(comparison: Comparison) -> dict[str, Json]:
    """Return the same for every class: ap, ap50, precision, recall, f1, boxes, found, right."""
    table: dict[str, Json] = {}
    for label, name in enumerate(comparison.classes):
        truth = comparison.truth.labels == label
        table[name] = {
            "ap": mean_of_known(comparison.coco.ap[label, :1]),
            "ap50": mean_of_known(comparison.coco.ap50[label, :1]),
            **_counts(comparison, truth, comparison.shown.labels == label),
        }
    return table


def by_video(comparison: Comparison) -> dict[str, Json]:
    """Return the same for every video, with its AP50 and number of frames."""
    table: dict[str, Json] = {}
    truth_video = comparison.videos[comparison.truth.results]
    for number, name in enumerate(comparison.video_names):
        truth = truth_video == number
        table[name] = {
            "frames": int((comparison.videos == number).sum()),
            "map50": comparison.ap50(truth, comparison.videos[comparison.scored.results] == number),
            **_counts(comparison, truth, comparison.videos[comparison.shown.results] == number),
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


def _counts(comparison: Comparison, truth: BoolArray, shown: BoolArray) -> dict[str, Json]:
    matching = comparison.shown
    found = int((shown & ~matching.ignored).sum())
    right = int((shown & (matching.truth >= 0)).sum())
    precision, recall, f1 = precision_recall_f1(right, found, int(truth.sum()))
    return {
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "boxes": int(truth.sum()),
        "found": found,
        "right": right,
    }
