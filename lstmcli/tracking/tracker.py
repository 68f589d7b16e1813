"""Online multi-object tracker.

Detections are matched by `Association`; ones below the threshold may continue a track, but not
begin one (ByteTrack, Zhang et al. 2022, https://arxiv.org/abs/2110.06864). It is causal: the output
of a frame never changes afterwards.
"""

from __future__ import annotations

import numpy as np

from lstmcli.core.calibration import ScoreCalibration
from lstmcli.core.types import Detections, FloatArray
from lstmcli.tracking.association import Association
from lstmcli.tracking.motion import Floats, Indices, box_sizes, centers_and_sizes, corners

FAINT_SHARE = 0.4
"""Faint detections have at least this share of the threshold's raw score."""
_DUPLICATE_IOU = 0.5
_SCORE_KEPT = 0.5
"""Weight of the past in a track's mean score: one weak frame is bridged, a second one counts."""
_STILL, _MOVING = 0.03, 0.45
"""Distance (in box sizes) of a centre from its prediction that is jitter, or real motion."""
_SAME_SHAPE, _NEW_SHAPE = 0.05, 0.25
"""Likewise for the relative change of a side."""


class Tracker:
    """Tracks the objects of one video.

    Args:
        threshold: smallest score that begins a track, and smallest mean score that is output.
        calibration: of the scores. Means are taken of raw scores: a steep calibration maps a weak
            score to almost 0, and the mean would flicker. None: scores are raw.
        smooth: False outputs scores, classes and boxes as detected, with track ids.
    """

    def __init__(
        self,
        *,
        threshold: float,
        calibration: ScoreCalibration | None = None,
        smooth: bool = True,
    ) -> None:
        curve = ScoreCalibration(slope=calibration.slope if calibration is not None else 1.0)
        self.threshold, self.smooth, self._curve = threshold, smooth, curve
        self.min_score = curve.faint_threshold(threshold, FAINT_SHARE)
        """Smallest score that continues a track, so that it bridges weak moments."""
        self._association = Association(
            certain=threshold, min_score=threshold, max_overlap=_DUPLICATE_IOU
        )
        self._scores = np.zeros(0)

    def step(self, detections: Detections, time_s: float) -> Detections:
        """Return the tracked objects of the next frame, with ids from 1, the best score first.

        Args:
            detections: of the frame; those below `min_score` are left out.
            time_s: the frame's time; it grows from call to call.
        """
        detections = detections.select(detections.scores >= self.min_score)
        tracks = self._association
        matches = tracks.step(
            detections.boxes, detections.scores, _one_hot(detections.labels), time_s
        )
        matched = np.flatnonzero(matches.rows >= 0)
        scores = self._curve.uncalibrated(detections.scores[matches.rows[matched]])
        old = ~matches.is_new[matched]
        self._scores = np.concatenate((self._scores[matches.kept], np.zeros(matches.is_new.sum())))
        past = np.where(old & self.smooth, self._scores[matched], scores)
        self._scores[matched] = _SCORE_KEPT * past + (1 - _SCORE_KEPT) * scores
        boxes = detections.boxes[matches.rows[matched]].copy()
        again = matched[old]
        labels = detections.labels[matches.rows[matched]]
        if self.smooth and len(matched):
            labels = tracks.class_scores[matched].argmax(axis=1)
            boxes[old] = _smoothed(
                centers_and_sizes(detections.boxes[matches.rows[again]]),
                centers_and_sizes(matches.predicted[again]),
                tracks.motion.xywh[again],
            )
        best_first = np.lexsort((tracks.ids[matched], -self._scores[matched]))
        means = self._curve.calibrated(self._scores[matched].astype(np.float32))
        shown = best_first[means[best_first] >= np.float32(self.threshold)]
        return Detections(
            boxes[shown],
            means[shown],
            labels[shown],
            tracks.ids[matched][shown],
        )


def _smoothed(detected: Floats, predicted: Floats, filtered: Floats) -> FloatArray:
    """Return boxes between the detected and the filtered ones.

    Jitter is smoothed; a detection far from the prediction is real motion and is followed at once.
    """
    sizes = box_sizes(detected)
    away = np.hypot(*(detected - predicted)[:, :2].T) / sizes
    change = np.abs(detected[:, 2:] / np.maximum(predicted[:, 2:], 1.0) - 1).max(axis=1)
    follow = np.stack(
        [
            np.interp(away, (_STILL, _MOVING), (0.0, 1.0)),
            np.interp(change, (_SAME_SHAPE, _NEW_SHAPE), (0.0, 1.0)),
        ],
        axis=1,
    ).repeat(2, axis=1)
    return corners(filtered + follow * (detected - filtered))


def _one_hot(labels: Indices) -> Floats:
    """Return [N, classes] with a 1 at each label."""
    return np.eye(int(labels.max()) + 1)[labels] if len(labels) else np.zeros((0, 0))
