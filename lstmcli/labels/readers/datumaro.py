"""Datumaro's own JSON.

https://open-edge-platform.github.io/datumaro, formats/datumaro: `bbox` is x, y, width, height; a
track is the attribute `track_id`; an item may tell the `frame` of its video.
"""

from __future__ import annotations

from pathlib import Path

from lstmcli.core.errors import DataError
from lstmcli.core.types import LabelSet
from lstmcli.labels.builder import LabelSetBuilder, VideoLabelsBuilder
from lstmcli.labels.media import ReadContext
from lstmcli.labels.readers.json_file import Node, load_json
from lstmcli.labels.readers.sniff import FileSniff


def sniff(sniffed: FileSniff) -> bool:
    """Return whether the file holds items and categories."""
    return {"items", "categories"} <= sniffed.keys and bool(
        {"infos", "dm_format_version"} & sniffed.keys
    )


def root_of(path: Path) -> Path:
    """Return the file: it stands alone."""
    return path


def read(source: Path, reading: ReadContext) -> LabelSet:
    """Return the labels of every item."""
    top = load_json(source)
    label = top["categories"].get("label")
    names = [] if label is None else [row["name"].text() for row in label.rows_of("labels")]
    columns = LabelSetBuilder(reading.notes, source, names)
    for item in top["items"].rows():
        image = item.get("image", "media")
        told = image.get("path") if image is not None and image.is_object() else None
        name = told.text() if told is not None else item["id"].text()
        video = columns.still(item["id"].text(), name or item["id"].text(), item.place)
        size = image.get("size") if image is not None and image.is_object() else None
        if size is not None:
            height, width = size.numbers(2)
            video.set_size(width, height, size.place)
        for annotation in item.rows_of("annotations"):
            _add(annotation, video, names, columns)
    return columns.build()


def _add(item: Node, video: VideoLabelsBuilder, names: list[str], columns: LabelSetBuilder) -> None:
    kind = item["type"].text()
    if kind != "bbox":
        columns.notes.add(f"an annotation of kind {kind!r}, not a box; left out", item.place)
        return
    number = item["label_id"].whole() if "label_id" in item else -1
    if number >= len(names) or number < -1:
        raise DataError(f"{item.place}: label {number}", hint=f"there are {len(names)} labels")
    x, y, width, height = item["bbox"].numbers(4)
    label = columns.label(names[number] if number >= 0 else "object")
    attributes = item.get("attributes")
    crowd = attributes.get("is_crowd") if attributes is not None else None
    ignore = crowd is not None and crowd.boolean()
    video.add(0, (x, y, x + width, y + height), label, ignore=ignore)
