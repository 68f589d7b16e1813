"""Takes the flicker out of tracks by looking a moment ahead: fills gaps, drops single flashes.

Gaps may be made on purpose: frames that the network does not look at get the boxes of their
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
"""Gaps up to this long are filled, and answers come this much later."""
GAP_FRAMES = 15
"""The same in frames at the most: it bounds the pictures that wait."""
_LATER = 3
_REMEMBERED = 20_000


@dataclass(slots=True)
class _Waiting(Generic[T]):
    item: T
    time_s: float
    found: Detections
    annotated_frames: bool


def interpolate_gaps(
    answers: Iterable[tuple[T, float, Detections | None]], *, min_hits: int = 2
) -> Iterator[tuple[T, Detections]]:
    """Yield every item with its detections, in order, half a second later.

    Where a track returns within the gap, its boxes in between are laid on the straight line. A
    track that was seen fewer than `min_hits` times by the time its frame leaves is dropped, unless
    fewer than three later frames were looked at. No frame leaves before a later one was looked at;
    behind the last look, its boxes stay where they were.

    Args:
        answers: (item, time in seconds, tracked detections) of every frame; None where nobody
            looked.
        min_hits: 1 keeps single flashes.
    """
    waiting: deque[_Waiting[T]] = deque()
    hits: Counter[int] = Counter()
    for item, time_s, answer in answers:
        found = Detections.none() if answer is None else answer
        waiting.append(_Waiting(item, time_s, found, answer is not None))
        hits.update(found.track_ids.tolist())
        if len(hits) > _REMEMBERED:  # ids grow: the smallest are long gone
            for track in sorted(hits)[: _REMEMBERED // 2]:
                del hits[track]
        _fill(waiting)
        while _may_leave(waiting, time_s):
            yield _leave(waiting, hits, min_hits)
    _hold(waiting)
    while waiting:
        yield _leave(waiting, hits, min_hits)


def _may_leave(waiting: deque[_Waiting[T]], time_s: float) -> bool:
    """Whether the first frame waited long enough, and knows what came after it."""
    data_wait = len(waiting) > GAP_FRAMES + 1 or time_s - waiting[0].time_s > GAP_S
    return data_wait and _later_looks(waiting) > 0


def _later_looks(waiting: deque[_Waiting[T]]) -> int:
    return sum(one.annotated_frames for one in islice(waiting, 1, None))


def _leave(waiting: deque[_Waiting[T]], hits: Counter[int], min_hits: int) -> tuple[T, Detections]:
    looks = _later_looks(waiting)
    first = waiting.popleft()
    found = first.found
    if looks >= _LATER and len(found):
        keep = np.array([t < 0 or hits[t] >= min_hits for t in found.track_ids.tolist()])
        found = found.select(keep)
    return first.item, found


def _hold(waiting: deque[_Waiting[T]]) -> None:
    """Lay the boxes of the last look into the frames behind it, where nothing follows."""
    last = Detections.none()
    for one in waiting:
        if one.annotated_frames:
            last = one.found
    for one in reversed(waiting):
        if one.annotated_frames:
            break
        one.found = last


def _fill(waiting: deque[_Waiting[T]]) -> None:
    """Lay boxes into the waiting frames for tracks that the newest frame brings back."""
    newest = waiting[-1]
    for row, track in enumerate(newest.found.track_ids.tolist()):
        if track < 0:
            continue
        for back in range(len(waiting) - 2, -1, -1):
            rows = np.flatnonzero(waiting[back].found.track_ids == track)
            if len(rows):
                if back < len(waiting) - 2:
                    _bridge(waiting, back, int(rows[0]), row)
                break


def _bridge(waiting: deque[_Waiting[T]], back: int, old_row: int, new_row: int) -> None:
    old, new = waiting[back], waiting[-1]
    span_s = max(new.time_s - old.time_s, 1e-9)
    for place in range(back + 1, len(waiting) - 1):
        between = waiting[place]
        share = (between.time_s - old.time_s) / span_s
        box = (1 - share) * old.found.boxes[old_row] + share * new.found.boxes[new_row]
        score = min(float(old.found.scores[old_row]), float(new.found.scores[new_row]))
        found = between.found
        joined = Detections(
            np.concatenate([found.boxes, box[None].astype(np.float32)]),
            np.concatenate([found.scores, np.array([score], np.float32)]),
            np.concatenate([found.labels, new.found.labels[new_row : new_row + 1]]),
            np.concatenate([found.track_ids, new.found.track_ids[new_row : new_row + 1]]),
        )
        between.found = joined.select(np.argsort(-joined.scores, kind="stable"))
