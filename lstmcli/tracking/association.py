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

from lstmcli.core.boxes import box_iou, paired_box_iou
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
_PATIENCE_S = np.array((0, *PATIENCE_S))
MIN_LIKENESS, MIN_LIKENESS_FAINT = 0.15, 0.5
OTHER_CLASS = 0.6
"""Factor on the likeness of a track and a detection of different classes."""
_REACH, _REACH_NEW = 0.5, 1.5
"""Nearness falls to 1/e at this many sizes of distance, and further where motion is uncertain.
Also further for a track of one detection in the previous frame, whose velocity is unknown."""
_FAR = 1.38
"""Centres further apart, in mean sizes times the reach, are less near than `MIN_LIKENESS`."""
_FEW_PAIRS = 200
"""So many pairs of tracks and detections are computed at once without a search for near ones."""
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
        class_scores: [T, classes], decaying sums of class scores.
    """

    def __init__(self, *, certain: float, min_score: float, max_overlap: float = 1.0) -> None:
        self.certain, self.min_score, self.max_overlap = certain, min_score, max_overlap
        self.motion = BoxMotion.start(np.zeros((0, 4)))
        self.ids = np.zeros(0, np.int64)
        self._lives = np.zeros((0, 3))  # in one array: tracks are selected and joined by one call
        self.class_scores = np.zeros((0, 0))
        self._next_id = 1
        self._last_s: float | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def seen_s(self) -> Floats:
        """Time of the last detection of each track."""
        return self._lives[:, 0]

    @property
    def hits(self) -> Floats:
        """How many detections each track has."""
        return self._lives[:, 1]

    @property
    def best_score(self) -> Floats:
        """The highest score of each track, fading within a second."""
        return self._lives[:, 2]

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
        rows = self._assign(predicted, detected, scores, classes)
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
        patience = _PATIENCE_S[np.minimum(self.hits, 3).astype(np.int64)]
        # frames may be further apart than the patience
        alive = (time_s - self.seen_s <= patience) | (self.seen_s >= last_s)
        kept = np.flatnonzero(alive & (time_s >= last_s))
        self.motion, self.ids = self.motion.select(kept), self.ids[kept]
        self._lives = self._lives.take(kept, axis=0)
        self.class_scores = self.class_scores.take(kept, axis=0)
        return kept

    def _assign(
        self, predicted: FloatArray, detected: Floats, scores: FloatArray, classes: Floats
    ) -> Indices:
        """Return the detection of each track, -1 where there is none.

        Args:
            predicted: [T, 4], predicted boxes of the tracks.
            detected: [N, 4], x, y, width and height.
            scores: [N], 0..1.
            classes: [N, classes].
        """
        rows = np.full(len(self), -1, np.int64)
        if not len(self) or not len(detected):
            return rows
        tracks, those, alike = self._alike(predicted, detected, classes)
        certain = (scores >= self.certain)[those]
        established = (self.hits >= 2) & (self.best_score >= 0.5 * self.certain)
        taken = np.zeros(len(detected), bool)
        for candidates in (
            certain & established[tracks],
            certain,
            ~certain & (alike >= MIN_LIKENESS_FAINT),
        ):
            some = np.flatnonzero(candidates & (rows[tracks] < 0) & ~taken[those])
            if len(some):
                first, second = _best_pairs(tracks[some], those[some], alike[some])
                rows[first] = second
                taken[second] = True
        return rows

    def _alike(
        self, predicted: FloatArray, detected: Floats, classes: Floats
    ) -> tuple[Indices, Indices, Floats]:
        """Return the pairs of a track and a detection that are alike, and their likeness."""
        xywh, sizes = self.motion.xywh, box_sizes(self.motion.xywh)
        uncertain = self.motion.variances[0][:, :2].mean(axis=1) / sizes**2
        is_new = (self.hits == 1) & (self.seen_s == self._last_s)
        reach = np.sqrt(np.where(is_new, _REACH_NEW, _REACH) ** 2 + uncertain)
        tracks, those = _near(xywh, detected, reach)
        alike = _pair_likeness(
            (xywh.take(tracks, axis=0), predicted.take(tracks, axis=0)),
            (detected.take(those, axis=0), corners(detected).take(those, axis=0)),
            reach[tracks],
        )
        same = (_unit(self.class_scores) @ _unit(classes).T)[tracks, those]
        alike *= OTHER_CLASS + (1 - OTHER_CLASS) * same
        enough = np.flatnonzero(alike >= MIN_LIKENESS)
        return tracks[enough], those[enough], alike[enough]

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
        self.motion.update(tracks, detected[rows])
        lives, found = self._lives.take(tracks, axis=0), scores[rows]
        gaps_s = time_s - lives[:, 0]
        fading = np.exp(-gaps_s / _CLASSES_S)[:, None]
        self.class_scores[tracks] = (
            self.class_scores[tracks] * fading + classes[rows] * found[:, None]
        )
        lives[:, 0] = time_s
        lives[:, 1] += 1
        lives[:, 2] = np.maximum(lives[:, 2] * np.exp(-gaps_s / _SCORE_S), found)
        self._lives[tracks] = lives

    def _begin(
        self,
        rows: Indices,
        detected: Floats,
        scores: FloatArray,
        classes: Floats,
        time_s: float,
    ) -> None:
        count, found = len(rows), scores[rows]
        if not count:
            return
        lives = np.empty((count, 3))
        lives[:, 0], lives[:, 1], lives[:, 2] = time_s, 1, found
        self.motion = self.motion.joined(BoxMotion.start(detected[rows]))
        self.ids = np.concatenate((self.ids, self._next_id + np.arange(count)))
        self._lives = np.concatenate((self._lives, lives))
        weighted = classes[rows] * found[:, None]
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
    first, second = _all_pairs(len(expected), len(detected))
    ours, theirs = expected[first], detected[second]
    pairs = _pair_likeness((ours, corners(ours)), (theirs, corners(theirs)), reach[first])
    return pairs.reshape(len(expected), len(detected))


def _pair_likeness(
    expected: tuple[Floats, FloatArray], detected: tuple[Floats, FloatArray], reach: Floats
) -> Floats:
    """Return the likeness of each expected box and the detected one in the same row; [K].

    Args:
        expected: [K, 4] as x, y, width and height, and as corners.
        detected: [K, 4] likewise.
        reach: [K], see `likeness`.
    """
    overlap = paired_box_iou(expected[1], detected[1])
    ours, theirs = box_sizes(expected[0]), box_sizes(detected[0])
    away = np.square(expected[0][:, :2] - detected[0][:, :2])
    scale = ours + theirs
    scale *= reach
    scale /= 2
    near = np.exp(-((away[:, 0] + away[:, 1]) / np.square(scale)))
    near *= np.minimum(ours, theirs)
    near /= np.maximum(ours, theirs)
    return np.maximum(overlap, near)


def _all_pairs(tracks: int, detections: int) -> tuple[Indices, Indices]:
    first, second = np.divmod(np.arange(tracks * detections), detections or 1)
    return first, second


def _near(expected: Floats, detected: Floats, reach: Floats) -> tuple[Indices, Indices]:
    """Return pairs of boxes, all those that are alike among them.

    A likeness of `MIN_LIKENESS` needs boxes that overlap, or centres within `_FAR` mean sizes times
    the reach. Most of a hundred tracks and detections are further apart.
    """
    if len(expected) * len(detected) <= _FEW_PAIRS:
        return _all_pairs(len(expected), len(detected))
    ours, theirs = np.ascontiguousarray(expected.T), np.ascontiguousarray(detected.T)
    limit = (_FAR / 2 * reach)[:, None] * (box_sizes(expected)[:, None] + box_sizes(detected))
    sides = np.maximum(ours[2], ours[3])[:, None] + np.maximum(theirs[2], theirs[3])
    sides /= 2
    np.maximum(limit, sides, out=limit)
    away = np.abs(ours[0][:, None] - theirs[0])
    np.maximum(away, np.abs(ours[1][:, None] - theirs[1]), out=away)
    first, second = np.divmod(np.flatnonzero(away <= limit), len(detected))
    return first, second


def _best_pairs(tracks: Indices, detections: Indices, alike: Floats) -> tuple[Indices, Indices]:
    """Return the tracks and detections of the assignment with the largest sum of likeness.

    Args:
        tracks: [K], of each pair that may be assigned.
        detections: [K] likewise.
        alike: [K], above 0.
    """
    # most pairs are the only ones of both: the assignment is of the others
    alone = (np.bincount(tracks)[tracks] == 1) & (np.bincount(detections)[detections] == 1)
    if alone.all():
        return tracks, detections
    some = np.flatnonzero(~alone)
    rows, row = np.unique(tracks[some], return_inverse=True)
    columns, column = np.unique(detections[some], return_inverse=True)
    costs = np.zeros((len(rows), len(columns)))
    costs[row, column] = -alike[some]
    first, second = linear_sum_assignment(costs)
    kept = costs[first, second] < 0
    return (
        np.concatenate((tracks[alone], rows[first[kept]])),
        np.concatenate((detections[alone], columns[second[kept]])),
    )


def _widened(rows: npt.NDArray[np.floating], count: int) -> Floats:
    """Return rows with `count` columns, zeros behind the others."""
    if rows.shape[1] == count:
        return rows.astype(np.float64)
    return np.concatenate((rows, np.zeros((len(rows), count - rows.shape[1]))), axis=1)


def _unit(rows: Floats) -> Floats:
    """Return rows of length 1; rows of zeros stay."""
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9))
