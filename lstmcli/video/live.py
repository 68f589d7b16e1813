"""Sources that cannot be read twice: cameras and streams, which come back, and standard input."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from typing import BinaryIO

import av
from av.container import InputContainer

from lstmcli.core.errors import MediaError
from lstmcli.video.container import FFMPEG_ERRORS, media_only, reason_of
from lstmcli.video.frame import Frame
from lstmcli.video.read_report import ReadReport
from lstmcli.video.reader import frames_of
from lstmcli.video.sources import Source

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
_TIMEOUT_S, _SHORTEST_TIMEOUT_S = 10.0, 0.2
"""A connection that is silent for so long is given up, sooner where the patience ends sooner."""
_NO_FILES = {"hls", "dash", "sdp", "mpjpeg"}
"""Formats whose size in bytes means nothing: playlists, and cameras that invent one."""
_LINUX_CAMERA = ("v4l2", "/dev/video", "")
_CAMERAS = {
    "linux": _LINUX_CAMERA,
    "darwin": ("avfoundation", "", ""),
    "win32": ("dshow", "video=", "video="),
}
"""FFmpeg's device by system, and what stands there before a camera's number and before its name."""


def read_stdin(report: ReadReport, *, stream: BinaryIO | None = None) -> Iterator[Frame]:
    """Yield the frames of a video that is piped in.

    Raises:
        MediaError: it is no video, or of a format that cannot be piped.
    """
    try:
        container = av.open(
            stream or sys.stdin.buffer, "r", options=media_only(), metadata_errors="replace"
        )
    except FFMPEG_ERRORS as error:
        raise MediaError(
            f"standard input: {reason_of(error)}",
            hint="pipe MPEG-TS, Matroska or fragmented mp4; plain mp4 has its index at the end",
        ) from None
    with container:
        yield from frames_of(container, "standard input", report=report)
    if report.frames == 0:
        raise MediaError("standard input: there is no frame in it", hint="is something piped in?")


def read_live(
    source: Source, *, patience_s: float, report: ReadReport, stop: threading.Event | None = None
) -> Iterator[Frame]:
    """Yield the frames of a camera or stream; where it breaks off, connect again.

    Times are seconds since the first frame, by the stream's own clock while it runs and by the
    wall clock over a break. Pauses between attempts grow from half a second to half a minute.
    It ends when no picture came for `patience_s`, when a stream of known length is over, or when
    `stop` is set.

    Raises:
        MediaError: not one picture came.
    """
    stop = stop or threading.Event()
    clock = _Clock()
    last_picture, pause_s, problem = time.monotonic(), _FIRST_PAUSE_S, "no picture came"
    while not stop.is_set():
        try:
            waits_s = max(_SHORTEST_TIMEOUT_S, last_picture + patience_s - time.monotonic())
            with _connect(source, min(_TIMEOUT_S, waits_s)) as container:
                report.is_finite = source.kind == "stream" and _is_finite(container)
                report.has_sound = report.is_finite and len(container.streams.audio) > 0
                connection = ReadReport()
                clock.connect()
                for frame in frames_of(container, source.address, report=connection):
                    frame.index, frame.time_s = report.frames, clock.time(frame.time_s)
                    report.frames += 1
                    last_picture, pause_s = time.monotonic(), _FIRST_PAUSE_S
                    yield frame
                    if stop.is_set():
                        return
                report.broken += connection.broken
                report.mended_times += connection.mended_times
                for sentence in connection.notes:
                    report.note(sentence)
                if report.is_finite and connection.frames:
                    return
                problem = "it broke off"
        except FFMPEG_ERRORS as error:
            problem = reason_of(error)
        except MediaError as error:
            problem = error.problem
        if time.monotonic() - last_picture + pause_s > patience_s:
            break
        report.reconnects += 1
        stop.wait(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
    if report.frames == 0 and not stop.is_set():
        raise MediaError(
            f"{source.address}: {problem}; waited {patience_s:g} s",
            hint="is the address right, and does the camera run? --patience waits longer",
        )


def _connect(source: Source, timeout_s: float) -> InputContainer:
    if source.kind == "camera":
        device, of_number, of_name = _CAMERAS.get(sys.platform, _LINUX_CAMERA)
        file = (of_number if source.address.isdecimal() else of_name) + source.address
        return av.open(file, "r", format=device, timeout=timeout_s)
    # over UDP pictures lose pieces; but some cameras know nothing else
    options = {"rtsp_flags": "prefer_tcp"} if source.address.startswith("rtsp") else {}
    return av.open(
        source.address, "r", options=options, timeout=timeout_s, metadata_errors="replace"
    )


def _is_finite(container: InputContainer) -> bool:
    """Return whether a stream has an end: its length is known, in seconds or in bytes."""
    if container.duration:
        return True
    return container.format.name not in _NO_FILES and (container.size or 0) > 0


class _Clock:
    """Joins the clocks of several connections into one that grows."""

    def __init__(self) -> None:
        self._began: float | None = None
        self._base_s = 0.0
        self._first_s: float | None = None
        self._last_s = float("-inf")

    def connect(self) -> None:
        """Begin a connection, whose clock may show anything."""
        self._first_s = None

    def time(self, stream_s: float) -> float:
        """Return the time of a frame since the first one."""
        now = time.monotonic()
        if self._began is None:
            self._began = now
        if self._first_s is None:
            self._first_s, self._base_s = stream_s, now - self._began
        time_s = self._base_s + stream_s - self._first_s
        self._last_s = max(time_s, self._last_s + 0.001)
        return self._last_s


def latest(frames: Iterator[Frame], report: ReadReport) -> Iterator[Frame]:
    """Yield the newest frame each time one is asked for; those in between are dropped and counted.

    A stream that has an end is not in a hurry: it waits, and every frame of it comes out.
    """
    ready = threading.Condition()
    held: list[Frame] = []
    state: dict[str, BaseException | bool] = {}

    def take() -> None:
        try:
            for frame in frames:
                with ready:
                    if report.is_finite:
                        ready.wait_for(lambda: not held or "closed" in state)
                    if "closed" in state:
                        break
                    if held:
                        held.pop()
                        report.dropped += 1
                    held.append(frame)
                    ready.notify()
        except BaseException as error:
            state["error"] = error
        finally:
            with ready:
                state["done"] = True
                ready.notify()

    threading.Thread(target=take, daemon=True).start()
    try:
        while True:
            with ready:
                ready.wait_for(lambda: held or "done" in state)
                if not held:
                    break
                frame = held.pop()
                ready.notify()
            yield frame
    finally:
        with ready:
            state["closed"] = True
            ready.notify()
    error = state.get("error")
    if isinstance(error, BaseException):
        raise error
