"""Reads the frames of a video in order, with their own times."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from lstmcli.core.errors import MediaError
from lstmcli.video.animation import is_animation, read_animation
from lstmcli.video.container import (
    FFMPEG_ERRORS,
    films_of,
    has_stamps,
    open_media,
    rate_of,
    reason_of,
    video_stream,
)
from lstmcli.video.decoding import DECODING_ORDER, PacketLedger, decode_packets, is_shown
from lstmcli.video.deinterlacing import deinterlace
from lstmcli.video.frame import Frame, Scaler, Turn, is_hdr
from lstmcli.video.read_report import ReadReport
from lstmcli.video.timeline import Timeline
from lstmcli.video.truncation import note_truncation

ASSUMED_RATE = 25.0
"""Frames per second where unknown."""


def read_frames(
    path: str | Path,
    *,
    start_s: float | None = None,
    end_s: float | None = None,
    film: int | None = None,
    rate: float | None = None,
    report: ReadReport | None = None,
) -> Iterator[Frame]:
    """Yield the frames of a video in the order in which they are shown.

    Broken packets are left out and counted. Interlaced frames are deinterlaced. Frames of another
    size than the first are letterboxed to it. Every frame keeps its own number and its own time.

    Args:
        path: a file.
        start_s: leave out the frames before this many seconds from the beginning.
        end_s: stop before this many seconds from the beginning.
        film: which video stream, from 1; None: the one that players show.
        rate: frames per second of a stream without timestamps; None: what its headers say.
        report: filled with what was survived.

    Raises:
        MediaError: the file cannot be read, or no frame of it can be decoded.
    """
    report = report if report is not None else ReadReport()
    if is_animation(path):
        yield from read_animation(path, start_s=start_s, end_s=end_s, report=report)
    else:
        with open_media(path) as container:
            try:
                yield from frames_of(
                    container,
                    path,
                    start_s=start_s,
                    end_s=end_s,
                    film=film,
                    rate=rate,
                    report=report,
                )
            except FFMPEG_ERRORS as error:
                raise MediaError(f"{path}: {reason_of(error)}", hint="does it play?") from error
    if report.frames == 0:
        where = f" between {start_s or 0:g} and {end_s:g} s" if end_s is not None else ""
        where = where or (f" from {start_s:g} s on" if start_s else "")
        raise MediaError(f"{path}: there is no frame{where}", hint="does it play?")


def frames_of(
    container: InputContainer,
    path: str | Path,
    *,
    start_s: float | None = None,
    end_s: float | None = None,
    film: int | None = None,
    rate: float | None = None,
    report: ReadReport,
) -> Iterator[Frame]:
    """Yield the frames of an open container; see `read_frames`."""
    stream = video_stream(container, path, film)
    if film is None:
        _note_other_films(container, stream, report)
    origin_s = (container.start_time or 0) / av.time_base
    first_s = origin_s + start_s if start_s else None
    by_order = container.format.name in DECODING_ORDER
    # stamps that count packets do not say which frame is shown when
    packets = _PacketsFrom(container, stream, None if by_order else first_s)
    timeline = _timeline_of(container, stream, rate, report)
    ledger = PacketLedger(stream, report, by_order=by_order)
    pictures = deinterlace(decode_packets(packets, stream, ledger), stream, report)
    scaler, shape, turn, index, lost = Scaler(), (0, 0), Turn(), 0, 0
    frame: Frame | None = None
    for number, picture in enumerate(pictures):
        while ledger.gaps and ledger.gaps[0][0] <= number:
            lost += ledger.gaps.popleft()[1]
        time_s = timeline.time_of(picture)
        if end_s is not None and time_s >= origin_s + end_s - 1e-6:
            return
        if first_s is not None and time_s < first_s - 1e-6:
            packets.decoded += 1
            continue
        if is_hdr(picture):
            report.note("HDR colours (HLG or PQ) were converted to SDR (BT.709)")
        if frame is None:
            shape, turn = (picture.height, picture.width), Turn.of(picture)
            index = packets.index_of(picture)
            lost = 0 if start_s else lost
        elif (picture.height, picture.width) != shape:
            picture = scaler.fit(picture, shape)
            report.resized += 1
        frame = Frame(index, time_s, picture, turn, scaler)
        frame.position = index + lost
        while ledger.dependents and ledger.dependents[0] < number:
            ledger.dependents.popleft()
        frame.is_dependent = bool(ledger.dependents) and ledger.dependents[0] == number
        yield frame
        index += 1
        report.frames += 1
    if frame is not None and container.name.startswith("file:"):
        note_truncation(container, stream, path, frame, report)


def _timeline_of(
    container: InputContainer, stream: VideoStream, rate: float | None, report: ReadReport
) -> Timeline:
    stream_rate = rate_of(stream, container)
    if has_stamps(container):
        return Timeline(1 / (stream_rate or ASSUMED_RATE), report)
    if rate is None and stream_rate is None:
        report.note(
            f"the stream has neither timestamps nor a frame rate; {ASSUMED_RATE:g} frames a second "
            "are assumed, --image-rate sets another"
        )
    return Timeline(1 / (rate or stream_rate or ASSUMED_RATE), report, has_stamps=False)


def _note_other_films(container: InputContainer, stream: VideoStream, report: ReadReport) -> None:
    films = films_of(container)
    if len(films) < 2:
        return
    others = ", ".join(
        f"#{number} ({film.codec_context.width}x{film.codec_context.height})"
        for number, film in enumerate(films, 1)
        if film != stream
    )
    report.note(
        f"there are {len(films)} videos in the file; #{films.index(stream) + 1} was read, add "
        f"the number to the name for another: {others}"
    )


class _PacketsFrom:
    """Yields packets from the last key frame before a time on, and knows how many frames it passed.

    Packets are read from the beginning, not sought: so the frame numbers are true in every format.
    """

    def __init__(
        self, container: InputContainer, stream: VideoStream, first_s: float | None
    ) -> None:
        self._container, self._stream, self._first_s = container, stream, first_s
        self._passed = 0
        self._seen: list[float | None] = []
        self.decoded = 0
        """Frames that were decoded and left out because they were too early."""

    def __iter__(self) -> Iterator[av.Packet[VideoStream]]:
        packets = iter(self._container.demux(self._stream))
        if self._first_s is not None:
            yield from self._up_to_start(packets)
        yield from packets

    def _up_to_start(
        self, packets: Iterator[av.Packet[VideoStream]]
    ) -> Iterator[av.Packet[VideoStream]]:
        held: list[av.Packet[VideoStream]] = []
        keys_behind = 0
        assert self._first_s is not None
        for packet in packets:
            stamp = packet.pts if packet.pts is not None else packet.dts
            time_s = None if stamp is None else float(stamp * packet.time_base)
            if packet.is_keyframe and time_s is not None:
                if time_s <= self._first_s:
                    self._passed += sum(is_shown(passed) for passed in held)
                    held = []
                else:
                    keys_behind += 1
            held.append(packet)
            if packet.dts is not None and packet.dts * packet.time_base > self._first_s:
                break
            # Matroska has no DTS for the first packets. Without any, what is shown before the
            # start may still follow the first key frame behind it, but not the second.
            if packet.dts is None and keys_behind > 1:
                break
        self._seen = [
            None if packet.pts is None else float(packet.pts * packet.time_base)
            for packet in held
            if is_shown(packet)
        ]
        yield from held

    def index_of(self, picture: av.VideoFrame) -> int:
        """Return the number of the first frame that is kept."""
        if self._first_s is None or picture.pts is None or None in self._seen:
            return self._passed + self.decoded
        return self._passed + sum(
            time_s is not None and time_s < picture.time - 1e-6 for time_s in self._seen
        )
