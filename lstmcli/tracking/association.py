"""Data association of detections with tracks, shared by tracker and track memory.

After ByteTrack (Zhang et al. 2022, https://arxiv.org/abs/2110.06864): certain detections are
matched first, then faint ones. Established tracks choose before young ones, as in DeepSORT's
cascade (Wojke et al. 2017, https://arxiv.org/abs/1703.07402). The likeness of a track and a
detection is their overlap or, so that small fast objects keep their track, the nearness of their
centres in units of size and of the motion's own uncertainty.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from lstmcli.core.boxes import box_iou
from lstmcli.core.types import FloatArray
from lstmcli.tracking.motion import (
    BoxMotion,
    Floats,
    Indices,
    box_sizes,
    centers_and_sizes,
    corners,
)

PATIENCE_S = (0.25, 0.6, 1.0)
"""Seconds that a track of one, two, and more detections survives without a detection."""
MIN_LIKENESS, MIN_LIKENESS_FAINT = 0.15, 0.5
OTHER_CLASS = 0.6
"""Factor on the likeness of a track and a detection of different classes."""
_REACH, _REACH_NEW = 0.5, 1.5
"""Nearness falls to 1/e at this many sizes of distance, and further where motion is uncertain.
Also further for a track of one detection in the previous frame, whose velocity is unknown."""
_SCORE_S, _CLASSES_S = 1.0, 10.0
"""Time constants of the decay of a track's best score and class scores."""


@dataclass(frozen=True, slots=True)
class Matches:
    """Assignment of a frame's detections to T tracks: old ones first, then new ones.

    Args:
        kept: rows of the old tracks after the previous frame.
        rows: [T], the detection of each track; -1: none.
        predicted: [len(kept), 4], predicted boxes of the old tracks (x1, y1, x2, y2).
        gaps_s: [T], seconds since a track's detection before this frame; 0 for new ones.
        is_new: [T], which tracks begin here.
    """

    kept: Indices
    rows: Indices
    predicted: FloatArray
    gaps_s: Floats
    is_new: npt.NDArray[np.bool_]


