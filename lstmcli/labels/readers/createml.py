"""CreateML: a JSON list of images with boxes given by their centre.

https://developer.apple.com/documentation/createml/building-an-object-detector-data-source. Some
exporters (Datumaro) write the upper left corner instead; a file of which many boxes, or one far,
would begin outside of the picture is read so, and that is noted.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lstmcli.core.types import LabelSet
from lstmcli.labels.builder import LabelSetBuilder
from lstmcli.labels.context import ReadContext
from lstmcli.labels.plausibility import SLIPS
from lstmcli.labels.readers.json_file import load_json
from lstmcli.labels.readers.sniff import FileSniff
from lstmcli.labels.shapes import Box

SUFFIXES = (".json",)
DROPS: tuple[str, ...] = (
    "x and y of an upper left corner: taken as such where many boxes would begin outside",
    "boxes that begin outside of the picture: kept, cut to it later",
)
"""Content that the reader drops or converts; each case is counted as a warning."""
NOT_READ = "other keys than label and coordinates"
"""Details beside the boxes that are not read, and not counted."""

SLACK = 0.5
"""Pixels by which a box may begin outside of the picture by rounding."""
DEEP = 0.4
"""Share of its side by which no box of a centre sticks out; one of a corner at 0 does by 0.5."""


def sniff(sniffed: FileSniff) -> bool:
    """Return whether the file holds annotations with coordinates."""
    return {"image", "annotations", "coordinates"} <= sniffed.keys


def root_of(path: Path) -> Path:
    """Return the file: it stands alone."""
    return path


def read(source: Path, context: ReadContext) -> LabelSet:
    """Return the labels of every image."""
    columns = LabelSetBuilder(context.warnings, source)
    rows = []
    for image in load_json(source).rows():
        name = image["image"].text()
        if columns.has_video(name):
            context.warnings.add("an image that is listed twice; its boxes are joined", name)
        video = columns.still(name, name)
        for item in image.rows_of("annotations"):
            box = item["coordinates"]
            x, y, w, h = (box[key].number() for key in ("x", "y", "width", "height"))
            rows.append((video, (x, y, w, h), columns.label(item["label"].text())))
    corners = _are_corners([sides for _, sides, _ in rows], context, str(source))
    for video, (x, y, w, h), label in rows:
        left, top = (x, y) if corners else (x - w / 2, y - h / 2)
        video.add(0, (left, top, left + w, top + h), label)
    return columns.build()


def _are_corners(rows: Sequence[Box], context: ReadContext, source: str) -> bool:
    """Return whether x and y are corners; a box that sticks out a little is one of a centre."""
    depths = [
        max((w / 2 - x) / w, (h / 2 - y) / h)
        for x, y, w, h in rows
        if min(w, h) > 0 and (x - w / 2 < -SLACK or y - h / 2 < -SLACK)
    ]
    corners = len(depths) > SLIPS * len(rows) or max(depths, default=0) > DEEP
    text = "x and y taken for the upper left corner, not the centre"
    if not corners:
        text = "a box that begins outside of the picture; x and y taken for its centre"
    context.warnings.add(text, source, min(1, len(depths)) if corners else len(depths))
    return corners
