"""When tracks appear and disappear, for event outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lstmcli.core.types import Detections

ABSENT_S = 1.5
"""A track without detections for longer has disappeared: by then the tracker has given it up."""


@dataclass(frozen=True, slots=True)
class SightEvent:
    """A track appeared, or has disappeared.

    Args:
        kind: `appear` at its first detection, `disappear` at its last one.
        track_id: of the track.
        label: class index.
        box: (x1, y1, x2, y2) in pixels of that frame.
        frame: of the first or last detection.
        time_s: of that frame.
        visible_s: seconds since it appeared; 0 for `appear`.
    """

    kind: Literal["appear", "disappear"]
    track_id: int
    label: int
    box: tuple[float, float, float, float]
    frame: int
    time_s: float
    visible_s: float = 0.0


@dataclass(slots=True)
class _Sight:
    began_s: float
    last: SightEvent


class TrackSights:
    """Follows the tracks of one video; memory holds those in sight only."""

    def __init__(self) -> None:
        self._sights: dict[int, _Sight] = {}

    def step(self, found: Detections, frame: int, time_s: float) -> list[SightEvent]:
        """Return the tracks that appear in the next frame, and those that disappeared before it."""
        events = []
        for row, track in enumerate(found.track_ids.tolist()):
            if track < 0:
                continue
            sight = self._sights.get(track)
            began_s = time_s if sight is None else sight.began_s
            x1, y1, x2, y2 = found.boxes[row].tolist()
            last = SightEvent(
                "disappear",
                track,
                int(found.labels[row]),
                (x1, y1, x2, y2),
                frame,
                time_s,
                time_s - began_s,
            )
            if sight is None:
                self._sights[track] = _Sight(time_s, last)
                events.append(SightEvent("appear", track, last.label, last.box, frame, time_s))
            else:
                sight.last = last
        gone = [track for track, s in self._sights.items() if time_s - s.last.time_s > ABSENT_S]
        return events + [self._sights.pop(track).last for track in gone]

    def end(self) -> list[SightEvent]:
        """Return the last detections of the tracks that are in sight where the video ends."""
        events = [sight.last for sight in self._sights.values()]
        self._sights.clear()
        return events
