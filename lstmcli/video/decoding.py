"""Decodes packets to pictures and reports damaged and lost frames with their index."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from lstmcli.video.container import FFMPEG_ERRORS
from lstmcli.video.read_report import ReadReport

_ONE_PACKET_A_FRAME = {"h264", "hevc", "mjpeg", "mpeg2video", "prores", "ffv1"}
DECODING_ORDER = {"avi", "asf", "asf_o"}
"""Containers that store no presentation times: their stamps count packets in decoding order."""
_CLOCK_JUMP_S = 1.0
"""Decoding times that step back by more belong to a clock that began anew."""


def decode(
    container: InputContainer, stream: VideoStream, report: ReadReport
) -> Iterator[av.VideoFrame]:
    """Yield the pictures of a stream; broken packets are counted and left out."""
    ledger = PacketLedger(stream, report, by_order=container.format.name in DECODING_ORDER)
    yield from decode_packets(container.demux(stream), stream, ledger)


def is_shown(packet: av.Packet[VideoStream]) -> bool:
    """Return whether a picture comes of it; an edit list has some decoded and never shown."""
    return packet.size > 0 and not packet.is_discard


def decode_packets(
    packets: Iterable[av.Packet[VideoStream]], stream: VideoStream, ledger: PacketLedger
) -> Iterator[av.VideoFrame]:
    """Decode what can be decoded; a container that breaks off is a video that ends there."""
    source = iter(packets)
    while True:
        try:
            packet = next(source, None)
        except FFMPEG_ERRORS:
            ledger.breaks_off()
            packet = None
        is_last = packet is None or packet.size == 0
        if packet is not None:
            ledger.send(packet)
        try:
            pictures = stream.codec_context.decode(None if is_last else packet)
        except FFMPEG_ERRORS:
            ledger.fail()
            pictures = []
        for picture in pictures:
            if not picture.time_base:  # the last ones, which a flush brings
                picture.time_base = stream.time_base
            ledger.show(picture)
            yield picture
        if is_last:
            break
    ledger.end()


@dataclass(slots=True)
class _Epoch:
    """The packets of one clock that were sent and did not come out yet."""

    waiting: list[int] = field(default_factory=list)
    """Presentation times, a heap."""


class PacketLedger:
    """Compares what goes into a decoder with what comes out of it.

    Decoders drop some damaged frames without a word, so a frame is lost when a later one is shown
    before it. Pictures that lead an open group, or lie in front of an edit list, are no loss.

    Args:
        stream: that is decoded.
        report: filled with what is lost.
        by_order: whether stamps count packets in decoding order; pictures then get the stamps
            sorted, so that the n-th shown one has the n-th.
    """

    def __init__(self, stream: VideoStream, report: ReadReport, *, by_order: bool) -> None:
        self._stream, self._report, self._by_order = stream, report, by_order
        self._is_counted = stream.codec_context.name in _ONE_PACKET_A_FRAME
        self._epochs: deque[_Epoch] = deque([_Epoch()])
        self._key_pts: int | None = None
        self._leading: set[int] = set()
        self._owed, self._has_stamps = 0, False
        self._last_dts: int | None = None
        self._slots: list[int] = []
        self._slot_of: dict[int, int] = {}
        self._shown = self._lost = 0
        self.gaps: deque[tuple[int, int]] = deque()
        """(pictures that were shown before, frames that were lost there)."""
        self.dependents: deque[int] = deque()
        """Numbers of shown pictures that were predicted from lost or damaged ones."""
        self._is_tainted = False

    def send(self, packet: av.Packet[VideoStream]) -> None:
        """Note a packet before it is decoded."""
        if not packet.size:
            return
        if self._key_pts is None and packet.is_keyframe and packet.pts is not None:
            self._key_pts = packet.pts
        if packet.is_discard:
            return
        if self._by_order and packet.dts is not None:
            heappush(self._slots, packet.dts)
            if packet.pts is not None:
                self._slot_of[packet.pts] = packet.dts
            return
        if packet.pts is None:
            self._owed += 1
            return
        self._has_stamps = True
        if self._clock_restarts(packet):
            self._epochs.append(_Epoch())
            self._key_pts = packet.pts if packet.is_keyframe else self._key_pts
        elif self._key_pts is None:
            self._leading.add(packet.pts)
            return
        elif len(self._epochs) == 1 and packet.pts < self._key_pts:
            return
        heappush(self._epochs[-1].waiting, packet.pts)

    def show(self, picture: av.VideoFrame) -> None:
        """Note a picture that was decoded, and correct its stamp where that is no time."""
        if self._by_order:
            self._take_slot(picture)
        elif picture.pts is None:
            self._owed -= 1
        else:
            self._leading.discard(picture.pts)
            self._take(picture.pts, is_counted=not picture.interlaced_frame)
        self._is_tainted &= not picture.key_frame
        if picture.is_corrupt:
            self._report.damage(self._shown + self._lost)
            self._is_tainted = True
        elif self._is_tainted:
            self._report.depend(self._shown + self._lost)
            self.dependents.append(self._shown)
        self._shown += 1

    def fail(self) -> None:
        """Note that a packet could not be decoded."""
        if self._by_order or not self._is_counted:
            self._report.broken += 1
            self._owed -= 1

    def breaks_off(self) -> None:
        """Note that the container could not be read on."""
        self._report.note("the file breaks off")

    def end(self) -> None:
        """Count what never came out."""
        self._report.leading += len(self._leading) if self._shown else 0
        if self._by_order:
            self._lose(len(self._slots))
        elif self._is_counted:
            self._lose(sum(len(epoch.waiting) for epoch in self._epochs))
            if not self._has_stamps:
                self._report.broken += max(0, self._owed)

    def _clock_restarts(self, packet: av.Packet[VideoStream]) -> bool:
        last, self._last_dts = self._last_dts, packet.dts
        if last is None or packet.dts is None:
            return False
        return float((last - packet.dts) * packet.time_base) > _CLOCK_JUMP_S

    def _take(self, pts: int, *, is_counted: bool) -> None:
        if not any(pts in epoch.waiting for epoch in self._epochs):
            return
        missing = 0
        while pts not in self._epochs[0].waiting:
            missing += len(self._epochs.popleft().waiting)
        waiting = self._epochs[0].waiting
        while waiting[0] < pts:
            heappop(waiting)
            missing += 1
        heappop(waiting)
        if is_counted:  # two fields may come as two packets
            self._lose(missing)

    def _take_slot(self, picture: av.VideoFrame) -> None:
        own = self._slot_of.pop(picture.pts, None) if picture.pts is not None else None
        if own is not None and picture.key_frame:
            # all that is shown before a key frame and was sent before it has been shown
            missing = 0
            while self._slots and self._slots[0] < own:
                heappop(self._slots)
                missing += 1
            self._lose(missing)
        picture.pts = heappop(self._slots) if self._slots else None
        picture.dts = None

    def _lose(self, count: int) -> None:
        if not count or not self._is_counted:
            return
        for _ in range(count):
            if self._by_order:  # a failure was counted when it happened
                self._report.broken -= min(1, self._report.broken)
            self._report.lose(self._shown + self._lost)
            self._lost += 1
        self._is_tainted = True
        self.gaps.append((self._shown, count))
