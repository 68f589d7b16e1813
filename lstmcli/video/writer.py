"""Writes video that browsers play: H.264 in mp4 with the given times, and the sound of the source.

While it is written, the video is a fragmented mp4 named `*.partial.mp4`: it plays up to its last
second whatever ends the process. When it is complete, it is laid out anew with its index in
front, joined by the sound, and only then gets its name.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from heapq import merge
from pathlib import Path
from types import TracebackType
from typing import Any

import av
from av.container import InputContainer, OutputContainer
from av.video.stream import VideoStream

from lstmcli.core.errors import LstmcliError, OutputError, choose, write_failure
from lstmcli.core.files import atomic_write, make_partial, partial_path, sync_file
from lstmcli.core.types import Picture
from lstmcli.video.container import FFMPEG_ERRORS, open_media, reason_of
from lstmcli.video.frame import LIMITED, Planes
from lstmcli.video.sound import sound_packets, sound_stream

TICK = Fraction(1, 90000)
"""The clock of the output; every usual frame rate is a whole number of its ticks."""
_FRAGMENTS = {
    "movflags": "+empty_moov+default_base_moof",
    "frag_duration": "1000000",
    "flush_packets": "1",
}
_KEPT_OUT = {"major_brand", "minor_version", "compatible_brands", "encoder", "duration"}


@dataclass(frozen=True, slots=True)
class Encoder:
    """Encoder and options of a codec of `--codec`.

    Args:
        name: FFmpeg's name.
        quality: the option that holds the constant quality.
        options: the other ones.
        tag: the four letters that players check, "" for the default.
    """

    name: str
    quality: str
    options: Mapping[str, str] = field(default_factory=dict)
    tag: str = ""


CODECS: Mapping[str, Encoder] = {
    "h264": Encoder("libx264", "crf", {"preset": "veryfast", "bf": "0"}),
    "nvenc": Encoder("h264_nvenc", "cq", {"preset": "p4", "rc": "vbr", "bf": "0"}),
    "hevc": Encoder(
        "libx265", "crf", {"preset": "veryfast", "x265-params": "log-level=error:bframes=0"}, "hvc1"
    ),
}
"""Values of `--codec`; `nvenc` needs an NVIDIA card with an encoder, otherwise h264 does it.

