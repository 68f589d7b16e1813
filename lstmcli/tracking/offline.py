"""Offline tracking of a whole video: linking, interpolation and smoothing (not causal).

Detections are linked to tracklets by overlap or nearness, as the tracker does. Where a tracklet
ends and another begins within `GAP_S`, they are joined if the first one's motion forward and the
second one's motion backward agree; the frames between are interpolated. Tracks of a single frame
are dropped, those that are never certain are uncertain. A local line in time smooths the boxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

from lstmcli.core.types import Detections, FloatArray, IntArray
from lstmcli.tracking.association import likeness
from lstmcli.tracking.motion import centers_and_sizes, corners

Floats = npt.NDArray[np.float64]

GAP_S = 1.0
"""Longest gap that is bridged, in seconds."""
LINK_S = 0.25
"""Longest gap within a tracklet, unless frames lie further apart."""
SMOOTHING_S = 0.08
"""Standard deviation in time of the local line through a box's centers and sizes."""
LINK, JOIN = 0.2, 0.3
"""Minimum likeness of a detection and a tracklet, and of two tracklets from both sides."""
SPEED_DETECTIONS = 4
"""Detections at a tracklet's end from which its speed is measured."""
REACH = 1.0
DETECTED, INTERPOLATED, UNCERTAIN = 0, 1, 2


@dataclass(frozen=True, slots=True)
class OfflineTracks:
    """The boxes of a video after smoothing, by frame.

    Args:
        frames: int64 [N], indices into the sequence of frames.
        boxes: float32 [N, 4].
        scores: float32 [N]; an interpolated box has the lower score of its neighbours.
        labels: int64 [N], one class a track.
        tracks: int64 [N], from 1.
        status: int64 [N]: `DETECTED`, `INTERPOLATED` or `UNCERTAIN`.
        dropped: number of tracks of a single detection.
    """

    frames: IntArray
    boxes: FloatArray
    scores: FloatArray
    labels: IntArray
    tracks: IntArray
    status: IntArray
    dropped: int


@dataclass(slots=True, eq=False)
class _Tracklet:
    """Detections of one object in order of time."""

    frames: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    xywh: list[Floats] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)

    @property
    def label(self) -> int:
        """The class with the greatest sum of scores."""
        sums = np.bincount(self.labels, weights=self.scores)
        return int(sums.argmax())

    def at(self, time_s: float, *, from_end: bool) -> Floats:
        """Return (x, y, width, height) extrapolated after the end, or before the beginning."""
        part = slice(-SPEED_DETECTIONS, None) if from_end else slice(None, SPEED_DETECTIONS)
        times, xywh = np.array(self.times[part]), np.stack(self.xywh[part])
        edge = -1 if from_end else 0
        box = xywh[edge].copy()
        if len(times) > 1:
            speed = np.polyfit(times - times[edge], xywh[:, :2], 1)[0]
            box[:2] += speed * (time_s - times[edge])
        return np.asarray(box)

    def extend(self, other: _Tracklet) -> None:
        """Append the later detections of the same object."""
        self.frames += other.frames
        self.times += other.times
        self.xywh += other.xywh
        self.scores += other.scores
        self.labels += other.labels


def smooth_offline(
    detections: Sequence[Detections], times_s: Sequence[float], *, threshold: float
) -> OfflineTracks:
    """Return the tracks of a video.

    Args:
        detections: of each frame, down to faint ones.
        times_s: of the frames, increasing.
        threshold: score that a track must reach to be certain.
    """
    tracklets = _join(_link(detections, times_s))
    kept = [one for one in tracklets if len(one.frames) > 1]
    dropped = len(tracklets) - len(kept)
    columns: list[tuple[IntArray, FloatArray, FloatArray, IntArray, IntArray, IntArray]] = []
    for number, one in enumerate(kept, start=1):
        frames, boxes, scores, is_interpolated = _interpolated(one, times_s)
        is_certain = float(np.quantile(one.scores, 0.9)) >= threshold
        status = np.where(is_interpolated, INTERPOLATED, DETECTED)
        if not is_certain:
            status[:] = UNCERTAIN
        else:  # boxes before the first certain detection, and after the last, are uncertain
            certain = np.flatnonzero(scores >= threshold)
            status[: certain[0]] = UNCERTAIN
            status[certain[-1] + 1 :] = UNCERTAIN
        n = len(frames)
        columns.append((frames, boxes, scores, np.full(n, one.label), np.full(n, number), status))
    if not columns:
        empty = np.zeros(0, np.int64)
        none = Detections.none()
        return OfflineTracks(empty, none.boxes, none.scores, empty, empty, empty, dropped)
    frames, boxes, scores, labels, tracks, status = (
        np.concatenate(parts) for parts in zip(*columns, strict=True)
    )
    order = np.lexsort((tracks, frames))
    return OfflineTracks(
        frames[order].astype(np.int64),
        boxes[order].astype(np.float32),
        scores[order].astype(np.float32),
        labels[order].astype(np.int64),
        tracks[order].astype(np.int64),
        status[order].astype(np.int64),
        dropped,
    )


