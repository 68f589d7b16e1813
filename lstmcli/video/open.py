"""The frames of any source, and how many there will be."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from lstmcli.core.errors import MediaError
from lstmcli.video.frame import Frame
from lstmcli.video.images import read_images
from lstmcli.video.live import latest, read_live, read_stdin
from lstmcli.video.probe import VideoInfo, probe
from lstmcli.video.read_report import ReadReport
from lstmcli.video.reader import ASSUMED_RATE, read_frames
from lstmcli.video.sources import Source


def open_frames(
    source: Source,
    *,
    start_s: float | None = None,
    end_s: float | None = None,
    every: int = 1,
    image_rate: float | None = None,
    patience_s: float = 60.0,
    report: ReadReport,
    stop: threading.Event | None = None,
) -> Iterator[Frame]:
    """Yield the frames of a source; of a live one without an end the newest each time.

    Args:
        source: what to read.
        start_s: seconds from the beginning at which to start; files only.
        end_s: seconds from the beginning at which to stop; files only.
        every: yield every Nth frame only; each keeps its number.
        image_rate: frames per second of rows of still images and of streams without timestamps;
            None: what the stream's headers say, else 25.
        patience_s: how long a live source may be silent before it ends.
        report: filled with what was survived.
        stop: ends a live source.

    Raises:
        MediaError: it cannot be read, or no frame came.
    """
    if source.kind != "file" and (start_s or end_s is not None):
        raise MediaError(
            f"{source.name}: --start and --end are for files", hint="leave them out here"
        )
    if source.kind == "file":
        frames = read_frames(
            source.address,
            start_s=start_s,
            end_s=end_s,
            film=source.film,
            rate=image_rate,
            report=report,
        )
    elif source.kind == "images":
        frames = read_images(
            source.images,
            rate=image_rate or ASSUMED_RATE,
            report=report,
            skips_broken=len(source.images) > 1,
        )
    elif source.kind == "stdin":
        frames = read_stdin(report)
    else:
        live = read_live(source, patience_s=patience_s, report=report, stop=stop)
        frames = latest(live, report)
    for taken, frame in enumerate(frames):
        if taken % every == 0:
            if every > 1:
                frame.lasts_s = None  # it stands for those that are left out, too
            yield frame


def describe(source: Source) -> VideoInfo | None:
    """Probe a source; None of what cannot be opened twice.

    Raises:
        MediaError: it is a file that cannot be read.
    """
    return probe(source.address, film=source.film) if source.kind == "file" else None


def expected_frames(
    source: Source,
    info: VideoInfo | None,
    *,
    start_s: float | None = None,
    end_s: float | None = None,
    every: int = 1,
) -> int | None:
    """Return about how many frames `open_frames` will yield, None where unknown."""
    if source.kind == "images":
        return -(-len(source.images) // every)
    if info is None or info.frame_count is None:
        return None
    frames = float(info.frame_count)
    if info.duration_s:
        until_s = min(end_s if end_s is not None else info.duration_s, info.duration_s)
        frames *= max(0.0, until_s - (start_s or 0.0)) / info.duration_s
    return max(1, round(frames / every))