No frame refers to a later one: so a frame's decoding time is its own time, fragments and edit
lists shift nothing, and the length of variable-rate video is true in every player.
"""


class VideoWriter:
    """Writes one video; use it in a `with`: leaving it well completes the file.

    An error or an interruption leaves `*.partial.mp4`, which plays, and nothing under the name.

    Args:
        path: of the video; the folder must be there.
        rate: frames per second, for the length of the last frame; a guess is enough.
        codec: a name of `CODECS`.
        quality: 0 (best) to 51; 23 is good.
        begins_s: the time that is 0 in the video.
        ends_s: sound from this time on is left out; None for all of it.
        sound_from: the file whose sound and metadata are taken over, None for neither.
        pixel_aspect: width of a pixel by its height.
        overwrite: replace a file of that name.

    Raises:
        ConfigError: no such codec.
        OutputError: the file cannot be written.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        rate: float | None = None,
        codec: str = "h264",
        quality: int = 23,
        begins_s: float = 0.0,
        ends_s: float | None = None,
        sound_from: str | Path | None = None,
        pixel_aspect: Fraction = Fraction(1),
        overwrite: bool = True,
    ) -> None:
        self.path, self._overwrite = Path(path), overwrite
        self.partial = partial_path(self.path)
        self.frames = 0
        self.notes: list[str] = []
        """Messages for the user: sound that was lost, an encoder that was not there."""
        self._encoder = choose(CODECS, codec, "codec")
        self._rate, self._quality = rate or 25.0, quality
        self._begins_s, self._ends_s, self._source = begins_s, ends_s, sound_from
        self._aspect = pixel_aspect
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None
        self._held: av.VideoFrame | None = None
        self._first_pts = 0
        self._size_hw = (0, 0)
        self._is_broken = False

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()

    def write(
        self, picture: Planes | Picture, time_s: float, *, lasts_s: float | None = None
    ) -> None:
        """Add a frame that is shown from `time_s` on; times grow.

        Args:
            picture: planes, which the writer keeps, or RGB.
            time_s: in seconds.
            lasts_s: how long it is shown if it is the last one; None for a frame at the rate.
        """
        planes = picture if isinstance(picture, Planes) else Planes.from_rgb(picture)
        frame = planes.pad()
        frame.pts = max(0, round((time_s - self._begins_s) / TICK))
        frame.time_base = TICK
        frame.pict_type = 0
        try:
            if self._stream is None:
                self._open(planes)
                self._first_pts = frame.pts
            elif planes.size_hw != self._size_hw:
                raise OutputError(
                    f"{self.path}: a frame of {planes.size_hw} after frames of {self._size_hw}",
                    hint="--write jsonl,frames takes frames of any size",
                )
            if self._held is not None and self._held.pts is not None:
                frame.pts = max(frame.pts, self._held.pts + 1)
                self._held.duration = frame.pts - self._held.pts
                self._encode(self._held)
        except FFMPEG_ERRORS as error:
            raise self._failure(error) from error
        frame.duration = max(1, round((lasts_s or 1 / self._rate) / TICK))
        self._held = frame
        self.frames += 1

    def close(self) -> None:
        """Complete the video: index in front, sound next to it, then its name.

        Raises:
            OutputError: there is no frame, or the disk is full.
        """
        if self._stream is None:
            raise OutputError(f"{self.path}: there is no frame to write", hint="is it empty?")
        try:
            self._flush()
            with atomic_write(self.path, overwrite=self._overwrite) as finished:
                self._finish(finished)
            self.partial.unlink()
        except FFMPEG_ERRORS as error:
            raise self._failure(error) from error

    def abandon(self) -> None:
        """Stop without completing: what was written stays as `*.partial.mp4`."""
        try:
            if self._stream is not None and not self._is_broken:
                self._flush()
        except FFMPEG_ERRORS:
            pass  # there is already an error on its way to the user
        finally:
            if self._container is not None:
                self._container.close()

    def sync(self) -> None:
        """Bring what was written so far to the disk, so that it survives a power cut."""
        if self.partial.exists():  # the first packets wait in the encoder
            sync_file(self.partial)

    def _open(self, planes: Planes) -> None:
        self._size_hw = planes.size_hw
        os.close(make_partial(self.path))
        self._container = av.open(
            str(self.partial), "w", format="mp4", container_options=dict(_FRAGMENTS)
        )
        try:
            self._stream = self._add_stream(self._encoder, planes)
        except (*FFMPEG_ERRORS, ValueError) as error:
            if self._encoder.name != "h264_nvenc":
                raise OutputError(
                    f"{self.path}: {self._encoder.name} does not start: {reason_of(error)}",
                    hint="use --codec h264",
                ) from error
            self.notes.append("there is no NVENC encoder here; libx264 encodes instead")
            self._container.close()
            self._encoder = CODECS["h264"]
            self._open(planes)

    def _add_stream(self, encoder: Encoder, planes: Planes) -> VideoStream:
        assert self._container is not None
        options = dict(encoder.options) | {encoder.quality: str(self._quality)}
        stream = self._container.add_stream(
            encoder.name, rate=Fraction(self._rate).limit_denominator(1001), options=options
        )
        assert isinstance(stream, VideoStream)
        context = stream.codec_context
        context.width, context.height = planes.store.width, planes.store.height
        context.pix_fmt, context.time_base = "yuv420p", TICK
        context.gop_size = min(250, max(12, round(4 * self._rate)))
        context.flags |= av.codec.context.Flags.frame_duration
        context.sample_aspect_ratio = self._aspect
        context.color_range, context.colorspace = LIMITED, planes.matrix
        context.color_primaries, context.color_trc = planes.primaries, planes.transfer
        if encoder.tag:
            context.codec_tag = encoder.tag
        context.open()
        return stream

    def _encode(self, frame: av.VideoFrame | None) -> None:
        assert self._container is not None
        assert self._stream is not None
        self._is_broken = True  # FFmpeg ends the process that goes on after a failed header
        self._container.mux(self._stream.encode(frame))
        self._is_broken = False

    def _flush(self) -> None:
        assert self._container is not None
        if self._held is not None:
            self._encode(self._held)
            self._held = None
        self._encode(None)
        self._container.close()

    def _finish(self, path: Path) -> None:
        """Copy the fragments and the sound into one plain mp4 with the index in front."""
        with open_media(self.partial) as pictures:
            if self._source is None:
                self._join(path, pictures, None, {})
                return
            with open_media(self._source) as source:
                metadata = {k: v for k, v in source.metadata.items() if k not in _KEPT_OUT}
                try:
                    self._join(path, pictures, source, metadata)
                    return
                except (*FFMPEG_ERRORS, ValueError) as error:
                    self.notes.append(f"the sound could not be kept: {reason_of(error)}")
        with open_media(self.partial) as pictures:
            self._join(path, pictures, None, metadata)

    def _join(
        self,
        path: Path,
        pictures: InputContainer,
        source: InputContainer | None,
        metadata: Mapping[str, str],
    ) -> None:
        options = {"movflags": "+faststart"}
        with av.open(str(path), "w", format="mp4", container_options=options) as out:
            out.metadata.update(metadata)
            template = pictures.streams.video[0]
            video = out.add_stream_from_template(template, opaque=True)
            track = sound_stream(source, out) if source is not None else None
            packets = _video_packets(pictures, template, video, self._first_pts)
            if track is not None and source is not None:
                sound = sound_packets(source, track, begins_s=self._begins_s, ends_s=self._ends_s)
                packets = merge(packets, sound, key=_decode_time)
            for packet in packets:
                out.mux(packet)

    def _failure(self, error: Exception) -> LstmcliError:
        return write_failure(self.path, error)


def _video_packets(
    pictures: InputContainer, template: VideoStream, video: VideoStream, first_pts: int
) -> Iterator[av.Packet[Any]]:
    """Yield the packets of the fragments; those forget when the first picture was shown."""
    shift: int | None = None
    for packet in pictures.demux(template):
        if packet.size and packet.pts is not None and packet.dts is not None:
            if shift is None:
                shift = round(first_pts * TICK / packet.time_base) - packet.pts
            packet.pts += shift
            packet.dts += shift
            packet.stream = video
            yield packet


def _decode_time(packet: av.Packet[Any]) -> float:
    stamp = packet.dts if packet.dts is not None else packet.pts
    return float((stamp or 0) * packet.time_base)


@cache
def has_nvenc() -> bool:
    """Return whether this machine has an NVIDIA encoder for H.264; an H100, for one, has none."""
    try:
        context = av.CodecContext.create("h264_nvenc", "w")
        assert isinstance(context, av.VideoCodecContext)
        context.width, context.height, context.pix_fmt = 256, 256, "yuv420p"
        context.time_base = TICK
        context.framerate = Fraction(25)
        context.open()
    except (*FFMPEG_ERRORS, ValueError):
        return False
    return True