class Association:
    """The tracks of one stream; every array has a row for each track.

    Args:
        certain: minimum score of detections that are matched first.
        min_score: minimum score that begins a track.
        max_overlap: a detection that overlaps one of an established track by more than this is a
            duplicate and begins no track; 1: every detection may.

    Attributes:
        motion: Kalman filters of the tracks.
        ids: from 1, never used again.
        seen_s: time of the last detection.
        born_s: time of the first one.
        hits: how many detections.
        best_score: the highest score, fading within a second.
        class_scores: [T, classes], decaying sums of class scores.
    """

    def __init__(self, *, certain: float, min_score: float, max_overlap: float = 1.0) -> None:
        self.certain, self.min_score, self.max_overlap = certain, min_score, max_overlap
        self.motion = BoxMotion.start(np.zeros((0, 4)))
        self.ids = np.zeros(0, np.int64)
        self.seen_s, self.born_s = np.zeros(0), np.zeros(0)
        self.hits, self.best_score = np.zeros(0), np.zeros(0)
        self.class_scores = np.zeros((0, 0))
        self._next_id = 1
        self._last_s: float | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def fork(self) -> Association:
        """Return the same tracks; a step of one leaves the other as it is."""
        return copy(self)  # a step selects the rows of every array first, and changes those

    def step(
        self,
        boxes: FloatArray,
        scores: FloatArray,
        classes: npt.NDArray[np.floating],
        time_s: float,
    ) -> Matches:
        """Match the next frame's detections, update the tracks, begin new ones, drop lost ones.

        Args:
            boxes: [N, 4] in pixels.
            scores: [N], 0..1.
            classes: [N, classes], rows sum to 1; frames may have more or fewer classes.
            time_s: the frame's time; where it goes back, everything begins anew.
        """
        kept = self._keep(time_s)
        count = max(classes.shape[1], self.class_scores.shape[1])
        self.class_scores, classes = _widened(self.class_scores, count), _widened(classes, count)
        gaps_s = time_s - self.seen_s
        if self._last_s is not None and len(self):
            self.motion.predict(max(time_s - self._last_s, 1e-3), self.seen_s < self._last_s)
        predicted = corners(self.motion.xywh)
        detected = centers_and_sizes(boxes)
        rows = self._assign(detected, scores, classes)
        matched = np.flatnonzero(rows >= 0)
        self._update(matched, rows[matched], detected, scores, classes, time_s)
        free = np.ones(len(boxes), bool)
        free[rows[matched]] = False
        begun = np.flatnonzero(free & (scores >= self.min_score))
        begun = begun[~self._are_duplicates(boxes, begun, rows, matched)]
        self._begin(begun, detected, scores, classes, time_s)
        self._last_s = time_s
        return Matches(
            kept,
            np.concatenate((rows, begun)),
            predicted,
            np.concatenate((gaps_s, np.zeros(len(begun)))),
            np.arange(len(self)) >= len(kept),
        )

    def _keep(self, time_s: float) -> Indices:
        """Drop the tracks that are lost for too long; return the rows of the others."""
        last_s = self._last_s if self._last_s is not None else time_s
        patience = np.array(PATIENCE_S)[np.minimum(self.hits, 3).astype(np.int64) - 1]
        # frames may be further apart than the patience
        alive = (time_s - self.seen_s <= patience) | (self.seen_s >= last_s)
        kept = np.flatnonzero(alive & (time_s >= last_s))
        self.motion = self.motion.select(kept)
        self.ids, self.seen_s, self.born_s = self.ids[kept], self.seen_s[kept], self.born_s[kept]
        self.hits, self.best_score = self.hits[kept], self.best_score[kept]
        self.class_scores = self.class_scores[kept]
        return kept

    def _assign(self, detected: Floats, scores: FloatArray, classes: Floats) -> Indices:
        """Return the detection of each track, -1 where there is none."""
        rows = np.full(len(self), -1, np.int64)
        if not len(self) or not len(detected):
            return rows
        alike = self._alike(detected, classes)
        certain = scores >= self.certain
        established = (self.hits >= 2) & (self.best_score >= 0.5 * self.certain)
        everyone = np.ones(len(self), bool)
        taken = np.zeros(len(detected), bool)
        for tracks, candidates, enough in (
            (established, certain, MIN_LIKENESS),
            (everyone, certain, MIN_LIKENESS),
            (everyone, ~certain, MIN_LIKENESS_FAINT),
        ):
            some = np.flatnonzero(tracks & (rows < 0))
            those = np.flatnonzero(candidates & ~taken)
            if len(some) and len(those):
                first, second = _best_pairs(alike[np.ix_(some, those)], enough)
                rows[some[first]] = those[second]
                taken[those[second]] = True
        return rows

    def _alike(self, detected: Floats, classes: Floats) -> Floats:
        """Return the likeness of each track and each detection, 0..1 [T, N]."""
        xywh = self.motion.xywh
        uncertain = self.motion.variances[:, 0, :2].mean(axis=1) / box_sizes(xywh) ** 2
        is_new = (self.hits == 1) & (self.seen_s == self._last_s)
        reach = np.sqrt(np.where(is_new, _REACH_NEW, _REACH) ** 2 + uncertain)
        same = _unit(self.class_scores) @ _unit(classes).T
        return likeness(xywh, detected, reach) * (OTHER_CLASS + (1 - OTHER_CLASS) * same)

    def _are_duplicates(
        self, boxes: FloatArray, begun: Indices, rows: Indices, matched: Indices
    ) -> npt.NDArray[np.bool_]:
        """Return which new detections are second boxes on established tracks."""
        followed = boxes[rows[matched[self.hits[matched] > 1]]]
        if self.max_overlap >= 1 or not len(followed) or not len(begun):
            return np.zeros(len(begun), bool)
        return np.asarray(box_iou(boxes[begun], followed).max(axis=1) > self.max_overlap)

    def _update(
        self,
        tracks: Indices,
        rows: Indices,
        detected: Floats,
        scores: FloatArray,
        classes: Floats,
        time_s: float,
    ) -> None:
        gaps_s = time_s - self.seen_s[tracks]
        self.motion.update(tracks, detected[rows])
        fading = np.exp(-gaps_s / _CLASSES_S)[:, None]
        weighted = classes[rows] * scores[rows, None]
        self.class_scores[tracks] = self.class_scores[tracks] * fading + weighted
        past = self.best_score[tracks] * np.exp(-gaps_s / _SCORE_S)
        self.best_score[tracks] = np.maximum(past, scores[rows])
        self.seen_s[tracks] = time_s
        self.hits[tracks] += 1

    def _begin(
        self,
        rows: Indices,
        detected: Floats,
        scores: FloatArray,
        classes: Floats,
        time_s: float,
    ) -> None:
        count = len(rows)
        self.motion = self.motion.joined(BoxMotion.start(detected[rows]))
        self.ids = np.concatenate((self.ids, self._next_id + np.arange(count)))
        self.seen_s = np.concatenate((self.seen_s, np.full(count, time_s)))
        self.born_s = np.concatenate((self.born_s, np.full(count, time_s)))
        self.hits = np.concatenate((self.hits, np.ones(count)))
        self.best_score = np.concatenate((self.best_score, scores[rows].astype(np.float64)))
        weighted = classes[rows] * scores[rows, None]
        self.class_scores = np.concatenate((self.class_scores, weighted))
        self._next_id += count


