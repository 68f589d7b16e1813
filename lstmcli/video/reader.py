"""Reads what FFmpeg decodes: frames in order with their own times, still images."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from lstmcli.core.errors import MediaError
from lstmcli.video.container import FFMPEG_ERRORS, open_media, rate_of, reason_of, video_stream
from lstmcli.video.frame import Frame, Scaler, Turn

_ONE_PACKET_A_FRAME = {"h264", "hevc", "mjpeg", "mpeg2video", "prores", "ffv1"}


@dataclass(slots=True)
class ReadReport:
    """What went wrong and was survived while a video was read; filled as the frames come.

    Args:
        frames: frames that came out.
        broken: packets that could not be decoded and frames that were decoded with damage.
        mended_times: timestamps that were missing or did not grow.
        resized: frames of another size than the first, scaled to it.
        deinterlaced: frames that were made of two fields.
        reconnects: attempts to come back to a live source.
        dropped: frames of a live source for which there was no time.
        is_finite: whether a stream turned out to be a file that somebody else keeps.
        has_sound: whether such a stream has sound, which is not kept.
    """

    frames: int = 0
    broken: int = 0
    mended_times: int = 0
    resized: int = 0
    deinterlaced: int = 0
    reconnects: int = 0
    dropped: int = 0
    is_finite: bool = False
    has_sound: bool = False

    def sentences(self) -> list[str]:
        """Return what a person should know, one sentence each."""
        told = (
            (self.broken, "frames or packets were broken"),
            (self.mended_times, "timestamps were missing or did not grow and were mended"),
            (self.reconnects, "attempts to connect again"),
            (self.dropped, "frames were left out because they came faster than they are read"),
            (self.resized, "frames had another size and were scaled to the first one's"),
        )
        return [f"{count} {text}" for count, text in told if count]


def read_frames(
    path: str | Path,
    *,
    start_s: float | None = None,
    end_s: float | None = None,
    report: ReadReport | None = None,
) -> Iterator[Frame]:
    """Yield the frames of a video in the order in which they are shown.

    Broken packets are left out and counted. Interlaced frames are deinterlaced. Frames of another
    size than the first are scaled to it. Every frame keeps its own number and its own time.

    Args:
        path: a file.
        start_s: leave out the frames before this many seconds from the beginning.
        end_s: stop before this many seconds from the beginning.
        report: filled with what was survived.

    Raises:
        MediaError: the file cannot be read, or no frame of it can be decoded.
    """
    report = report if report is not None else ReadReport()
    with open_media(path) as container:
        try:
            yield from frames_of(container, path, start_s=start_s, end_s=end_s, report=report)
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
    report: ReadReport,
) -> Iterator[Frame]:
    """Yield the frames of an open container; see `read_frames`."""
    stream = video_stream(container, path)
    origin_s = (container.start_time or 0) / av.time_base
    first_s = origin_s + start_s if start_s else None
    # AVI stores no presentation times, and its packets are not always one a frame.
    is_avi = container.format.name == "avi"
    packets = _PacketsFrom(container, stream, None if is_avi else first_s)
    timeline = _Timeline(1 / (rate_of(stream) or 25.0), trusts_pts=not is_avi)
    scaler, shape, turn, index = Scaler(), (0, 0), Turn(), 0
    for picture in _progressive(_decode_packets(packets, stream, report), stream, report):
        time_s = timeline.place(picture)
        if end_s is not None and time_s >= origin_s + end_s - 1e-6:
            break
        if first_s is not None and time_s < first_s - 1e-6:
            packets.decoded += 1
            continue
        if report.frames == 0:
            shape, turn = (picture.height, picture.width), Turn.of(picture)
            index = packets.index_of(picture)
        elif (picture.height, picture.width) != shape:
            picture = scaler.yuv(picture, shape)
            report.resized += 1
        yield Frame(index, time_s, picture, turn, scaler)
        index += 1
        report.frames += 1
        report.mended_times = timeline.mended


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
                    self._passed += sum(_is_shown(passed) for passed in held)
                    held = []
                else:
                    keys_behind += 1
            held.append(packet)
            if packet.dts is not None and packet.dts * packet.time_base > self._first_s:
                break
            # Matroska tells no DTS for the first packets. Without any, what is shown before the
            # start may still follow the first key frame behind it, but not the second.
            if packet.dts is None and keys_behind > 1:
                break
        self._seen = [
            None if packet.pts is None else float(packet.pts * packet.time_base)
            for packet in held
            if _is_shown(packet)
        ]
        yield from held

    def index_of(self, picture: av.VideoFrame) -> int:
        """Return the number of the first frame that is kept."""
        if self._first_s is None or picture.pts is None or None in self._seen:
            return self._passed + self.decoded
        return self._passed + sum(
            time_s is not None and time_s < picture.time - 1e-6 for time_s in self._seen
        )


def _is_shown(packet: av.Packet[VideoStream]) -> bool:
    """Return whether a picture comes of it; an edit list has some decoded and shown by nobody."""
    return packet.size > 0 and not packet.is_discard


def decode(
    container: InputContainer, stream: VideoStream, report: ReadReport
) -> Iterator[av.VideoFrame]:
    """Yield the pictures of a stream, deinterlaced; broken packets are counted and left out."""
    yield from _decode_packets(container.demux(stream), stream, report)


def _decode_packets(
    packets: Iterable[av.Packet[VideoStream]], stream: VideoStream, report: ReadReport
) -> Iterator[av.VideoFrame]:
    """Decode what can be decoded; a container that breaks off is a video that ends there."""
    source = iter(packets)
    owed = 0
    key_pts: int | None = None
    """Of the first key frame: what is shown before it needs frames that nobody has."""
    while True:
        try:
            packet = next(source, None)
        except FFMPEG_ERRORS:
            report.broken += 1
            packet = None
        is_last = packet is None or packet.size == 0
        if packet is not None and _is_shown(packet):
            if key_pts is None and packet.is_keyframe:
                key_pts = packet.pts
            owed += not _is_before(packet.pts, key_pts)
        try:
            pictures = stream.codec_context.decode(None if is_last else packet)
        except FFMPEG_ERRORS:
            report.broken += 1
            owed -= 1
            pictures = []
        for picture in pictures:
            owed -= not _is_before(picture.pts, key_pts)
            report.broken += bool(picture.is_corrupt)
            if not picture.time_base:  # the last ones, which a flush brings
                picture.time_base = stream.time_base
            yield picture
        if is_last:
            break
    # Decoders drop some damaged frames without a word.
    if stream.codec_context.name in _ONE_PACKET_A_FRAME:
        report.broken += max(0, owed)


def _is_before(pts: int | None, first_pts: int | None) -> bool:
    return pts is not None and first_pts is not None and pts < first_pts


def _progressive(
    pictures: Iterator[av.VideoFrame], stream: VideoStream, report: ReadReport
) -> Iterator[av.VideoFrame]:
    """Deinterlace from the first interlaced frame on; one frame in, one frame out."""
    graph: av.filter.Graph | None = None
    form: tuple[int, int, str] | None = None
    for picture in pictures:
        report.deinterlaced += picture.interlaced_frame
        now = (picture.width, picture.height, picture.format.name)
        if graph is not None and now != form:  # a graph is made for one size and format
            graph.vpush(None)
            yield from _pull(graph)
            graph = None
        if graph is None and picture.interlaced_frame:
            graph, form = _deinterlacer(picture, stream), now
        if graph is None:
            yield picture
            continue
        graph.vpush(picture)
        yield from _pull(graph)
    if graph is not None:
        graph.vpush(None)
        yield from _pull(graph)


def _deinterlacer(picture: av.VideoFrame, stream: VideoStream) -> av.filter.Graph:
    """Return a graph for pictures of this one's size and format."""
    graph = av.filter.Graph()
    graph.link_nodes(
        graph.add_buffer(
            template=stream,
            width=picture.width,
            height=picture.height,
            format=picture.format,
            time_base=picture.time_base,
        ),
        graph.add("bwdif", "mode=send_frame:deint=interlaced"),
        graph.add("buffersink"),
    ).configure()
    return graph


