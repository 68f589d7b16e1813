"""Score calibration: raw scores of a network become the share of detections that are correct."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lstmcli.core.types import FloatArray

USUAL_THRESHOLD = 0.3
"""The default of `--threshold`: calibrated, it is the best-F1 threshold of the validation split."""
MIN_SCORE = 1e-3
"""COCO evaluation counts detections from this score on, before the curve is applied."""
_EDGE, _ROUNDING = 1e-9, 1e-6


@dataclass(frozen=True, slots=True)
class ScoreCalibration:
    """Maps raw scores to calibrated ones; it keeps their order.

    A power brings the best-F1 threshold of the validation split to `USUAL_THRESHOLD`. A logistic
    curve over the logit (Platt 1999, "Probabilistic outputs for support vector machines") that
    leaves this threshold where it is makes a score of 0.8 mean that 80 % are correct.

    Args:
        slope: of the curve; above 1 where scores hesitate more than they err.
        power: of the raw scores, before the curve.
    """

    slope: float = 1.0
    power: float = 1.0

    def calibrated(self, raw: FloatArray) -> FloatArray:
        """Return calibrated scores, float32 in 0..1.

        Args:
            raw: scores of any shape, in 0..1.
        """
        scores = raw if self.power == 1 else raw**self.power
        if self.slope == 1:
            return scores
        logits = _logit(np.asarray(scores, np.float64)) - _logit(USUAL_THRESHOLD)
        calibrated = 1 / (1 + np.exp(-(self.slope * logits + _logit(USUAL_THRESHOLD))))
        return np.asarray(calibrated, np.float32)

    def raw_score(self, calibrated: float) -> float:
        """Return the smallest raw score that is calibrated to this or more.

        It is never below the raw score of `MIN_SCORE`, which 0 stands for.
        """
        score = calibrated
        if self.slope != 1 and calibrated not in (0, USUAL_THRESHOLD, 1):
            logit = (float(_logit(calibrated)) - float(_logit(USUAL_THRESHOLD))) / self.slope
            score = 1 / (1 + math.exp(-(logit + float(_logit(USUAL_THRESHOLD)))))
            score = min(1.0, score + _ROUNDING)  # what is rounded must not fall below
        return float(max(score, MIN_SCORE) ** (1 / self.power))

    def uncalibrated(self, scores: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """Return scores as they were before the curve, after the power: its inverse.

        Args:
            scores: calibrated, of any shape, in 0..1.
        """
        if self.slope == 1:
            return np.asarray(scores, np.float64)
        logits = (_logit(scores) - _logit(USUAL_THRESHOLD)) / self.slope
        return np.asarray(1 / (1 + np.exp(-(logits + _logit(USUAL_THRESHOLD)))))

    def faint_threshold(self, threshold: float, share: float) -> float:
        """Return the calibrated score of a share of a threshold's raw score.

        Args:
            threshold: calibrated, 0..1.
            share: of the raw score, before the power.
        """
        powered = ScoreCalibration(self.slope).raw_score(threshold)
        score = np.array([share * powered], np.float32)
        return float(ScoreCalibration(self.slope).calibrated(score)[0])


def _logit(scores: npt.ArrayLike) -> npt.NDArray[np.float64]:
    inside = np.clip(np.asarray(scores, np.float64), _EDGE, 1 - _EDGE)
    return np.log(inside / (1 - inside))
