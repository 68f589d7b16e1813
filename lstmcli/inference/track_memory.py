"""Track memory: detections are combined with the past of their tracks. Causal, constant memory.

A detection with a lower score than its track had a moment ago is raised towards it, a track without
a detection coasts at its predicted box for a moment with a decaying score, and class scores are
averaged along the track, weighted by objectness (the simplest late fusion along a tube, as in
Seq-NMS, Han et al. 2016, https://arxiv.org/abs/1602.08465). It works with any detector.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lstmcli.core.boxes import box_iou
from lstmcli.core.metadata import TrackMemoryConfig
from lstmcli.core.types import BoolArray, FloatArray, IntArray
from lstmcli.tracking.association import Association, Matches
from lstmcli.tracking.motion import corners

Floats = npt.NDArray[np.float64]

CERTAIN, MIN_OBJECTNESS = 0.25, 0.08
"""Objectness of detections that are matched first, and of those that may begin a track."""
OBJECTNESS_SHARE = 0.5
"""Weight of the averaged objectness where boxes are smoothed."""
_COVERED_IOU = 0.5
"""A predicted box that overlaps a detection by more than this is that detection."""


@dataclass(slots=True)
class _FadingMean:
    """Exponentially decaying weighted means of T tracks; sums [T, K] and weights [T, 1]."""

    sums: Floats
    weights: Floats

    @classmethod
    def empty(cls, width: int) -> _FadingMean:
        return cls(np.zeros((0, width)), np.zeros((0, 1)))

    def follow(self, matches: Matches) -> None:
        """Drop the rows of lost tracks, and add empty ones for new tracks."""
        new = np.zeros((int(matches.is_new.sum()), self.sums.shape[1] + 1))  # np.pad is slow
        self.sums = np.concatenate((self.sums[matches.kept], new[:, 1:]))
        self.weights = np.concatenate((self.weights[matches.kept], new[:, :1]))

    def add(self, tracks: IntArray, values: Floats, weights: Floats, fading: Floats) -> Floats:
        """Add values of some tracks; return their means."""
        self.sums[tracks] = self.sums[tracks] * fading + values * weights
        self.weights[tracks] = self.weights[tracks] * fading + weights
        return np.asarray(self.sums[tracks] / np.maximum(self.weights[tracks], 1e-12))


class TrackMemory:
    """Tracks of one stream with averaged classes, sides and objectness.

    Args:
        config: which values are averaged, with which time constants.
    """

    def __init__(self, config: TrackMemoryConfig) -> None:
        self.config = config
        self._tracks = Association(certain=CERTAIN, min_score=MIN_OBJECTNESS)
        self._classes = _FadingMean.empty(0)
        self._sides, self._objectness = _FadingMean.empty(2), _FadingMean.empty(1)

    def fork(self) -> TrackMemory:
        """Return a memory of the same tracks; a step of one leaves the other as it is."""
        other = copy(self)
        other._tracks = self._tracks.fork()
        other._classes, other._sides = copy(self._classes), copy(self._sides)
        other._objectness = copy(self._objectness)
        return other

    def step(
        self, boxes: FloatArray, objectness: FloatArray, classes: FloatArray, time_s: float
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the next frame's boxes, objectness and classes with memory, in the same order.

        Predicted boxes of tracks without a detection in this frame are appended.

        Args:
            boxes: [N, 4] of one frame, after class-agnostic NMS.
            objectness: [N] in 0..1.
            classes: [N, classes], rows sum to 1.
            time_s: the frame's own time.
        """
        config = self.config
        if config.temperature != 1:
            softer = np.maximum(classes, 1e-9) ** (1 / config.temperature)
            classes = np.asarray(softer / softer.sum(axis=1, keepdims=True), np.float32)
        matches = self._tracks.step(boxes, objectness, classes, time_s)
        if self._classes.sums.shape[1] != classes.shape[1]:
            self._classes = _FadingMean.empty(classes.shape[1])
            self._classes.sums = np.zeros((len(matches.rows), classes.shape[1]))
            self._classes.weights = np.zeros((len(matches.rows), 1))
        else:
            self._classes.follow(matches)
        self._sides.follow(matches)
        self._objectness.follow(matches)
        values = boxes.copy(), objectness.copy(), classes.copy()
        tracks = np.flatnonzero(matches.rows >= 0)
        self._average(tracks, matches, values)
        rows = matches.rows[tracks]
        best = self._tracks.best_score[tracks]
        raised = objectness[rows] + config.score_memory * np.maximum(best - objectness[rows], 0)
        values[1][rows] = np.maximum(values[1][rows], raised)
        if config.coast_s:
            return self._with_predicted(values, self._coasting(matches, values), matches)
        return values

    def _average(
        self,
        tracks: IntArray,
        matches: Matches,
        values: tuple[FloatArray, FloatArray, FloatArray],
    ) -> None:
        """Replace boxes, objectness and classes by averages along the tracks.

        Args:
            tracks: those with a detection.
            matches: of this frame.
            values: boxes, objectness and classes of the frame; changed in place.
        """
        boxes, objectness, classes = values
        rows, gaps_s = matches.rows[tracks], matches.gaps_s[tracks, None]
        weights = objectness[rows, None].astype(np.float64)
        if self.config.class_memory_s:
            fading = np.exp(-gaps_s / self.config.class_memory_s)
            classes[rows] = self._classes.add(
                tracks, classes[rows].astype(np.float64), weights, fading
            )
        if self.config.box_smoothing_s:
            fading, once = np.exp(-gaps_s / self.config.box_smoothing_s), np.ones_like(weights)
            sides = np.log(np.maximum(boxes[rows, 2:].astype(np.float64) - boxes[rows, :2], 1e-3))
            half = np.exp(self._sides.add(tracks, sides, once, fading)) / 2
            centres = (boxes[rows, :2].astype(np.float64) + boxes[rows, 2:]) / 2
            smooth = np.concatenate((centres - half, centres + half), axis=1)
            boxes[rows] = np.where(matches.is_new[tracks, None], boxes[rows], smooth)
            past = self._objectness.add(tracks, weights, once, np.sqrt(fading))
            objectness[rows] = (weights + OBJECTNESS_SHARE * (past - weights))[:, 0]

    def _coasting(
        self, matches: Matches, values: tuple[FloatArray, FloatArray, FloatArray]
    ) -> IntArray:
        """Return the tracks without a detection that coast at their predicted box."""
        tracks = self._tracks
        coasts = (matches.rows < 0) & (tracks.hits >= 2) & (matches.gaps_s <= self.config.coast_s)
        coasting = np.flatnonzero(coasts)
        best_first = coasting[np.argsort(-tracks.best_score[coasting], kind="stable")]
        predicted = corners(tracks.motion.xywh[best_first])
        free = np.ones(len(predicted), bool)
        if len(values[0]) and len(predicted):
            free = box_iou(predicted, values[0]).max(axis=1) <= _COVERED_IOU
        return best_first[_distinct(predicted, free)]

    def _with_predicted(
        self,
        values: tuple[FloatArray, FloatArray, FloatArray],
        coasting: IntArray,
        matches: Matches,
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the detections, followed by the predicted boxes of coasting tracks."""
        tracks, share = self._tracks, self.config.score_memory
        boxes = corners(tracks.motion.xywh[coasting])
        scores = share * tracks.best_score[coasting] * np.exp(-matches.gaps_s[coasting])
        sums = tracks.class_scores[coasting]
        classes = sums / np.maximum(sums.sum(axis=1, keepdims=True), 1e-12)
        return (
            np.concatenate((values[0], boxes)),
            np.concatenate((values[1], scores.astype(np.float32))),
            np.concatenate((values[2], classes.astype(np.float32))),
        )


def _distinct(boxes: FloatArray, free: BoolArray) -> BoolArray:
    """Return the free boxes after NMS, the first of overlapping ones."""
    overlaps = box_iou(boxes, boxes) > _COVERED_IOU
    for row in range(len(boxes)):
        if free[row]:
            free[row + 1 :] &= ~overlaps[row, row + 1 :]
    return free