def _pull(graph: av.filter.Graph) -> Iterator[av.VideoFrame]:
    while True:
        try:
            yield graph.vpull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return


class _Timeline:
    """Gives every frame a time that is later than the one before."""

    def __init__(self, step_s: float, *, trusts_pts: bool) -> None:
        self._step_s, self._trusts_pts = step_s, trusts_pts
        self._last_s, self._shift_s = float("-inf"), 0.0
        self._stamps: dict[str, float] = {}
        self._faults = {"pts": 0, "dts": 0}
        self._is_told = False
        self.mended = 0

    def place(self, picture: av.VideoFrame) -> float:
        """Return the time of the next frame in seconds."""
        raw_s = self._own_time(picture)
        follows_s = self._last_s + self._step_s if self._last_s > float("-inf") else 0.0
        if raw_s is not None and not self._is_told:
            # network cameras give their first frames no stamp, and begin to count after these
            self._shift_s = max(0.0, follows_s - raw_s) if self.mended else 0.0
            self._is_told = True
        time_s = follows_s if raw_s is None else raw_s + self._shift_s
        if time_s <= self._last_s:
            # A jump back is a clock that began anew; a small step is only one odd stamp.
            if self._last_s - time_s > 1.0:
                self._shift_s += follows_s - time_s
                time_s = follows_s
            else:
                time_s = self._last_s + min(self._step_s / 2, 0.001)
            raw_s = None
        self.mended += raw_s is None
        self._last_s = time_s
        return time_s

    def _own_time(self, picture: av.VideoFrame) -> float | None:
        """Return the presentation time; the decoding time where that one grows more steadily."""
        found: dict[str, float] = {}
        for name, stamp in (("pts", picture.pts), ("dts", picture.dts)):
            if stamp is not None:
                found[name] = float(stamp * (picture.time_base or 1))
                self._faults[name] += found[name] <= self._stamps.get(name, float("-inf"))
        self._stamps |= found
        prefers_pts = self._trusts_pts and self._faults["pts"] <= self._faults["dts"]
        if "pts" in found and (prefers_pts or "dts" not in found):
            return found["pts"]
        return found.get("dts")


def read_images(paths: Sequence[Path], *, rate: float = 25.0) -> Iterator[Frame]:
    """Yield still images as the frames of a video of a steady rate; each keeps its own size.

    Raises:
        MediaError: one of them is not there or is not an image.
    """
    scaler = Scaler()
    for index, path in enumerate(paths):
        picture = _read_image(path)
        frame = Frame(index, index / rate, picture, Turn.of(picture), scaler)
        frame.lasts_s = 1 / rate
        yield frame


def _read_image(path: Path) -> av.VideoFrame:
    try:
        data = Path(path).read_bytes()
        with av.open(io.BytesIO(data), "r", metadata_errors="replace") as container:
            stream = container.streams.video[0]
            stream.thread_type = "NONE"
            picture = next(decode(container, stream, ReadReport()), None)
    except (*FFMPEG_ERRORS, IndexError) as error:
        reason = "there is no picture in it" if isinstance(error, IndexError) else reason_of(error)
        raise MediaError(f"{path}: {reason}", hint="give a JPEG, PNG or other image") from None
    if picture is None:
        raise MediaError(f"{path}: the image cannot be decoded", hint="does it open elsewhere?")
    return picture
