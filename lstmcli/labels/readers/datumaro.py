"""Datumaro's own JSON.

https://open-edge-platform.github.io/datumaro, formats/datumaro: `bbox` is x, y, width, height; a
track is the attribute `track_id`; an item may hold the `frame` of its video.
"""

from __future__ import annotations

import json
from pathlib import Path

from lstmcli.core.errors import DataError
from lstmcli.core.types import LabelSet
from lstmcli.labels.builder import LabelSetBuilder, VideoLabelsBuilder
from lstmcli.labels.context import ReadContext
from lstmcli.labels.plausibility import base_hint
from lstmcli.labels.readers.json_file import Node, load_json
from lstmcli.labels.readers.sniff import FileSniff
from lstmcli.labels.shapes import Box, coco_hull, hull_of, pairs_of, rotated_hull

_NO_SHAPES = frozenset({"label", "caption", "hash_key", "feature_vector", "tabular"})


SUFFIXES = (".json",)
DROPS: tuple[str, ...] = (
    "shapes other than boxes: the upright hull is kept",
    "shapes that no box surrounds: an ignored region",
    "labels and captions of whole items: left out",
)
"""Content that the reader drops or converts; each case is counted as a warning."""
NOT_READ = "attributes, groups, z order"
"""Details beside the boxes that are not read, and not counted."""


def sniff(sniffed: FileSniff) -> bool:
    """Return whether the file holds items and categories."""
    return {"items", "categories"} <= sniffed.keys and bool(
        {"infos", "dm_format_version"} & sniffed.keys
    )


def root_of(path: Path) -> Path:
    """Return the file: it stands alone."""
    return path


def read(source: Path, context: ReadContext) -> LabelSet:
    """Return the labels of every item."""
    top = load_json(source)
    label = top["categories"].get("label")
    names = [] if label is None else [row["name"].text() for row in label.rows_of("labels")]
    columns = LabelSetBuilder(context.warnings, source, names)
    columns.note_same_names(names)
    _check_labels(top, len(names))
    for item in top["items"].rows():
        content = json.dumps(item.value, sort_keys=True)
        shown = f"the item at {item.location.rpartition('#')[2]}"
        if not columns.ids("item").add(item["id"].text(), content, shown, item.location):
            continue
        image = item.get("image", "media")
        written = image.get("path") if image is not None and image.is_object() else None
        name = written.text() if written is not None else item["id"].text()
        video = columns.still(item["id"].text(), name or item["id"].text(), item.location)
        size = image.get("size") if image is not None and image.is_object() else None
        if size is not None:
            height, width = size.numbers(2)
            video.set_size(width, height, size.location)
        for annotation in item.rows_of("annotations"):
            _add(annotation, video, names, columns)
    return columns.build()


def _check_labels(top: Node, count: int) -> None:
    """Refuse a label that has no name."""
    items = (item for item in top["items"].rows() if item.is_object())
    rows = [row for item in items for row in item.rows_of("annotations")]
    numbers = [row["label_id"] for row in rows if "label_id" in row]
    beyond = next((number for number in numbers if number.whole() >= count), None)
    if beyond is not None:
        used = {number.whole() for number in numbers}
        raise DataError(f"{beyond.location} is {beyond.whole()}", hint=base_hint(used, count))


def _add(item: Node, video: VideoLabelsBuilder, names: list[str], columns: LabelSetBuilder) -> None:
    kind = item["type"].text()
    if kind in _NO_SHAPES:
        columns.warnings.add(
            f"an annotation of kind {kind!r}, not a shape; left out", item.location
        )
        return
    number = item["label_id"].whole() if "label_id" in item else -1
    if number < -1:
        raise DataError(f"{item.location}: label {number}", hint="labels count from 0")
    label = columns.label(names[number] if number >= 0 else "object")
    attributes = item.get("attributes")
    crowd = attributes.get("is_crowd") if attributes is not None else None
    ignore = crowd is not None and crowd.boolean()
    hull = _hull(kind, item)
    if kind == "bbox" and hull is not None:
        turn = None if attributes is None else attributes.get("rotation")
        video.add(0, rotated_hull(hull, turn.number() if turn else 0.0), label, ignore=ignore)
        return
    columns.add_shape(video, 0, hull, label, kind=kind, where=item.location, ignore=ignore)


def _hull(kind: str, item: Node) -> Box | None:
    """Return the hull of an annotation of any kind; None where it has none."""
    if kind in {"bbox", "ellipse"} and "bbox" in item:
        x, y, width, height = item["bbox"].numbers(4)
        return (x, y, x + width, y + height)
    if kind == "rotated_bbox" and "bbox" in item:
        cx, cy, width, height, degrees = item["bbox"].numbers(5)
        sides = (cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2)
        return rotated_hull(sides, degrees)
    if kind == "mask" and "rle" in item:
        return coco_hull(item["rle"].value)
    if "points" in item:
        points = pairs_of([node.number() for node in item["points"].rows()])
        visibility = [node.whole() for node in item.rows_of("visibility")]
        if len(visibility) == len(points):
            points = [point for point, visible in zip(points, visibility, strict=True) if visible]
        return hull_of(points)
    return None