def likeness(expected: Floats, detected: Floats, reach: Floats) -> Floats:
    """Return the likeness of expected and detected boxes, 0..1 [N, M].

    It is the larger of IoU and nearness of the centres, the latter scaled by the ratio of sizes.

    Args:
        expected: [N, 4], x, y, width and height.
        detected: [M, 4] likewise.
        reach: [N], the distance in box sizes at which nearness falls to 1/e.
    """
    overlap = box_iou(corners(expected), corners(detected)).astype(np.float64)
    ours, theirs = box_sizes(expected)[:, None], box_sizes(detected)[None]
    distance = np.square(expected[:, None, 0] - detected[None, :, 0])
    distance += np.square(expected[:, None, 1] - detected[None, :, 1])
    scale = ours + theirs
    scale *= reach[:, None]
    scale /= 2
    near = np.divide(distance, np.square(scale, out=scale), out=distance)
    np.exp(np.negative(near, out=near), out=near)
    near *= np.minimum(ours, theirs)
    near /= np.maximum(ours, theirs)
    return np.maximum(overlap, near, out=near)


def _best_pairs(alike: Floats, enough: float) -> tuple[Indices, Indices]:
    """Return the rows and columns of the assignment with the largest sum of likeness.

    Args:
        alike: [T, N].
        enough: smaller values are no pair.
    """
    good = alike >= enough
    rows, columns = np.flatnonzero(good.any(axis=1)), np.flatnonzero(good.any(axis=0))
    # most tracks and detections have no partner: the assignment is of the others
    some = np.ix_(rows, columns)
    first, second = linear_sum_assignment(np.where(good[some], -alike[some], 0.0))
    first, second = rows[first], columns[second]
    kept = good[first, second]
    return first[kept], second[kept]


def _widened(rows: npt.NDArray[np.floating], count: int) -> Floats:
    """Return rows with `count` columns, zeros behind the others."""
    if rows.shape[1] == count:
        return rows.astype(np.float64)
    return np.concatenate((rows, np.zeros((len(rows), count - rows.shape[1]))), axis=1)


def _unit(rows: Floats) -> Floats:
    """Return rows of length 1; rows of zeros stay."""
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9))
