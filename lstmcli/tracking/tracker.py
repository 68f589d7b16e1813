"""Gives detections ids that last, causally: what it says of a frame never changes afterwards.

Two rounds of matching after the idea of ByteTrack (Zhang et al. 2022,
https://arxiv.org/abs/2110.06864): certain detections first, then faint ones, which may continue a
track but not begin one. Motion is an alpha-beta filter instead of a Kalman filter; detections match
by overlap or, so that small fast objects keep their id, by nearness in units of their size.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from lstmcli.core.boxes import box_iou
from lstmcli.core.types import Detections, FloatArray, IntArray

Floats = npt.NDArray[np.float64]

FAINT_SHARE = 0.4
"""Faint detections have at least this share of the threshold's raw score."""
_PATIENCE_S = 1.0
_YOUNG_PATIENCE_S = 0.2
_COAST_S = 0.6
"""A lost object is expected to move on for this long at the most."""
_REACH, _REACH_NEW, _REACH_A_SECOND = 0.8, 1.5, 0.8
"""Nearness falls to 1/e at this distance, in units of the object's size; further for an object
whose speed is not known yet, and for every second that it was out of sight."""
_OTHER_CLASS = 0.6
_DOUBLE = 0.5
_ENOUGH, _ENOUGH_FAINT = 0.15, 0.3
_EVIDENCE_KEPT, _SCORE_KEPT = 0.95, 0.7


@dataclass(slots=True)
class _Track:
    """An object: centre and size [4], speed [2] in pixels a second, evidence by class."""

    id: int
    place: Floats
    seen_s: float
    score: float
    evidence: dict[int, float]
    speed: Floats = field(default_factory=lambda: np.zeros(2))
    hits: int = 1

    @property
    def label(self) -> int:
        """The class with the most evidence along the track."""
        return max(self.evidence, key=lambda label: (self.evidence[label], -label))

    def reach(self, time_s: float, last_s: float) -> float:
        """Return how far from where it is expected it may be, in units of its size."""
        if self.hits == 1:  # two far flashes are not an object, two in neighbouring frames may be
            return _REACH_NEW if self.seen_s >= last_s else _REACH
        return _REACH + _REACH_A_SECOND * min(max(time_s - self.seen_s, 0.0), 1.0)

    def expected(self, time_s: float) -> Floats:
        """Return the centre and size that are expected at a time."""
        place = self.place.copy()
        place[:2] += self.speed * min(max(time_s - self.seen_s, 0.0), _COAST_S)
        return place


