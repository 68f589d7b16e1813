"""Confusion matrix at the threshold: boxes are matched without regard to class."""

from __future__ import annotations

import numpy as np

from lstmcli.core.types import IntArray
from lstmcli.metrics.comparison import Comparison, Json


def confusion_counts(comparison: Comparison) -> IntArray:
    """Return int64 [classes + 1, classes + 1]: rows are ground truth, columns predicted classes.

    The last row is background (false positives), the last column missed ground truth.
    """
    count = len(comparison.classes)
    matching, gt = comparison.shown_any, comparison.gt
    matched = matching.gt >= 0
    wrong = ~matched & ~matching.ignored
    missed = matching.by_gt(len(gt)) < 0
    rows = (gt.labels[matching.gt[matched]], np.full(wrong.sum(), count), gt.labels[missed])
    columns = (matching.labels[matched], matching.labels[wrong], np.full(missed.sum(), count))
    cells = np.concatenate(rows) * (count + 1) + np.concatenate(columns)
    return np.bincount(cells, minlength=(count + 1) ** 2).reshape(count + 1, count + 1)


def confusion(comparison: Comparison) -> dict[str, Json]:
    """Return the names of rows and columns, and the counts."""
    return {
        "ground_truth": [*comparison.classes, "background"],
        "predicted": [*comparison.classes, "missed"],
        "counts": confusion_counts(comparison).tolist(),
    }
