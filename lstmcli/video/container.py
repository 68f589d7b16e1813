"""Containers and streams: how media are opened, and what FFmpeg says where it cannot."""

from __future__ import annotations

from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from lstmcli.core.errors import MediaError

FFMPEG_ERRORS = (OSError, av.error.FFmpegError)
"""PyAV derives some errors from OSError, others from its own class alone."""
_HIGHEST_RATE = 1000.0
_ATTACHED_PICTURE = 0x400


def open_media(path: str | Path, *, options: dict[str, str] | None = None) -> InputContainer:
    """Open a file for reading.

    Raises:
        MediaError: it is not there or FFmpeg cannot read it.
    """
    try:
        with Path(path).open("rb"):
            pass
        # The prefix keeps FFmpeg from taking "a:b.mp4" for a protocol, and "%03d.png" for a series.
        container = av.open(
            f"file:{path}",
            options={"pattern_type": "none"} | (options or {}),
            metadata_errors="replace",
        )
    except FFMPEG_ERRORS as error:
        raise MediaError(
            f"{path}: {reason_of(error)}", hint="give a video or an image that FFmpeg can read"
        ) from None
    return container


def reason_of(error: Exception) -> str:
    """Return what FFmpeg or the system says is wrong, as a part of a sentence."""
    if isinstance(error, av.error.InvalidDataError):
        return "this is not a video or an image, or it is damaged"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text[:1].lower() + text[1:]


def video_stream(container: InputContainer, path: str | Path) -> VideoStream:
    """Return the stream that players show; cover pictures do not count.

    Raises:
        MediaError: there is none.
    """
    streams = [s for s in container.streams.video if not s.disposition & _ATTACHED_PICTURE]
    best = container.streams.best("video")
    if not streams:
        raise MediaError(f"{path}: there is no video in it", hint="is it a sound file?")
    stream = best if isinstance(best, VideoStream) and best in streams else streams[0]
    stream.thread_type = "AUTO"
    return stream


def rate_of(stream: VideoStream) -> float | None:
    """Return the frames per second that a stream tells, None where it tells nothing credible."""
    for rate in (stream.average_rate, stream.guessed_rate):
        if rate and 0 < rate <= _HIGHEST_RATE:
            return float(rate)
    return None
