"""Whether scores say how sure they are: of what is told as 0.8, eight of ten should be right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lstmcli.core.calibration import USUAL_THRESHOLD, ScoreCalibration
from lstmcli.core.types import BoolArray, FloatArray
from lstmcli.metrics.comparison import Comparison, Json
from lstmcli.metrics.frame_result import FrameResult
from lstmcli.metrics.matching import match_all

BINS = 10
SLOPES = np.round(np.arange(0.5, 5.01, 0.25), 2)
"""Among which the best one is looked for."""
LEAST_TOLD = USUAL_THRESHOLD / 2
"""Answers below are thousands that nobody is shown; they would decide the curve alone."""
LEAST_RIGHT = 50


def calibration(comparison: Comparison) -> dict[str, Json]:
    """Return how far the told scores of what is shown are from the share that is right.

    `error` is the expected calibration error (Guo et al. 2017, 1706.04599): the mean distance over
    ten bins, weighted by how much is in them. `bins`: `told` is the mean, `right` the share,
    `found` how many; empty ones are left out.
    """
    shown = comparison.shown
    counted = ~shown.ignored
    told = shown.scores[counted]
    right = (shown.gt >= 0)[counted]
    number = np.minimum((told * BINS).astype(int), BINS - 1)
    bins: list[Json] = []
    error = 0.0
    for which in range(BINS):
        rows = number == which
        if not rows.any():
            continue
        mean, share, found = float(told[rows].mean()), float(right[rows].mean()), int(rows.sum())
        bins.append({"told": mean, "right": share, "found": found})
        error += abs(mean - share) * found / len(told)
    return {"error": error if bins else None, "bins": bins}


def best_slope(results: Sequence[FrameResult], *, power: float) -> float | None:
    """Return the slope of `ScoreCalibration` that makes what was right or wrong the likeliest.

    None where fewer than `LEAST_RIGHT` answers were right: chance would choose.

    Args:
        results: of a validation.
        power: of the scores as they will be answered.
    """
    matching = match_all(results, lambda result: result.answers, iou=0.5)
    scores = matching.scores[~matching.ignored] ** power
    right = matching.gt[~matching.ignored] >= 0
    scores, right = scores[scores >= LEAST_TOLD], right[scores >= LEAST_TOLD]
    if int(right.sum()) < LEAST_RIGHT:
        return None
    costs = [
        _surprise(ScoreCalibration(float(slope)).calibrated(scores), right) for slope in SLOPES
    ]
    return float(SLOPES[int(np.argmin(costs))])


def _surprise(told: FloatArray, right: BoolArray) -> float:
    """Return the mean of minus the logarithm of how likely each outcome was told to be."""
    likely = np.where(right, told, 1 - told).astype(np.float64)
    return float(-np.log(np.maximum(likely, 1e-6)).mean())
