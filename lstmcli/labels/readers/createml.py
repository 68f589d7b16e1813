"""CreateML: a JSON list of images with boxes given by their centre.

https://developer.apple.com/documentation/createml/building-an-object-detector-data-source. Some
exporters (Datumaro) write the upper left corner instead; a file in which that alone keeps the boxes
inside the picture is read so, and that is noted.
"""

from __future__ import annotations

from pathlib import Path

from lstmcli.core.types import LabelSet
from lstmcli.labels.builder import LabelSetBuilder
from lstmcli.labels.context import ReadContext
from lstmcli.labels.readers.json_file import load_json
from lstmcli.labels.readers.sniff import FileSniff

SUFFIXES = (".json",)
DROPS: tuple[str, ...] = ()
"""Content that the reader drops or converts; each case is counted as a warning."""


def sniff(sniffed: FileSniff) -> bool:
    """Return whether the file holds annotations with coordinates."""
    return {"image", "annotations", "coordinates"} <= sniffed.keys


def root_of(path: Path) -> Path:
    """Return the file: it stands alone."""
    return path


def read(source: Path, context: ReadContext) -> LabelSet:
    """Return the labels of every image."""
    columns = LabelSetBuilder(context.warnings, source)
    boxes = []
    for image in load_json(source).rows():
        name = image["image"].text()
        video = columns.still(name, name)
        for item in image.rows_of("annotations"):
            box = item["coordinates"]
            x, y, w, h = (box[key].number() for key in ("x", "y", "width", "height"))
            boxes.append((video, x, y, w, h, columns.label(item["label"].text())))
    corners = any(x - w / 2 < -0.5 or y - h / 2 < -0.5 for _, x, y, w, h, _ in boxes)
    if corners:
        context.warnings.add("x and y taken for the upper left corner, not the centre", str(source))
    for video, x, y, w, h, label in boxes:
        left, top = (x, y) if corners else (x - w / 2, y - h / 2)
        video.add(0, (left, top, left + w, top + h), label)
    return columns.build()
