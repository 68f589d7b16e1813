"""What was taken for what, at the threshold: boxes are matched first and named afterwards."""

from __future__ import annotations

import numpy as np

from lstmcli.core.types import IntArray
from lstmcli.metrics.comparison import Comparison, Json


def confusion_counts(comparison: Comparison) -> IntArray:
    """Return int64 [classes + 1, classes + 1]: rows are truth, columns what it was called.

    The last row are detections where nothing was, the last column truth that nothing found.
    """
    count = len(comparison.classes)
    matching, gt = comparison.shown_any, comparison.gt
    right = matching.gt >= 0
    wrong = ~right & ~matching.ignored
    missed = matching.by_truth(len(gt)) < 0
    rows = (gt.labels[matching.gt[right]], np.full(wrong.sum(), count), gt.labels[missed])
    columns = (matching.labels[right], matching.labels[wrong], np.full(missed.sum(), count))
    cells = np.concatenate(rows) * (count + 1) + np.concatenate(columns)
    return np.bincount(cells, minlength=(count + 1) ** 2).reshape(count + 1, count + 1)


def confusion(comparison: Comparison) -> dict[str, Json]:
    """Return the names of rows and columns, and the counts."""
    return {
        "truth": [*comparison.classes, "nothing"],
        "called": [*comparison.classes, "missed"],
        "counts": confusion_counts(comparison).tolist(),
    }
