"""KITTI: object tracking (a file a sequence) and object detection (a file an image).

https://www.cvlibs.net/datasets/kitti/eval_tracking.php, devkit readme: `frame id type truncated
occluded alpha left top right bottom` and seven 3D numbers, frames from 0; detection lacks frame and
id. `DontCare` are regions that neither count nor miss. Types may hold spaces where other tools
write the format, so the numbers are counted from the end.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

from lstmcli.core.errors import DataError
from lstmcli.core.types import LabelSet
from lstmcli.labels.builder import EVERY_CLASS, LabelSetBuilder, files_of
from lstmcli.labels.media import ReadContext
from lstmcli.labels.readers.json_file import read_text
from lstmcli.labels.readers.sniff import FileSniff

_NUMBER = r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
_DETECTED = re.compile(rf"^(?P<type>[^\d\s-].*?)(?P<numbers>(?:\s+{_NUMBER}){{14,15}})$")
_TRACKED = re.compile(
    rf"^(?P<frame>\d+)\s+(?P<id>-?\d+)\s+(?P<type>[^\d\s-].*?)"
    rf"(?P<numbers>(?:\s+{_NUMBER}){{14,15}})$"
)


def sniff(sniffed: FileSniff) -> bool:
    """Return whether every line is a type with 14 or 15 numbers behind it."""
    if sniffed.path.suffix.lower() != ".txt" or not sniffed.lines:
        return False
    return all(_DETECTED.match(line) or _TRACKED.match(line) for line in sniffed.lines)


def root_of(path: Path) -> Path:
    """Return the folder of the label files."""
    return path.parent


def read(source: Path, reading: ReadContext) -> LabelSet:
    """Return the labels of a folder of files, or of one."""
    columns = LabelSetBuilder(reading.notes, source)
    files = files_of(source, ".txt") if source.is_dir() else [source]
    regions: list[tuple[Path, int, list[float]]] = []
    for path in files:
        regions += _read_file(path, columns)
    for path, frame, box in regions:
        columns.video(str(path)).add(frame, box, EVERY_CLASS, ignore=True)
    return columns.build()


def _read_file(path: Path, columns: LabelSetBuilder) -> list[tuple[Path, int, list[float]]]:
    lines = [line.strip() for line in read_text(path).splitlines()]
    tracking = any(_TRACKED.match(line) for line in lines)
    video = columns.video(str(path), path.stem, str(path))
    regions = []
    last = 0
    for n, line in enumerate(lines, 1):
        if not line:
            continue
        found = (_TRACKED if tracking else _DETECTED).match(line)
        if found is None:
            raise DataError(
                f"{path}, line {n}: {line[:60]!r}", hint="a KITTI line is a type and 14 numbers"
            )
        frame = int(found["frame"]) if tracking else 0
        video.check_frame(frame, f"{path}, line {n}")
        last = max(last, frame)
        numbers = [float(number) for number in found["numbers"].split()]
        box = numbers[3:7]
        if not all(map(math.isfinite, box)):
            raise DataError(f"{path}, line {n}: the box {box}", hint="numbers must be finite")
        if found["type"] == "DontCare":
            regions.append((path, frame, box))
            continue
        track = int(found["id"]) if tracking else -1
        video.add(frame, box, columns.label(found["type"]), track=video.track(track))
    if tracking:
        for frame in range(last + 1):
            video.image(frame, f"image_02/{path.stem}/{frame:06d}.png")
        video.look_until(last + 1)
    else:
        video.image(0, f"{path.stem}.png")
        video.look((0,))
    return regions
