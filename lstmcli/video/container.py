"""Containers and streams: how media are opened, and what FFmpeg says where it cannot."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import av
from av import VideoCodecContext
from av.container import InputContainer
from av.video.stream import VideoStream

from lstmcli.core.errors import MediaError
from lstmcli.core.limits import check_limit, limit
from lstmcli.core.media_files import UNREADABLE_SUFFIXES

FFMPEG_ERRORS = (OSError, av.error.FFmpegError)
"""PyAV derives some errors from OSError, others from its own class alone."""
_HIGHEST_RATE = 1000.0
_ATTACHED_PICTURE = 0x400
_OF_OTHER_FILES = frozenset(
    ("avisynth", "concat", "concatf", "dash", "hls", "imf", "lavfi", "rtp", "rtsp", "sap", "sdp")
) | {"vapoursynth", "vobsub", "webm_dash_manifest"}
"""Formats that are no media but name some: other files, or addresses to connect to."""
_ELEMENTARY = {"h264", "hevc", "vvc", "mjpeg", "mpegvideo", "m4v", "h263", "obu", "vc1", "dirac"}
"""Formats without timestamps: nothing but coded pictures one after the other."""


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
            options=media_only() | {"pattern_type": "none"} | (options or {}),
            metadata_errors="replace",
        )
    except FFMPEG_ERRORS as error:
        raise MediaError(f"{path}: {reason_of(error)}", hint=_hint_of(path, error)) from None
    return container


def media_only() -> dict[str, str]:
    """Return the options by which FFmpeg reads a file itself, whatever the file tells it to open.

    Playlists and session descriptions are recognised by content, in a file of any name.
    """
    return {"format_whitelist": _media_formats(), "protocol_whitelist": "file,crypto,data"}


@cache
def _media_formats() -> str:
    names = (name for name in av.formats_available if not _OF_OTHER_FILES & set(name.split(",")))
    return ",".join(sorted(names))


def _hint_of(path: str | Path, error: Exception) -> str:
    """Return what to do about a file that cannot be opened."""
    if isinstance(error, av.error.ArgumentError):
        return "give the videos that it names, or the address of the stream"
    if not isinstance(error, av.error.InvalidDataError):
        return "is the path right, and may you read it?"
    if Path(path).suffix.lower() in UNREADABLE_SUFFIXES:
        return "images of this format are not read: convert it to JPEG or PNG"
    if Path(path).suffix.lower() in {".mp4", ".mov", ".m4v", ".3gp"}:
        if Path(path).stat().st_size == 0:
            return "the file is empty; copy or record it again"
        return "was the recording closed properly? its index may be missing"
    return "give a video or an image that FFmpeg can read"


def reason_of(error: Exception) -> str:
    """Return what FFmpeg or the system says is wrong, as a part of a sentence."""
    if isinstance(error, av.error.InvalidDataError):
        return "this is not a video or an image, or it is damaged"
    if isinstance(error, av.error.ArgumentError):
        return "this is no video but a list of others"
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text[:1].lower() + text[1:]


def films_of(container: InputContainer) -> list[VideoStream]:
    """Return the video streams in their order in the file; cover pictures do not count."""
    return [s for s in container.streams.video if not s.disposition & _ATTACHED_PICTURE]


def video_stream(
    container: InputContainer, path: str | Path, film: int | None = None
) -> VideoStream:
    """Return the stream that players show, or the one with a number from 1.

    Raises:
        MediaError: there is none.
    """
    streams = films_of(container)
    if not streams:
        raise MediaError(f"{path}: there is no video in it", hint="is it a sound file?")
    if film is not None and not 1 <= film <= len(streams):
        raise MediaError(
            f"{path}: there is no video stream {film} in it",
            hint=f"it has {len(streams)}; #1 is the first",
        )
    best = container.streams.best("video")
    stream = best if isinstance(best, VideoStream) and best in streams else streams[0]
    if film is not None:
        stream = streams[film - 1]
    check_stream(path, stream)
    stream.thread_type = "AUTO"
    return stream


def check_stream(path: str | Path, stream: VideoStream) -> None:
    """Refuse pictures with too many pixels, by the header and later while they are decoded.

    Raises:
        MediaError: the header tells of too many, or of an unknown codec.
    """
    context: VideoCodecContext | None = stream.codec_context
    if context is None:
        raise MediaError(f"{path}: FFmpeg does not know its codec", hint="does it play?")
    check_pixels(path, context.width or 0, context.height or 0)
    if not context.is_open:
        context.options = dict(context.options or {}) | {"max_pixels": str(limit("pixels"))}


def check_pixels(path: str | Path, width: int, height: int) -> None:
    """Refuse a picture with too many pixels before they are decoded.

    Raises:
        MediaError: there are more than the limit.
    """
    check_limit("pixels", width * height, f"{path}: {width}x{height}", error=MediaError)


def has_stamps(container: InputContainer) -> bool:
    """Return whether the format has timestamps; an elementary stream counts its pictures only."""
    return not set(container.format.name.split(",")) & _ELEMENTARY


def rate_of(stream: VideoStream, container: InputContainer | None = None) -> float | None:
    """Return the frames per second of a stream's header, None without a credible value.

    Of an elementary stream FFmpeg says 25 whatever it is; only what the codec's own headers say
    (VUI of H.264 and H.265, sequence header of MPEG-2) counts there.
    """
    rates = (stream.average_rate, stream.guessed_rate)
    if container is not None and not has_stamps(container):
        rates = (stream.codec_context.framerate, None)
    for rate in rates:
        if rate and 0 < rate <= _HIGHEST_RATE:
            return float(rate)
    return None
