"""One camera of the service: a thread that detects, and the newest frame for live views."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from lstmcli.core.errors import LstmcliError, explain
from lstmcli.core.types import Detections
from lstmcli.outputs.draw import Annotator, DrawStyle, Shape
from lstmcli.outputs.events import EventSink
from lstmcli.service.network import ServedNetwork
from lstmcli.service.options import CameraSpec
from lstmcli.tracking import CountConfig, Counter
from lstmcli.tracking.zones import PolygonZone, points_in_pixels
from lstmcli.video import Frame, ReadReport, describe, find_sources, latest, open_frames
from lstmcli.video.jpeg import encode_jpeg
from lstmcli.video.playback import play_file
from lstmcli.workflows.detect.event_feed import EventFeed
from lstmcli.workflows.pipeline import StreamItem, numbered, run_pipeline
from lstmcli.workflows.schedule import InferenceSchedule, inference_stride

RETRY_S = 5.0
"""After a failure a camera is opened anew this much later."""
VIEW_WIDTH = 640
"""Pixels of a live view; larger pictures are scaled down."""
_RATE_FADE = 0.95


class Camera:
    """Watches a source until it is stopped; failures are shown, and tried again.

    Args:
        spec: name and source.
        network: of the service.
        events: takes what happens.
        count: lines and zones; None: nothing is counted.

    Raises:
        MediaError: the source is a file that is not there.
    """

    def __init__(
        self,
        spec: CameraSpec,
        network: ServedNetwork,
        events: EventSink,
        count: CountConfig | None = None,
    ) -> None:
        self.name, self._network, self._count = spec.name, network, count
        self._source, *_ = find_sources([spec.source])
        zones = count.zones if count is not None else ()
        self._feed = EventFeed(
            events,
            video=spec.name,
            classes=network.classes,
            zones=frozenset(zone.name for zone in zones if isinstance(zone, PolygonZone)),
            is_live=True,
        )
        self._counter: Counter | None = None
        self._report = ReadReport()
        self._lock = threading.Lock()
        self._newest: StreamItem[Frame] | None = None
        self._view: tuple[int, bytes] = (0, b"")
        self._annotator: Annotator | None = None
        self._is_live, self._problem = False, ""
        self._interval_s = 0.0
        self._came = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=spec.name, daemon=True)
        self.frames = self.detections = self.failures = 0

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Ask it to end."""
        self._stop.set()

    def join(self) -> None:
        """Wait for its end; a source that hangs is left to the end of the process."""
        self._thread.join(10.0)

    @property
    def dropped(self) -> int:
        """Frames that came faster than they could be processed."""
        return self._report.dropped

    @property
    def is_live(self) -> bool:
        """Whether frames come."""
        return self._is_live

    def state(self) -> dict[str, Any]:
        """Return what the page shows of it."""
        rate = 1 / self._interval_s if self._interval_s and self._is_live else 0.0
        return {
            "name": self.name,
            "state": "live" if self._is_live else "no signal" if self._problem else "starting",
            "problem": self._problem,
            "rate": round(rate, 1),
            "frames": self.frames,
            "dropped": self.dropped,
            "detections": self.detections,
            "counts": self._counts(),
        }

    def view(self) -> tuple[int, bytes]:
        """Return the number of the newest frame and its JPEG picture, drawn once for all viewers.

        Number 0 stands for none yet.
        """
        with self._lock:
            item, number = self._newest, self.frames
            if item is not None and self._view[0] != number:
                self._view = (number, self._drawn(item))
            return self._view

    def _watch(self) -> None:
        while not self._stop.is_set():
            try:
                for item in self._items():
                    self._take(item)
                    if self._stop.is_set():
                        break
                problem = "the stream ended"
            except LstmcliError as error:
                problem = error.problem
            except Exception as error:  # whatever it is, the other cameras go on
                problem = explain(error)[0]
            self._is_live = False
            if not self._stop.is_set():
                self._feed.end()
                self._problem, self.failures = problem, self.failures + 1
                self._stop.wait(RETRY_S)

    def _items(self) -> Iterator[StreamItem[Frame]]:
        info = describe(self._source)
        if info is not None:  # the network is there before frames come that have to wait for it
            self._network.predictor(info.size_hw, 0.0)
        frames = self._frames()
        first = next(frames, None)
        if first is None:
            return
        if self._count is not None and self._counter is None:
            self._counter = Counter(self._count, first.size_hw)
        tracker = self._network.tracker()
        stride = inference_stride(device=self._network.device, track=True)
        yield from run_pipeline(
            numbered(frames),
            self._network.predictor(first.size_hw, tracker.min_score),
            schedule=InferenceSchedule(stride),
            tracker=tracker,
            kept=self._network.kept,
            counter=self._counter,
        )

    def _frames(self) -> Iterator[Frame]:
        if self._source.kind == "file":
            played = play_file(
                self._source.address, report=self._report, stop=self._stop, film=self._source.film
            )
            return latest(played, self._report)
        return open_frames(self._source, report=self._report, stop=self._stop)

    def _take(self, item: StreamItem[Frame]) -> None:
        assert item.detections is not None
        self._feed.step(item.frame, item.detections, item.events)
        now = time.monotonic()
        if self._is_live:
            interval_s = now - self._came
            mean_s = self._interval_s or interval_s
            self._interval_s = _RATE_FADE * mean_s + (1 - _RATE_FADE) * interval_s
        self._came = now
        with self._lock:
            self._newest = item
            self.frames += 1
        self.detections += len(item.detections)
        self._is_live, self._problem = True, ""

    def _counts(self) -> dict[str, int]:
        if self._counter is None:
            return {}
        names = self._network.classes
        totals = dict(self._counter.totals)
        return {f"{zone} {way}: {names[label]}": n for (zone, way, label), n in totals.items()}

    def _drawn(self, item: StreamItem[Frame]) -> bytes:
        assert item.detections is not None
        height, width = item.frame.size_hw
        scale = min(1.0, VIEW_WIDTH / width)
        size_hw = (max(2, round(height * scale / 2) * 2), max(2, round(width * scale / 2) * 2))
        if self._annotator is None:
            self._annotator = Annotator(self._network.classes, size_hw, DrawStyle())
        planes = item.frame.planes(size_hw)
        self._annotator.paint(
            planes,
            _scaled(item.detections, scale),
            frame=item.index,
            time_s=item.time_s,
            shapes=self._shapes(item.frame.size_hw, scale),
        )
        return encode_jpeg(planes)

    def _shapes(self, size_hw: tuple[int, int], scale: float) -> tuple[Shape, ...]:
        counter = self._counter
        if counter is None:
            return ()
        return tuple(
            Shape(
                tuple((x * scale, y * scale) for x, y in points_in_pixels(zone, size_hw)),
                isinstance(zone, PolygonZone),
                counter.text(zone),
            )
            for zone in counter.config.zones
        )


def _scaled(found: Detections, scale: float) -> Detections:
    return replace(found, boxes=found.boxes * scale)
