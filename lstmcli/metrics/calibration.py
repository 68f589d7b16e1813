"""Expected calibration error: about 80 % of detections scored 0.8 should be correct."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lstmcli.core.calibration import USUAL_THRESHOLD, ScoreCalibration
from lstmcli.core.types import BoolArray, FloatArray
from lstmcli.metrics.comparison import Comparison, Json
from lstmcli.metrics.frame_result import FrameResult
from lstmcli.metrics.matching import JoinedResults

BINS = 10
SLOPES = np.round(np.arange(0.5, 5.01, 0.25), 2)
"""Candidates of the best slope."""
MIN_SCORE = USUAL_THRESHOLD / 2
"""Lower scores are thousands of detections that are never output; they would dominate the fit."""
MIN_TRUE_POSITIVES = 50


def calibration(comparison: Comparison) -> dict[str, Json]:
    """Return the expected calibration error of the shown detections, and its bins.

    `error` (Guo et al. 2017, 1706.04599) is the mean of |accuracy - confidence| over ten bins,
    weighted by their counts. `bins`: `confidence` is the mean score, `accuracy` the share of true
    positives, `count` the number of detections; empty bins are left out.
    """
    shown = comparison.shown
    counted = ~shown.ignored
    scores = shown.scores[counted]
    correct = (shown.gt >= 0)[counted]
    bin_of = np.minimum((scores * BINS).astype(int), BINS - 1)
    bins: list[Json] = []
    error = 0.0
    for number in range(BINS):
        rows = bin_of == number
        if not rows.any():
            continue
        confidence, accuracy = float(scores[rows].mean()), float(correct[rows].mean())
        count = int(rows.sum())
        bins.append({"confidence": confidence, "accuracy": accuracy, "count": count})
        error += abs(accuracy - confidence) * count / len(scores)
    return {"error": error if bins else None, "bins": bins}


def best_slope(results: Sequence[FrameResult], *, power: float) -> float | None:
    """Return the slope of `ScoreCalibration` with the lowest log loss.

    None with fewer than `MIN_TRUE_POSITIVES` true positives: the fit would be noise.

    Args:
        results: of a validation.
        power: exponent of the scores before the curve.
    """
    matching = JoinedResults.of(results).match(iou=0.5)
    scores = matching.scores[~matching.ignored] ** power
    correct = matching.gt[~matching.ignored] >= 0
    scores, correct = scores[scores >= MIN_SCORE], correct[scores >= MIN_SCORE]
    if int(correct.sum()) < MIN_TRUE_POSITIVES:
        return None
    costs = [
        _log_loss(ScoreCalibration(float(slope)).calibrated(scores), correct) for slope in SLOPES
    ]
    return float(SLOPES[int(np.argmin(costs))])


def _log_loss(scores: FloatArray, correct: BoolArray) -> float:
    """Return the mean negative log-likelihood of the outcomes."""
    likely = np.where(correct, scores, 1 - scores).astype(np.float64)
    return float(-np.log(np.maximum(likely, 1e-6)).mean())
