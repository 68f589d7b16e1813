"""Everything that a running service holds: network, cameras, sessions, videos, counters."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from lstmcli.core.progress import Progress
from lstmcli.core.system import held_memory
from lstmcli.inference.runtime_pool import RuntimePool
from lstmcli.outputs.events import EventSink, open_event_sink
from lstmcli.service.camera import Camera
from lstmcli.service.metrics import LatencyHistogram, Tallies, gauge
from lstmcli.service.network import ServedNetwork
from lstmcli.service.options import ServeOptions
from lstmcli.service.video_jobs import VideoJobs
from lstmcli.tracking import load_count_config

RECENT = 100
"""Events that the page can show."""


class RecentEvents:
    """Keeps the last events for the page, and hands them on; an `EventSink`.

    Args:
        tallies: count them by kind.
        then: takes them, too.
    """

    def __init__(self, tallies: Tallies, then: EventSink | None = None) -> None:
        self._tallies, self._then = tallies, then
        self.latest: deque[Mapping[str, Any]] = deque(maxlen=RECENT)

    def write(self, event: Mapping[str, Any]) -> None:
        """Add an event."""
        self._tallies.add("lstmcli_events_total", "event", str(event["event"]))
        self.latest.appendleft(event)
        if self._then is not None:
            self._then.write(event)

    def close(self) -> list[str]:
        """Close what it hands on to."""
        return self._then.close() if self._then is not None else []


class ServiceState:
    """What the routes work with.

    Args:
        options: of the service.
        progress: is given notes.
        runtimes: of the model, where they are open already.

    Raises:
        LstmcliError: the model, a camera, the lines or the events cannot be opened.
    """

    def __init__(
        self, options: ServeOptions, progress: Progress, runtimes: RuntimePool | None = None
    ) -> None:
        self.options, self._progress = options, progress
        self.network = ServedNetwork(options, progress, runtimes)
        self.tallies, self.latency = Tallies(), LatencyHistogram()
        sink = (
            open_event_sink(options.events, append=True, say=progress.note)
            if options.events is not None
            else None
        )
        self.events = RecentEvents(self.tallies, sink)
        count = load_count_config(options.count) if options.count is not None else None
        self.cameras = {
            spec.name: Camera(spec, self.network, self.events, count) for spec in options.cameras
        }
        self.videos = VideoJobs(options, self.network)
        self.steps = ThreadPoolExecutor(self.network.threads, thread_name_prefix="session")
        self.views = ThreadPoolExecutor(2, thread_name_prefix="view")
        self.sessions = Slots(options.max_sessions)
        self.viewers = Slots(options.max_viewers)

    def start(self) -> None:
        """Begin to watch the cameras."""
        for camera in self.cameras.values():
            camera.start()

    def close(self) -> None:
        """End everything."""
        for camera in self.cameras.values():
            camera.stop()
        for camera in self.cameras.values():
            camera.join()
        self.videos.close()
        for pool in (self.steps, self.views):
            pool.shutdown(wait=True, cancel_futures=True)
        for note in self.events.close():
            self._progress.note(note)

    def record(self) -> dict[str, Any]:
        """Return what the page shows."""
        return {
            "model": self.network.model,
            "cameras": [camera.state() for camera in self.cameras.values()],
            "sessions": self.sessions.taken,
            "videos": [job.record() for job in self.videos.all()],
            "events": list(self.events.latest),
        }

    def metrics(self) -> str:
        """Return the counters in Prometheus' text format."""
        cameras: Sequence[Camera] = list(self.cameras.values())
        states = [job.state for job in self.videos.all()]

        def of_cameras(name: str, values: Sequence[float], kind: str) -> list[str]:
            pairs = zip(({"camera": one.name} for one in cameras), values, strict=True)
            return gauge(f"lstmcli_camera_{name}", pairs, kind=kind)

        lines = [
            *of_cameras("up", [one.is_live for one in cameras], "gauge"),
            *of_cameras("frames_total", [one.frames for one in cameras], "counter"),
            *of_cameras("dropped_total", [one.dropped for one in cameras], "counter"),
            *of_cameras("failures_total", [one.failures for one in cameras], "counter"),
            *gauge("lstmcli_sessions", [({}, self.sessions.taken)]),
            *gauge("lstmcli_viewers", [({}, self.viewers.taken)]),
            *gauge(
                "lstmcli_videos",
                [({"state": state}, states.count(state)) for state in sorted(set(states))],
            ),
            *gauge("process_resident_memory_bytes", [({}, held_memory())]),
            *self.tallies.lines(),
            *self.latency.lines("lstmcli_session_latency_seconds"),
        ]
        return "\n".join(lines) + "\n"


class Slots:
    """Counts who uses something that only so many may use at once.

    Args:
        limit: how many.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._lock = limit, threading.Lock()
        self.taken = 0

    def take(self) -> bool:
        """Take a slot; False where none is free."""
        with self._lock:
            if self.taken >= self._limit:
                return False
            self.taken += 1
            return True

    def give_back(self) -> None:
        """Free a slot."""
        with self._lock:
            self.taken -= 1
