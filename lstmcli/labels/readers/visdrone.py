"""VisDrone: videos (VID, MOT) and images (DET), one file a sequence or image.

https://github.com/VisDrone/VisDrone2018-VID-toolkit and -DET-toolkit: `frame, id, left, top, width,
height, score, category, truncation, occlusion`, frames from 1; images lack frame and id. A score of
0, category 0 (ignored regions) and category 11 (others) are left out of the evaluation.
"""

from __future__ import annotations

import re
from pathlib import Path

from lstmcli.core.errors import DataError
from lstmcli.core.types import LabelSet
from lstmcli.labels.builder import EVERY_CLASS, LabelSetBuilder, files_of
from lstmcli.labels.context import ReadContext
from lstmcli.labels.readers.json_file import read_text
from lstmcli.labels.readers.sniff import FileSniff

CLASSES = (
    "pedestrian",
    "people",
    "bicycle",
    "car",
    "van",
    "truck",
    "tricycle",
    "awning-tricycle",
    "bus",
    "motor",
)
_TAIL = r",[01],(?:\d|1[01]),[01],[012],?$"
_FILMED = re.compile(r"^\d+,\d+,-?\d+,-?\d+,\d+,\d+" + _TAIL)
_IMAGE = re.compile(r"^-?\d+,-?\d+,\d+,\d+" + _TAIL)


SUFFIXES = (".txt",)
DROPS: tuple[str, ...] = ("categories 0 and 11 and rows with score 0: an ignored region",)
"""Content that the reader drops or converts; each case is counted as a warning."""
NOT_READ = "truncation, occlusion"
"""Details beside the boxes that are not read, and not counted."""


def sniff(sniffed: FileSniff) -> bool:
    """Return whether every line is whole numbers that end in score, category and two grades."""
    if sniffed.path.suffix.lower() != ".txt" or not sniffed.lines or sniffed.path.name == "gt.txt":
        return False
    lines = [line.replace(" ", "") for line in sniffed.lines]
    return all(map(_FILMED.match, lines)) or all(map(_IMAGE.match, lines))


def root_of(path: Path) -> Path:
    """Return the folder of the label files."""
    return path.parent


def read(source: Path, context: ReadContext) -> LabelSet:
    """Return the labels of a folder of files, or of one."""
    columns = LabelSetBuilder(context.warnings, source, CLASSES)
    for path in files_of(source, ".txt") if source.is_dir() else [source]:
        _read_file(path, columns)
    return columns.build()


def _read_file(path: Path, columns: LabelSetBuilder) -> None:
    lines = [line.replace(" ", "") for line in read_text(path).splitlines()]
    filmed = any(map(_FILMED.match, lines))
    video = columns.video(str(path), path.stem, str(path))
    last = 0
    for n, line in enumerate(lines, 1):
        if not line:
            continue
        if not (_FILMED if filmed else _IMAGE).match(line):
            raise DataError(
                f"{path}, line {n}: {line[:60]!r}",
                hint="VisDrone lines are 8 whole numbers for images, 10 for videos",
            )
        numbers = [int(part) for part in line.rstrip(",").split(",")]
        frame, track = (numbers[0] - 1, numbers[1]) if filmed else (0, -1)
        video.check_frame(frame, f"{path}, line {n}", base=1 if filmed else 0)
        left, top, width, height, score, category = numbers[-8:-2]
        named = 1 <= category <= len(CLASSES)
        if not named or score == 0:
            columns.warnings.add(
                "a row of category 0 or 11 or with score 0; an ignored region", f"{path}, line {n}"
            )
        video.add(
            frame,
            (left, top, left + width, top + height),
            category - 1 if named else EVERY_CLASS,
            track=video.track(track) if named else -1,
            ignore=not named or score == 0,
        )
        last = max(last, frame)
    if filmed:
        for frame in range(last + 1):
            video.image(frame, f"sequences/{path.stem}/{frame + 1:07d}.jpg")
        video.mark_annotated_until(last + 1)
    else:
        video.image(0, f"{path.stem}.jpg")
        video.mark_annotated((0,))
