"""How sure a score says it is: of what is told as 0.8, eight of ten should be right."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from lstmcli.core.types import Detections, FloatArray

USUAL_THRESHOLD = 0.3
"""What `detect` and `evaluate` show without being told another threshold."""
_EDGE, _ROUNDING = 1e-9, 1e-6


@dataclass(frozen=True, slots=True)
class ScoreCalibration:
    """Tells scores as the share of such answers that is right, as far as the validation knew.

    A logistic curve over the score's logit (Platt 1999, "Probabilistic outputs for support vector
    machines") that leaves `USUAL_THRESHOLD` where it is, so that the same detections are shown. It
    never changes which of two scores is the higher.

    Args:
        slope: of the curve; above 1 where scores hesitate more than they err, 1: scores are told
            as they are.
        power: of the raw scores, before the curve: brings the threshold of the best F1 on the
            validation split to `USUAL_THRESHOLD`.
    """

    slope: float = 1.0
    power: float = 1.0

    def calibrated(self, scores: FloatArray) -> FloatArray:
        """Return what is told of scores, float32 in 0..1.

        Args:
            scores: of any shape, in 0..1.
        """
        if self.slope == 1:
            return scores
        logits = _logit(np.asarray(scores, np.float64)) - _logit(USUAL_THRESHOLD)
        calibrated = 1 / (1 + np.exp(-(self.slope * logits + _logit(USUAL_THRESHOLD))))
        return np.asarray(calibrated, np.float32)

    def calibrate(self, found: Detections) -> Detections:
        """Return the same detections with scores as they are told."""
        return found if self.slope == 1 else replace(found, scores=self.calibrated(found.scores))

    def raw_score(self, calibrated: float) -> float:
        """Return the least score that is told as this or more; thresholds are given as told."""
        if self.slope == 1 or calibrated in (0, USUAL_THRESHOLD, 1):
            return calibrated
        logit = (float(_logit(calibrated)) - float(_logit(USUAL_THRESHOLD))) / self.slope
        score = 1 / (1 + math.exp(-(logit + float(_logit(USUAL_THRESHOLD)))))
        return min(1.0, score + _ROUNDING)  # what is rounded must not be told as less


def _logit(scores: npt.ArrayLike) -> npt.NDArray[np.float64]:
    inside = np.clip(np.asarray(scores, np.float64), _EDGE, 1 - _EDGE)
    return np.log(inside / (1 - inside))
