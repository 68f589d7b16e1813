"""Detects truncated files: cut copies and recordings that were never closed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from lstmcli.video.frame import Frame
from lstmcli.video.read_report import ReadReport

_STEPS = 4
"""Frames by which a header may be wrong."""
_LOOSE_S, _LOOSE_SHARE = 1.0, 0.02
"""Tolerances of the length of a whole file against that of its pictures."""


def note_truncation(
    container: InputContainer,
    stream: VideoStream,
    path: str | Path,
    last: Frame,
    report: ReadReport,
) -> None:
    """Add a sentence where a file holds less than it says.

    Args:
        container: that was read to its end.
        stream: of it.
        path: of the file.
        last: the frame that came last.
        report: gets the sentence.
    """
    step_s = last.lasts_s or float(1 / stream.average_rate if stream.average_rate else 0.04)
    ends_s = last.time_s + step_s
    stated_s, tolerance_s = _stated_end(container, stream, step_s)
    if stated_s is not None and stated_s - ends_s > tolerance_s:
        report.note(
            f"the file is cut off: its pictures end at {ends_s:.2f} s, its header says "
            f"{stated_s:.2f} s"
        )
    elif is_cut_short(path, container.format.name):
        report.note(
            f"the file is cut off at {ends_s:.2f} s: it was not copied whole, or the recording "
            "was not closed"
        )
    else:
        return
    report.is_cut = True
    if "the file breaks off" in report.notes:
        report.notes.remove("the file breaks off")


def _stated_end(
    container: InputContainer, stream: VideoStream, step_s: float
) -> tuple[float | None, float]:
    """Return when the pictures should end in seconds, and by how much that may be wrong."""
    if stream.duration and stream.time_base and container.format.name != "mpegts":
        begins = stream.start_time or 0
        return float((begins + stream.duration) * stream.time_base), _STEPS * step_s
    tag = _seconds_of(stream.metadata.get("DURATION", ""))
    if tag is not None:
        return tag, _STEPS * step_s
    if container.duration and len(container.streams) == 1:
        stated_s = ((container.start_time or 0) + container.duration) / av.time_base
        return stated_s, max(_STEPS * step_s, min(_LOOSE_S, _LOOSE_SHARE * stated_s))
    return None, 0.0


def _seconds_of(text: str) -> float | None:
    """Parse the length in a Matroska tag such as `00:00:03.600000000`."""
    try:
        hours, minutes, seconds = text.split(":")
        return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
    except ValueError:
        return None


def is_cut_short(path: str | Path, format_name: str) -> bool:
    """Return whether the structure of a file reaches beyond its end.

    Args:
        path: of the file.
        format_name: FFmpeg's name of the container.
    """
    for name in format_name.split(","):
        check = _CHECKS.get(name)
        if check is not None:
            size = Path(path).stat().st_size
            with Path(path).open("rb") as file:
                return check(file, size)
    return False


def _mp4_is_cut(file: BinaryIO, size: int) -> bool:
    """Walk over the boxes of ISO 14496-12: 32 bits of size, four letters, perhaps 64 of size."""
    offset = 0
    while offset < size:
        file.seek(offset)
        head = file.read(16)
        if len(head) < 8:
            return True
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length == 0:  # up to the end
            return False
        if length < 8:
            return False
        offset += length
    return offset > size


def _avi_is_cut(file: BinaryIO, size: int) -> bool:
    """Walk over the RIFF chunks; OpenDML has several."""
    offset = 0
    while offset + 8 <= size:
        file.seek(offset)
        head = file.read(8)
        if head[:4] != b"RIFF":
            return False
        length = int.from_bytes(head[4:], "little")
        if length in {0, 0xFFFFFFFF}:  # its size is written when it is closed
            return True
        offset += 8 + length + length % 2
    return offset > size + 1


_SEGMENT, _CLUSTER = 0x18538067, 0x1F43B675


def _matroska_is_cut(file: BinaryIO, size: int) -> bool:
    """Walk over EBML elements (RFC 8794), into those of unknown size."""
    offset = 0
    while offset < size:
        file.seek(offset)
        name = _vint(file, keeps_marker=True)
        length = _vint(file)
        if name is None or length is None:
            return True
        value, is_unknown = length
        if name[0] in {_SEGMENT, _CLUSTER} and (is_unknown or name[0] == _SEGMENT):
            if not is_unknown and file.tell() + value > size:
                return True
            offset = file.tell()
            continue
        offset = file.tell() + value
    return offset > size


def _vint(file: BinaryIO, *, keeps_marker: bool = False) -> tuple[int, bool] | None:
    """Return a number of variable length and whether all its bits are set; None at the end."""
    first = file.read(1)
    if not first or first[0] == 0:
        return None
    width = 9 - first[0].bit_length()
    rest = file.read(width - 1)
    if len(rest) < width - 1:
        return None
    value = int.from_bytes(first + rest, "big")
    plain = value & ((1 << (7 * width)) - 1)
    return (value if keeps_marker else plain), plain == (1 << (7 * width)) - 1


def _ts_is_cut(file: BinaryIO, size: int) -> bool:
    """Return whether the last packet is incomplete; Blu-ray's have four bytes in front."""
    return file.read(1) == b"\x47" and size % 188 != 0 and size % 204 != 0


def _flv_is_cut(file: BinaryIO, size: int) -> bool:
    """Walk over the tags: 11 bytes, the content, and four bytes with the size of the tag."""
    head = file.read(9)
    if head[:3] != b"FLV":
        return False
    offset = int.from_bytes(head[5:9], "big") + 4
    while offset < size:
        file.seek(offset)
        tag = file.read(11)
        if len(tag) < 11:
            return True
        offset += 11 + int.from_bytes(tag[1:4], "big") + 4
    return offset > size


_CHECKS: Mapping[str, Callable[[BinaryIO, int], bool]] = {
    "mov": _mp4_is_cut,
    "avi": _avi_is_cut,
    "flv": _flv_is_cut,
    "matroska": _matroska_is_cut,
    "mpegts": _ts_is_cut,
}
