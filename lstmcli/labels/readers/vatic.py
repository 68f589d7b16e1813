"""VATIC: a text file of quoted labels, one line a box and frame.

https://github.com/cvondrick/vatic, "Dump": track, xmin, ymin, xmax, ymax, frame (from 0), lost,
occluded, generated, label, attributes. A lost object is outside of the view.
"""

from __future__ import annotations

import re
from pathlib import Path

from lstmcli.core.errors import DataError
from lstmcli.core.types import LabelSet
from lstmcli.labels.builder import LabelSetBuilder
from lstmcli.labels.context import ReadContext
from lstmcli.labels.readers.json_file import read_text
from lstmcli.labels.readers.sniff import FileSniff

_ROW = re.compile(r'^(?P<numbers>\d+(?: -?\d+){4} \d+) (?P<lost>[01]) [01] [01] "(?P<label>[^"]*)"')


SUFFIXES = (".txt",)
DROPS: tuple[str, ...] = ("boxes marked lost (outside of the view): left out",)
"""Content that the reader drops or converts; each case is counted as a warning."""
NOT_READ = "attributes, occlusion"
"""Details beside the boxes that are not read, and not counted."""


def sniff(sniffed: FileSniff) -> bool:
    """Return whether every line is nine whole numbers and a quoted label."""
    return bool(sniffed.lines) and all(map(_ROW.match, sniffed.lines))


def root_of(path: Path) -> Path:
    """Return the file: it stands alone."""
    return path


def read(source: Path, context: ReadContext) -> LabelSet:
    """Return the labels of one video."""
    columns = LabelSetBuilder(context.warnings, source)
    video = columns.video(source.stem)
    last = -1
    for n, line in enumerate(read_text(source).splitlines(), 1):
        if not line.strip():
            continue
        where = f"{source}, line {n}"
        row = _ROW.match(line.strip())
        if row is None:
            raise DataError(f"{where}: {line[:60]!r}", hint='nine whole numbers and a "label"')
        track, x1, y1, x2, y2, frame = (int(part) for part in row["numbers"].split())
        last = max(last, video.check_frame(frame, where))
        if row["lost"] == "1":
            context.warnings.add("a box marked lost, outside of the view; left out", where)
            continue
        label = columns.label(row["label"])
        video.add(frame, (x1, y1, x2, y2), label, track=video.track(track))
    video.mark_annotated_until(last + 1)
    return columns.build()
