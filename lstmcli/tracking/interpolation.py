"""Interpolation of track gaps with half a second of delay; drops tracks of a single detection.

Gaps may be made on purpose: frames without inference get boxes interpolated between their
neighbours in time, which costs nothing.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

import numpy as np

from lstmcli.core.types import Detections

T = TypeVar("T")

GAP_S = 0.5
"""Longest gap that is interpolated, in seconds; also the delay of the output."""
GAP_FRAMES = 15
"""The same in frames: an upper bound of the frames in memory."""
_MIN_LATER = 4
"""Later frames with inference without which a track of one detection stays: at five frames a second
something fast is often seen once."""
_ESTABLISHED = 3
"""Detections before a gap from which it is filled in frames with inference, too: two
detections that are no object, or of two objects, make a box between them that is none either."""
MAX_TRACK_COUNTS = 20_000


@dataclass(slots=True)
class _Waiting(Generic[T]):
    item: T
    time_s: float
    detections: Detections
    has_inference: bool


def interpolate_gaps(
    frames: Iterable[tuple[T, float, Detections | None]], *, min_hits: int = 2
) -> Iterator[tuple[T, Detections]]:
    """Yield every item with its detections, in order, half a second later.

    Where a track returns within the gap, its boxes in between are interpolated linearly; in frames
    with inference only if it had three detections before. A track
    with fewer than `min_hits` detections when its frame is output is dropped, unless there are
    fewer than four later frames with inference. No frame is output before a later one with
    inference; after the last one, its boxes are held.

    Args:
        frames: (item, time in seconds, tracked detections) of every frame; None without inference.
        min_hits: 1 keeps tracks of a single detection.
    """
    waiting: deque[_Waiting[T]] = deque()
    hits: Counter[int] = Counter()
    for item, time_s, tracked in frames:
        detections = Detections.none() if tracked is None else tracked
        waiting.append(_Waiting(item, time_s, detections, tracked is not None))
        hits.update(detections.track_ids.tolist())
        if len(hits) > MAX_TRACK_COUNTS:  # ids increase: the smallest are long gone
            for track in sorted(hits)[: MAX_TRACK_COUNTS // 2]:
                del hits[track]
        _fill(waiting, hits)
        while _is_due(waiting, time_s):
            yield _pop_first(waiting, hits, min_hits)
    _hold_last(waiting)
    while waiting:
        yield _pop_first(waiting, hits, min_hits)


def _is_due(waiting: deque[_Waiting[T]], time_s: float) -> bool:
    """Whether the first frame is delayed long enough, and a later one has inference."""
    waited_enough = len(waiting) > GAP_FRAMES + 1 or time_s - waiting[0].time_s > GAP_S
    return waited_enough and _later_inferences(waiting) > 0


def _later_inferences(waiting: deque[_Waiting[T]]) -> int:
    return sum(one.has_inference for one in islice(waiting, 1, None))


def _pop_first(
    waiting: deque[_Waiting[T]], hits: Counter[int], min_hits: int
) -> tuple[T, Detections]:
    later = _later_inferences(waiting)
    first = waiting.popleft()
    detections = first.detections
    if later >= _MIN_LATER and len(detections):
        keep = np.array([t < 0 or hits[t] >= min_hits for t in detections.track_ids.tolist()])
        detections = detections.select(keep)
    return first.item, detections


def _hold_last(waiting: deque[_Waiting[T]]) -> None:
    """Hold the boxes of the last frame with inference in the frames after it."""
    last = Detections.none()
    for one in waiting:
        if one.has_inference:
            last = one.detections
    for one in reversed(waiting):
        if one.has_inference:
            break
        one.detections = last


def _fill(waiting: deque[_Waiting[T]], hits: Counter[int]) -> None:
    """Interpolate the tracks that return in the newest frame.

    Args:
        waiting: the frames that are not output yet.
        hits: detections of each track so far.
    """
    newest = waiting[-1]
    for row, track in enumerate(newest.detections.track_ids.tolist()):
        if track < 0:
            continue
        for back in range(len(waiting) - 2, -1, -1):
            rows = np.flatnonzero(waiting[back].detections.track_ids == track)
            if len(rows):
                if back < len(waiting) - 2:
                    seen = hits[track] > _ESTABLISHED  # with the one in the newest frame
                    _bridge(waiting, back, int(rows[0]), row, everywhere=seen)
                break


def _bridge(
    waiting: deque[_Waiting[T]], back: int, old_row: int, new_row: int, *, everywhere: bool
) -> None:
    """Interpolate a track between two frames.

    Args:
        waiting: the frames that are not output yet; the newest one is the second.
        back: place of the first.
        old_row: of the track in the first.
        new_row: of the track in the second.
        everywhere: False leaves frames with inference as they are.
    """
    old, new = waiting[back], waiting[-1]
    span_s = max(new.time_s - old.time_s, 1e-9)
    for index in range(back + 1, len(waiting) - 1):
        between = waiting[index]
        if between.has_inference and not everywhere:
            continue
        share = (between.time_s - old.time_s) / span_s
        box = (1 - share) * old.detections.boxes[old_row] + share * new.detections.boxes[new_row]
        score = min(float(old.detections.scores[old_row]), float(new.detections.scores[new_row]))
        detections = between.detections
        joined = Detections(
            np.concatenate([detections.boxes, box[None].astype(np.float32)]),
            np.concatenate([detections.scores, np.array([score], np.float32)]),
            np.concatenate([detections.labels, new.detections.labels[new_row : new_row + 1]]),
            np.concatenate([detections.track_ids, new.detections.track_ids[new_row : new_row + 1]]),
        )
        between.detections = joined.select(np.argsort(-joined.scores, kind="stable"))
