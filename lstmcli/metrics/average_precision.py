"""Average precision of subsets of the data, as COCO has it, and means over classes.

Lin et al. 2014, https://arxiv.org/abs/1405.0312: precision is made to fall monotonically and read
at 101 recalls from 0 to 1.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lstmcli.core.types import BoolArray, FloatArray
from lstmcli.metrics.coco import RECALLS
from lstmcli.metrics.matching import Matching


def mean_of_known(values: npt.NDArray[np.float64]) -> float | None:
    """Return the mean of the values that are not negative; None without any."""
    known = values[values >= 0]
    return float(known.mean()) if len(known) else None


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
