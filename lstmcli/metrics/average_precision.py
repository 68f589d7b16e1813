"""Average precision of subsets of the data, as COCO has it, and means over classes.

Lin et al. 2014, https://arxiv.org/abs/1405.0312: precision is made to fall monotonically and read
at 101 recalls from 0 to 1.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lstmcli.core.types import BoolArray, FloatArray
from lstmcli.metrics.coco import precision_at_recalls
from lstmcli.metrics.matching import Matching


def mean_of_known(values: npt.NDArray[np.float64]) -> float | None:
    """Return the mean of the values that are not negative; None without any."""
    known = values[values >= 0]
    return float(known.mean()) if len(known) else None


def average_precision(
    matching: Matching, counted: BoolArray, boxes: int, *, label: int | None = None
) -> float | None:
    """Return the average precision of the counted detections, None without ground truth.

    Args:
        matching: all detections.
        counted: bool [D], which of them count as true or false positives.
        boxes: number of ground-truth boxes.
        label: of one class only; None pools all classes.
    """
    if not boxes:
        return None
    return float(precision_of(matching, counted, boxes, label=label).mean())


def precision_of(
    matching: Matching, counted: BoolArray, boxes: int, *, label: int | None = None
) -> FloatArray:
    """Return the precision at each of `RECALLS`; see `average_precision`."""
    if label is None:
        rows = np.flatnonzero(counted)
        rows = rows[np.argsort(-matching.scores[rows], kind="stable")]
    else:
        rows = matching.ranked_of(label, counted)
    places = np.flatnonzero(matching.gt[rows] >= 0)  # precision is highest at true positives
    hits = np.arange(1, len(places) + 1)
    return precision_at_recalls(hits / (places + 1), hits / max(boxes, 1)).astype(np.float32)