def _link(detections: Sequence[Detections], times_s: Sequence[float]) -> list[_Tracklet]:
    """Return tracklets of detections in neighbouring frames."""
    done: list[_Tracklet] = []
    active: list[_Tracklet] = []
    for frame, (found, time_s) in enumerate(zip(detections, times_s, strict=True)):
        still = [
            one for one in active if one.frames[-1] == frame - 1 or time_s - one.times[-1] <= LINK_S
        ]
        done += [one for one in active if one not in still]
        active = still
        xywh = centers_and_sizes(found.boxes)
        rows = _pairs(active, xywh, found.labels, time_s)
        for row, box in enumerate(xywh):
            one = active[rows[row]] if row in rows else _Tracklet()
            if row not in rows:
                active.append(one)
            one.frames.append(frame)
            one.times.append(time_s)
            one.xywh.append(box)
            one.scores.append(float(found.scores[row]))
            one.labels.append(int(found.labels[row]))
    return done + active


def _pairs(
    active: list[_Tracklet], xywh: Floats, labels: IntArray, time_s: float
) -> dict[int, int]:
    """Return detection -> tracklet of the matched pairs."""
    if not active or not len(xywh):
        return {}
    expected = np.stack([one.at(time_s, from_end=True) for one in active])
    like = likeness(expected, xywh, np.full(len(active), REACH))
    same = np.array([one.label for one in active])[:, None] == labels[None]
    like *= np.where(same, 1.0, 0.6)
    return {
        int(second): int(first)
        for first, second in zip(*linear_sum_assignment(-like), strict=True)
        if like[first, second] >= LINK
    }


def _join(tracklets: list[_Tracklet]) -> list[_Tracklet]:
    """Join tracklets over gaps whose ends agree, the best agreement first."""
    tracklets = sorted(tracklets, key=lambda one: one.times[0])
    candidates = []
    for i, first in enumerate(tracklets):
        for j, second in enumerate(tracklets):
            gap_s = second.times[0] - first.times[-1]
            if i != j and 0 < gap_s <= GAP_S and first.label == second.label:
                like = _agreement(first, second)
                if like >= JOIN:
                    candidates.append((like, i, j))
    follows: dict[int, int] = {}
    taken: set[int] = set()
    for _, i, j in sorted(candidates, reverse=True):
        if i not in follows and j not in taken:
            follows[i] = j
            taken.add(j)
    joined = []
    for i, first in enumerate(tracklets):
        if i in taken:
            continue
        last = i
        while last in follows:
            last = follows[last]
            first.extend(tracklets[last])
        joined.append(first)
    return joined


def _agreement(first: _Tracklet, second: _Tracklet) -> float:
    """Return the agreement of the first extrapolated forward and the second backward."""
    reach = np.array([REACH])
    after = first.at(second.times[0], from_end=True)[None]
    back = second.at(first.times[-1], from_end=False)[None]
    forward = likeness(after, second.xywh[0][None], reach)[0, 0]
    backward = likeness(back, first.xywh[-1][None], reach)[0, 0]
    return float(min(forward, backward))


def _interpolated(
    one: _Tracklet, times_s: Sequence[float]
) -> tuple[IntArray, FloatArray, FloatArray, npt.NDArray[np.bool_]]:
    """Return frames, smoothed boxes and scores from a track's first to its last frame."""
    frames = np.arange(one.frames[0], one.frames[-1] + 1)
    times = np.array(times_s)[frames]
    times_of_boxes = np.array(one.times)
    xywh = _local_line(times_of_boxes, np.stack(one.xywh), np.array(one.scores), times)
    is_interpolated = ~np.isin(frames, one.frames)
    scores = np.array(one.scores)
    after = np.searchsorted(times_of_boxes, times).clip(0, len(times_of_boxes) - 1)
    before = np.where(is_interpolated, (after - 1).clip(0), after)
    values = np.minimum(scores[before], scores[after])
    return frames, corners(xywh), values.astype(np.float32), is_interpolated


def _local_line(times_of_boxes: Floats, xywh: Floats, weights: Floats, times: Floats) -> Floats:
    """Return a line fitted around each time, by weighted least squares with a Gaussian kernel.

    Linear interpolation between neighbours where no detection is near.
    """
    straight = np.stack([np.interp(times, times_of_boxes, side) for side in xywh.T], axis=1)
    away = times_of_boxes[None] - times[:, None]
    kernel = np.exp(-0.5 * np.square(away / SMOOTHING_S)) * weights[None]
    total = kernel.sum(axis=1)
    near = (kernel > 0.01 * weights[None]).sum(axis=1) >= 3
    total = np.maximum(total, 1e-12)
    mean_t = (kernel * away).sum(axis=1) / total
    mean_p = kernel @ xywh / total[:, None]
    off = away - mean_t[:, None]
    spread = np.maximum((kernel * np.square(off)).sum(axis=1), 1e-12)
    slope = (kernel * off) @ xywh / spread[:, None]
    line = mean_p - slope * mean_t[:, None]
    return np.asarray(np.where(near[:, None], line, straight))
