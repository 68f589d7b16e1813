"""Probes videos: size, rate, length, codec, without decoding more than a frame."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from lstmcli.core.errors import MediaError
from lstmcli.video.animation import animation_times, is_animation, read_animation
from lstmcli.video.container import (
    FFMPEG_ERRORS,
    open_media,
    rate_of,
    reason_of,
    video_stream,
)
from lstmcli.video.decoding import decode, is_shown
from lstmcli.video.frame import Turn
from lstmcli.video.read_report import ReadReport


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """Properties of a video before it is read.

    Args:
        path: as given.
        size_hw: (height, width) in pixels as shown, rotation applied.
        rate: frames per second on average, None where unknown.
        frame_count: what the container says, else duration times rate: an estimate, good for a
            progress bar; None where neither is known.
        duration_s: None where unknown (streams, some images).
        rotation: degrees clockwise that are applied: 0, 90, 180 or 270.
        has_audio: whether there is a sound track.
        codec: FFmpeg's name of the decoder.
        begins_s: what the stream's clock shows at the beginning; most files begin at 0.
        pixel_aspect: width of a pixel by its height, as shown.
    """

    path: str
    size_hw: tuple[int, int]
    rate: float | None
    frame_count: int | None
    duration_s: float | None
    rotation: int
    has_audio: bool
    codec: str
    begins_s: float = 0.0
    pixel_aspect: Fraction = Fraction(1)


def probe(path: str | Path, *, film: int | None = None) -> VideoInfo:
    """Probe a video or an image; its first frame is decoded.

    Args:
        path: of a file.
        film: which video stream, from 1; None: the one that players show.

    Raises:
        MediaError: it is not there, not media, or no frame of it can be decoded.
    """
    if is_animation(path):
        return _probe_animation(path)
    with open_media(path) as container:
        stream = video_stream(container, path, film)
        rate, duration_s = rate_of(stream, container), None
        if stream.duration and stream.time_base:
            duration_s = float(stream.duration * stream.time_base)
        elif container.duration:
            duration_s = container.duration / av.time_base
        count = stream.frames or (round(duration_s * rate) if duration_s and rate else None)
        try:
            first = next(decode(container, stream, ReadReport()), None)
        except FFMPEG_ERRORS as error:
            raise MediaError(f"{path}: {reason_of(error)}", hint="does it play?") from error
        if first is None:
            raise MediaError(f"{path}: not one frame can be decoded", hint="does it play?")
        turn = Turn.of(first)
        # some containers state the shape of a pixel and the codec in them does not
        ratio = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
        aspect = ratio or Fraction(1)
        return VideoInfo(
            path=str(path),
            size_hw=turn.size_hw((first.height, first.width)),
            rate=rate,
            frame_count=count,
            duration_s=duration_s,
            rotation=turn.degrees,
            has_audio=len(container.streams.audio) > 0,
            codec=stream.codec_context.name,
            begins_s=(container.start_time or 0) / av.time_base,
            pixel_aspect=1 / aspect if turn.transposed else aspect,
        )


def count_packets(path: str | Path) -> int | None:
    """Return how many frames a file holds, broken ones too; None where unknown.

    Where the container has no index the file is read through, without decoding.

    Raises:
        MediaError: it cannot be read.
    """
    if is_animation(path):
        return len(animation_times(path)) - 1
    with open_media(path) as container:
        stream = video_stream(container, path)
        if stream.frames:
            return stream.frames
        try:
            return sum(is_shown(packet) for packet in container.demux(stream))
        except FFMPEG_ERRORS:
            return None


def _probe_animation(path: str | Path) -> VideoInfo:
    times = animation_times(path)
    first = next(read_animation(path, start_s=None, end_s=None, report=ReadReport()))
    return VideoInfo(
        path=str(path),
        size_hw=first.size_hw,
        rate=(len(times) - 1) / times[-1],
        frame_count=len(times) - 1,
        duration_s=times[-1],
        rotation=0,
        has_audio=False,
        codec="webp",
    )