class Tracker:
    """Follows the objects of one video.

    Args:
        threshold: smallest score that begins a track, and smallest mean score that is output.
        min_score: smallest score that continues a track, so that it bridges weak moments; None:
            `FAINT_SHARE` of the threshold, right for scores that are not calibrated.
    """

    def __init__(self, *, threshold: float, min_score: float | None = None) -> None:
        self.threshold = threshold
        self.min_score = FAINT_SHARE * threshold if min_score is None else min_score
        self._tracks: list[_Track] = []
        self._next = 1
        self._last_s = float("-inf")

    def step(self, detections: Detections, time_s: float) -> Detections:
        """Return the tracked objects of the next frame, with ids from 1, the best score first.

        Args:
            detections: of the frame; those below `min_score` are left out.
            time_s: the frame's time; it grows from call to call.
        """
        self._forget(time_s)
        certain = detections.scores >= self.threshold
        faint = (detections.scores >= self.min_score) & ~certain
        free = list(range(len(self._tracks)))
        seen: list[_Track] = []
        begun: list[int] = []
        for rows, enough in ((certain, _ENOUGH), (faint, _ENOUGH_FAINT)):
            pairs = self._match(detections, np.flatnonzero(rows), free, time_s, enough)
            for track, row in pairs.items():
                self._update(self._tracks[track], detections, row, time_s)
                seen.append(self._tracks[track])
            free = [track for track in free if track not in pairs]
            if rows is certain:
                taken = set(pairs.values())
                begun = [row for row in np.flatnonzero(rows).tolist() if row not in taken]
        for row in begun:
            # A second box on a followed object is a double, not a newcomer.
            if not self._is_double(detections.boxes[row : row + 1], seen):
                seen.append(self._begin(detections, row, time_s))
        self._last_s = time_s
        return _answer([track for track in seen if track.score >= self.threshold])

    def _forget(self, time_s: float) -> None:
        self._tracks = [
            track
            for track in self._tracks
            if time_s - track.seen_s <= (_PATIENCE_S if track.hits > 1 else _YOUNG_PATIENCE_S)
            or track.seen_s >= self._last_s  # frames may lie further apart than the patience
        ]

    def _match(
        self,
        detections: Detections,
        rows: IntArray,
        tracks: list[int],
        time_s: float,
        enough: float,
    ) -> dict[int, int]:
        """Return track -> row of the best pairs that are alike enough."""
        if not len(rows) or not tracks:
            return {}
        expected = np.stack([self._tracks[track].expected(time_s) for track in tracks])
        labels = np.array([self._tracks[track].label for track in tracks])
        reach = np.array([self._tracks[track].reach(time_s, self._last_s) for track in tracks])
        like = likeness(expected, centers_and_sizes(detections.boxes[rows]), reach)
        like *= np.where(labels[:, None] == detections.labels[rows][None], 1.0, _OTHER_CLASS)
        first, second = linear_sum_assignment(-like)
        return {
            tracks[i]: int(rows[j])
            for i, j in zip(first.tolist(), second.tolist(), strict=True)
            if like[i, j] >= enough
        }

    @staticmethod
    def _is_double(box: FloatArray, seen: list[_Track]) -> bool:
        followed = [track.place for track in seen if track.hits > 1]
        return bool(followed) and float(box_iou(box, corners(np.stack(followed))).max()) > _DOUBLE

    def _begin(self, detections: Detections, row: int, time_s: float) -> _Track:
        score = float(detections.scores[row])
        track = _Track(
            id=self._next,
            place=centers_and_sizes(detections.boxes[row : row + 1])[0],
            seen_s=time_s,
            score=score,
            evidence={int(detections.labels[row]): score},
        )
        self._next += 1
        self._tracks.append(track)
        return track

    def _update(self, track: _Track, detections: Detections, row: int, time_s: float) -> None:
        seen = centers_and_sizes(detections.boxes[row : row + 1])[0]
        expected = track.expected(time_s)
        gap_s = max(time_s - track.seen_s, 1e-3)
        size = max(float(np.sqrt(seen[2] * seen[3])), 1.0)
        off = seen - expected
        # Trembling is smoothed; what is far off is real motion, and is followed at once.
        trust = _ramp(float(np.hypot(off[0], off[1])) / size, (0.03, 0.45), (0.25, 1.0))
        shape = float(np.abs(off[2:] / np.maximum(expected[2:], 1.0)).max())
        place = expected.copy()
        place[:2] += trust * off[:2]
        place[2:] += _ramp(shape, (0.05, 0.25), (0.35, 1.0)) * off[2:]
        track.speed = track.speed + (0.5 if track.hits == 1 else 0.3) * off[:2] / gap_s
        track.place, track.seen_s = place, time_s
        track.hits += 1
        score = float(detections.scores[row])
        track.score = _SCORE_KEPT * track.score + (1 - _SCORE_KEPT) * score
        for label in track.evidence:
            track.evidence[label] *= _EVIDENCE_KEPT
        label = int(detections.labels[row])
        track.evidence[label] = track.evidence.get(label, 0.0) + score


def likeness(expected: Floats, seen: Floats, reach: Floats) -> Floats:
    """Return how well each expected place [N, 4] fits each seen one [M, 4], 0..1 [N, M].

    The overlap, or the nearness of the centres where the sizes are alike, whichever is more;
    `reach` [N] says how near that is.
    """
    overlap = box_iou(corners(expected), corners(seen)).astype(np.float64)
    distance = np.hypot(*(expected[:, None, :2] - seen[None, :, :2]).transpose(2, 0, 1))
    first, second = (np.sqrt(np.maximum(part[:, 2] * part[:, 3], 1.0)) for part in (expected, seen))
    mean = (first[:, None] + second[None]) / 2
    alike = np.minimum(first[:, None], second[None]) / np.maximum(first[:, None], second[None])
    near = np.exp(-np.square(distance / (reach[:, None] * mean))) * alike
    return np.asarray(np.maximum(overlap, near))


def _ramp(value: float, ends: tuple[float, float], results: tuple[float, float]) -> float:
    return float(np.interp(value, ends, results))


def centers_and_sizes(boxes: FloatArray) -> Floats:
    """Return centre and size of boxes, float64 [N, 4] (x, y, width, height)."""
    wide = boxes.astype(np.float64)
    return np.concatenate([(wide[:, :2] + wide[:, 2:]) / 2, wide[:, 2:] - wide[:, :2]], axis=1)


def corners(places: Floats) -> FloatArray:
    """Return centers and sizes [N, 4] as boxes, float32 [N, 4]."""
    half = places[:, 2:] / 2
    corners = np.concatenate([places[:, :2] - half, places[:, :2] + half], axis=1)
    return np.asarray(corners, np.float32)


def _answer(tracks: list[_Track]) -> Detections:
    if not tracks:
        return Detections.none()
    tracks = sorted(tracks, key=lambda track: (-track.score, track.id))
    return Detections(
        corners(np.stack([track.place for track in tracks])),
        np.array([track.score for track in tracks], np.float32),
        np.array([track.label for track in tracks], np.int64),
        np.array([track.id for track in tracks], np.int64),
    )
