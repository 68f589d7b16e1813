"""KITTI: object tracking (a file a sequence) and object detection (a file an image).

https://www.cvlibs.net/datasets/kitti/eval_tracking.php, devkit readme: `frame id type truncated
occluded alpha left top right bottom` and seven 3D numbers, frames from 0; detection lacks frame and
id. `DontCare` are regions that neither count nor miss. Types may hold spaces where other tools
write the format, so the numbers are counted from the end. A score may follow; NVIDIA DeepStream
(`kitti-track-output-dir`) writes a track id between the type and the numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from lstmcli.core.errors import DataError
from lstmcli.core.types import LabelSet
from lstmcli.labels.builder import EVERY_CLASS, LabelSetBuilder, files_of
from lstmcli.labels.context import ReadContext
from lstmcli.labels.readers.image_sets import image_sets
from lstmcli.labels.readers.json_file import read_text
from lstmcli.labels.readers.sniff import FileSniff

_FEWEST = 14
"""Numbers of a label: truncated, occluded, alpha, four sides, and seven of 3D."""


@dataclass(frozen=True, slots=True)
class _Line:
    """A line cut into its columns.

    Args:
        front: numbers before the type: none, or frame and id of the tracking benchmark.
        kind: the type, which may hold blanks.
        numbers: what follows: 14, a score behind them or an id before them.
    """

    front: tuple[float, ...]
    kind: str
    numbers: tuple[float, ...]


def _cut(line: str) -> _Line | None:
    """Return a line in columns, None where it is none of KITTI's."""
    words = line.split()
    values = [_number(word) for word in words]
    tail = next((n for n, value in enumerate(reversed(values)) if value is None), len(values))
    start = next((n for n, value in enumerate(values) if value is None), len(values))
    numbers = values[len(values) - tail :]
    if start not in {0, 2} or not _FEWEST <= tail <= _FEWEST + 2 or start + tail >= len(words):
        return None
    kind = " ".join(words[start : len(words) - tail])
    front = tuple(value for value in values[:start] if value is not None)
    return _Line(front, kind, tuple(value for value in numbers if value is not None))


def _number(word: str) -> float | None:
    try:
        number = float(word)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


SUFFIXES = (".txt",)
DROPS: tuple[str, ...] = (
    "DontCare: an ignored region",
    "a number between type and the numbers of KITTI: taken for a track id",
)
"""Content that the reader drops or converts; each case is counted as a warning."""
NOT_READ = "3D sizes, positions and angles, truncation, occlusion, scores"
"""Details beside the boxes that are not read, and not counted."""


def sniff(sniffed: FileSniff) -> bool:
    """Return whether every line is a type with 14 to 16 numbers behind it."""
    if sniffed.path.suffix.lower() != ".txt" or not sniffed.lines:
        return False
    return all(_cut(line) is not None for line in sniffed.lines)


def root_of(path: Path) -> Path:
    """Return the folder of the label files."""
    return path.parent


def read(source: Path, context: ReadContext) -> LabelSet:
    """Return the labels of a folder of files, or of one."""
    columns = LabelSetBuilder(context.warnings, source)
    files = files_of(source, ".txt") if source.is_dir() else [source]
    parts = image_sets(source if source.is_dir() else source.parent)
    lines = {path: _lines(path) for path in files}
    has_ids = _ids_before_numbers([line for rows in lines.values() for _, line in rows], source)
    if has_ids:
        context.warnings.add(
            "a number between type and the numbers of KITTI; taken for a track id",
            str(source),
            sum(len(rows) for rows in lines.values()),
        )
    for path, rows in lines.items():
        _add_file(path, rows, columns, has_ids=has_ids)
        columns.video(str(path)).split = parts.get(path.stem)
    return columns.build()


def _lines(path: Path) -> list[tuple[str, _Line]]:
    rows = []
    for n, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        cut = _cut(line)
        if cut is None:
            raise DataError(
                f"{path}, line {n}: {line[:60]!r}",
                hint="a KITTI line is a type and 14 numbers, a score may follow; trackers write an "
                "id behind the type, the tracking benchmark frame and id before it",
            )
        rows.append((f"{path}, line {n}", cut))
    return rows


def _ids_before_numbers(lines: list[_Line], source: Path) -> bool:
    """Return whether the first number behind the type is a track id, as DeepStream writes it.

    With 16 numbers it is. 15 may be an id and 14 numbers, or 14 and a score: the sides of the
    boxes decide for the whole set.

    Raises:
        DataError: some lines have an id and some do not.
    """
    plain = [line for line in lines if not line.front and line.kind != "DontCare"]
    longest = [len(line.numbers) == _FEWEST + 2 for line in plain]
    if any(longest) and not all(longest):
        raise DataError(
            f"{source}: {sum(longest)} of {len(longest)} lines have 16 numbers behind the type",
            hint="every line has the same columns; is a file of another tool among them?",
        )
    if any(longest):
        return True
    scored = [line.numbers for line in plain if len(line.numbers) == _FEWEST + 1]
    if not scored or len(scored) < len(plain):
        return False
    as_score = sum(n[5] > n[3] and n[6] > n[4] for n in scored)
    as_id = sum(n[6] > n[4] and n[7] > n[5] and n[0] == int(n[0]) >= 0 for n in scored)
    return as_id > as_score


def _add_file(
    path: Path, rows: list[tuple[str, _Line]], columns: LabelSetBuilder, *, has_ids: bool
) -> None:
    tracking = any(line.front for _, line in rows)
    video = columns.video(str(path), path.stem, str(path))
    last = 0
    for where, line in rows:
        if bool(line.front) != tracking:
            raise DataError(
                f"{where}: {line.kind!r}", hint="frame and id on every line, or on none"
            )
        frame, track = 0, -1
        if tracking:
            if line.front[0] != int(line.front[0]):
                raise DataError(f"{where}: frame {line.front[0]:g}", hint="a whole number")
            frame, track = int(line.front[0]), int(line.front[1])
        numbers = line.numbers
        if has_ids and line.kind != "DontCare" and not tracking:
            track, numbers = int(numbers[0]), numbers[1:]
        video.check_frame(frame, where)
        last = max(last, frame)
        box = numbers[3:7]
        if line.kind == "DontCare":
            columns.warnings.add("a DontCare; an ignored region", where)
            video.add(frame, box, EVERY_CLASS, ignore=True)
            continue
        video.add(frame, box, columns.label(line.kind), track=video.track(track))
    if tracking:
        for frame in range(last + 1):
            video.image(frame, f"image_02/{path.stem}/{frame:06d}.png")
        video.mark_annotated_until(last + 1)
    else:
        video.image(0, f"{path.stem}.png")
        video.mark_annotated((0,))
