"""A file played in real time, again and again: a camera for those who have none."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from lstmcli.video.frame import Frame
from lstmcli.video.read_report import ReadReport
from lstmcli.video.reader import read_frames

MOST_LATE_S = 0.5
"""Frames that are due for longer are not caught up with."""


def play_file(
    path: str, *, report: ReadReport, stop: threading.Event, film: int | None = None
) -> Iterator[Frame]:
    """Yield the frames of a file when they are due; behind the last one it begins anew.

    Numbers and times grow on from round to round.

    Args:
        path: of the file.
        report: counts the frames.
        stop: ends it.
        film: which video stream, from 1; None: the one that players show.

    Raises:
        MediaError: the file cannot be read.
    """
    began = time.monotonic()
    shift_s, last_s, step_s = 0.0, 0.0, 0.04
    while not stop.is_set():
        first_s: float | None = None
        for frame in read_frames(path, film=film, report=ReadReport()):
            first_s = frame.time_s if first_s is None else first_s
            time_s = shift_s + frame.time_s - first_s
            step_s = max(0.001, time_s - last_s) if time_s > last_s else step_s
            last_s = time_s
            frame.index, frame.time_s = report.frames, time_s
            report.frames += 1
            early_s = began + time_s - time.monotonic()
            if early_s < -MOST_LATE_S:  # a slow machine plays slower, and does not race
                began -= early_s
            stop.wait(max(0.0, early_s))
            yield frame
            if stop.is_set():
                return
        shift_s = last_s + step_s
