"""Events of one video, from its frames to the sink of the run."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from lstmcli.core.types import Detections
from lstmcli.outputs.events import EventSink
from lstmcli.tracking import CountEvent
from lstmcli.tracking.sights import SightEvent, TrackSights
from lstmcli.video import Frame


class EventFeed:
    """Writes the events of one video.

    Args:
        sink: of the run.
        video: the name in the records.
        classes: names of the classes.
        zones: names of the zones; others are lines.
        is_live: whether events carry the time of day, too.
    """

    def __init__(
        self,
        sink: EventSink,
        *,
        video: str,
        classes: tuple[str, ...],
        zones: frozenset[str],
        is_live: bool,
    ) -> None:
        self._sink, self._video, self._classes = sink, video, classes
        self._zones, self._is_live = zones, is_live
        self._sights = TrackSights()

    def step(self, frame: Frame, detections: Detections, crossings: Iterable[CountEvent]) -> None:
        """Write what happened in the next frame."""
        sights = self._sights.step(detections, frame.index, frame.time_s)
        for sight in sights:
            if sight.kind == "appear":
                self._write_sight(sight)
        for crossing in crossings:
            self._write_crossing(crossing, detections)
        for sight in sights:
            if sight.kind == "disappear":
                self._write_sight(sight)

    def end(self) -> None:
        """Write the tracks that are in sight where the video ends."""
        for sight in self._sights.end():
            self._write_sight(sight)

    def _write_crossing(self, crossing: CountEvent, detections: Detections) -> None:
        (row,) = (detections.track_ids == crossing.track_id).nonzero()[0][:1].tolist()
        self._write(
            crossing.frame,
            crossing.time_s,
            "zone" if crossing.zone in self._zones else "line",
            crossing.label,
            crossing.track_id,
            detections.boxes[row].tolist(),
            name=crossing.zone,
            direction=crossing.direction,
        )

    def _write_sight(self, sight: SightEvent) -> None:
        more = {} if sight.kind == "appear" else {"visible_s": round(sight.visible_s, 3)}
        self._write(
            sight.frame,
            sight.time_s,
            sight.kind,
            sight.label,
            sight.track_id,
            list(sight.box),
            **more,
        )

    def _write(
        self,
        frame: int,
        time_s: float,
        event: str,
        label: int,
        track_id: int,
        box: list[float],
        **more: Any,
    ) -> None:
        record = {
            "video": self._video,
            "frame": frame,
            "time": round(time_s, 6),
            "event": event,
            "class": self._classes[label],
            "class_id": label,
            "track_id": track_id,
            "box": [round(side, 2) for side in box],
        }
        if self._is_live:
            record["clock"] = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._sink.write(record | more)
