"""VGG Image Annotator 1, 2 and 3: JSON and CSV of images, and video rectangles of VIA 3.

https://www.robots.ox.ac.uk/~vgg/software/via: VIA 1 and 2 write `regions` (an object with the keys
"0", "1" ... or a list) with `shape_attributes` of name `rect` and `region_attributes`; VIA 3 writes
`metadata` with `xy` = [shape, x, y, width, height], shape 2 being a rectangle, and `z` = [seconds]
of a video (via-3.x.y/src/js/_via_file_annotator.js). No version holds the size of the picture.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from lstmcli.core.errors import DataError
from lstmcli.core.names import stem_of
from lstmcli.core.types import LabelSet
from lstmcli.labels.builder import LabelSetBuilder, VideoLabelsBuilder
from lstmcli.labels.context import ReadContext
from lstmcli.labels.readers.json_file import Node, load_json, read_text
from lstmcli.labels.readers.sniff import FileSniff
from lstmcli.labels.shapes import Box, ellipse_hull, hull_of, pairs_of

_USUAL = ("class", "label", "name", "category", "type", "object", "object class", "class name")
_RECTANGLE = 2


SUFFIXES = (".json", ".csv")
DROPS: tuple[str, ...] = (
    "shapes other than boxes: the upright hull is kept",
    "points: an ignored region",
    "segments of time and notes of whole frames: left out",
    "regions without a label: the class 'object'",
)
"""Content that the reader drops or converts; each case is counted as a warning."""
NOT_READ = "attributes other than the class"
"""Details beside the boxes that are not read, and not counted."""


def sniff(sniffed: FileSniff) -> bool:
    """Return whether the file is a VIA export, in JSON or CSV, or a project."""
    if sniffed.lines and "region_shape_attributes" in sniffed.lines[0]:
        return True
    keys = sniffed.keys
    second = {"filename", "regions"} <= keys and bool({"size", "shape_attributes"} & keys)
    third = {"project", "metadata", "view", "file"} <= keys
    return "_via_img_metadata" in keys or second or third


def root_of(path: Path) -> Path:
    """Return the file: it stands alone."""
    return path


def read(source: Path, context: ReadContext) -> LabelSet:
    """Return the labels of every image or video of the file."""
    columns = LabelSetBuilder(context.warnings, source)
    if source.suffix.lower() == ".csv":
        regions = list(_csv_regions(source, columns))
    else:
        top = load_json(source)
        if top.get("metadata", "view") is not None and top.get("file") is not None:
            return _read_third(top, columns, context)
        regions = list(_json_regions(top, columns))
    label_key = _label_key([attributes for _, _, attributes in regions if attributes is not None])
    for image, shape, attributes in regions:
        video = columns.still(image, image)
        if shape is not None and attributes is not None:
            _add(video, shape, attributes, label_key, columns)
    return columns.build()


Region = tuple[str, Node | None, Node | None]


def _check_name(name: str, size: object, entry: str, columns: LabelSetBuilder) -> None:
    """Refuse a file name of two pictures, as VIA writes no folders; their bytes differ."""
    columns.ids("file name").add(name, str(size), entry)


def _json_regions(top: Node, columns: LabelSetBuilder) -> Iterator[Region]:
    images = top.get("_via_img_metadata") or top
    for key, image in images.items():
        name = image["filename"].text()
        _check_name(name, image.value.get("size"), f"the entry {key!r}", columns)
        yield name, None, None
        regions = image.get("regions")
        if regions is None:
            continue
        rows = regions.rows() if regions.is_list() else (node for _, node in regions.items())
        for region in rows:
            yield name, region["shape_attributes"], region["region_attributes"]


def _csv_regions(source: Path, columns: LabelSetBuilder) -> Iterator[Region]:
    reader = csv.DictReader(io.StringIO(read_text(source)))
    try:
        for row in reader:
            where = f"{source}, line {reader.line_num}"
            name = (row.get("filename") or row.get("#filename") or "").strip()
            if not name:
                raise DataError(f"{where}: no filename", hint="export the file again")
            _check_name(name, row.get("file_size"), f"line {reader.line_num}", columns)
            yield name, None, None
            shape = _cell(row.get("region_shape_attributes"), where)
            if shape.value:
                yield name, shape, _cell(row.get("region_attributes"), where)
    except csv.Error as error:
        raise DataError(f"{source}, line {reader.line_num}: {error}", hint="no CSV") from None


def _cell(text: str | None, where: str) -> Node:
    try:
        return Node(json.loads(text or "{}"), f"{where}, ")
    except (ValueError, RecursionError):
        raise DataError(f"{where}: {str(text)[:60]!r}", hint="VIA writes JSON in cells") from None


def _label_key(attributes: list[Node]) -> str:
    """Return the attribute that names the class: a usual name, or else the most frequent one."""
    counts = Counter(key for node in attributes for key, _ in node.items())
    usual = {key.lower(): key for key in counts}
    for name in _USUAL:
        if name in usual:
            return usual[name]
    return counts.most_common(1)[0][0] if counts else ""


def _label(attributes: Node, key: str, columns: LabelSetBuilder) -> int:
    given = attributes.get(key)
    if given is not None and given.is_object():  # a checkbox: {"bird": true}
        chosen = [name for name, node in given.items() if node.boolean()]
        name = chosen[0] if chosen else ""
    else:
        name = "" if given is None else given.text()
    if not name.strip():
        columns.warnings.add("a region without a label; called 'object'", attributes.location)
    return columns.label(name)


def _add(
    video: VideoLabelsBuilder, shape: Node, attributes: Node, key: str, columns: LabelSetBuilder
) -> None:
    kind = shape["name"].text().lower()
    if kind != "rect":
        label = _label(attributes, key, columns)
        hull = _hull(kind, shape)
        columns.add_shape(video, 0, hull, label, kind=kind, where=shape.location)
        return
    x, y = shape["x"].number(), shape["y"].number()
    box = (x, y, x + shape["width"].number(), y + shape["height"].number())
    video.add(0, box, _label(attributes, key, columns))


def _hull(kind: str, shape: Node) -> Box | None:
    """Return the hull of a shape of VIA 1 and 2; a theta of an ellipse is in radians."""
    if kind in {"polygon", "polyline"}:
        x, y = ([node.number() for node in shape.rows_of(f"all_points_{axis}")] for axis in "xy")
        return hull_of(zip(x, y, strict=False))
    if kind == "circle":
        cx, cy, radius = (shape[key].number() for key in ("cx", "cy", "r"))
        return ellipse_hull(cx, cy, radius, radius)
    if kind == "ellipse":
        theta = shape.get("theta")
        degrees = 0.0 if theta is None else math.degrees(theta.number())
        cx, cy, rx, ry = (shape[key].number() for key in ("cx", "cy", "rx", "ry"))
        return ellipse_hull(cx, cy, rx, ry, degrees)
    return None


def _read_third(top: Node, columns: LabelSetBuilder, context: ReadContext) -> LabelSet:
    files = dict(top["file"].items())
    videos: dict[str, VideoLabelsBuilder] = {}
    names: dict[str, str] = {}
    for key, view in top["view"].items():
        fids = [node.text() for node in view["fid_list"].rows()]
        if not fids or fids[0] not in files:
            raise DataError(f"{view.location}: a file that is not listed", hint="export it again")
        file = files[fids[0]]
        given = file.get("src", "fname")
        names[key] = given.text() if given is not None else file["fname"].text()
        kind = file.get("type")
        if kind is not None and kind.text() == "4":
            videos[key] = columns.video(key, stem_of(file["fname"].text()))
            videos[key].media = names[key]
        else:
            videos[key] = columns.still(key, names[key])
            videos[key].name = stem_of(file["fname"].text())
    attributes = top.get("attribute")
    options = dict(attributes.items()) if attributes is not None else {}
    for _, item in top["metadata"].items():
        number = item["vid"].text()
        if number not in videos:
            raise DataError(f"{item.location}: view {number} is not listed", hint="export it again")
        xy = [node.number() for node in item.rows_of("xy")]
        if not xy:
            context.warnings.add(
                "a segment of time or a note of a whole frame, not a shape; left out", item.location
            )
            continue
        seconds = [node.number() for node in item.rows_of("z")]
        frame = 0
        if seconds:
            frame = context.frame_at(names[number], seconds[0], item.location)
            videos[number].placed_by_time = True
        name = _third_label(item, options)
        if not name.strip():
            context.warnings.add("a region without a label; called 'object'", item.location)
        label = columns.label(name)
        if xy[0] == _RECTANGLE and len(xy) == 5:
            videos[number].add(frame, (xy[1], xy[2], xy[1] + xy[3], xy[2] + xy[4]), label)
            continue
        shape, hull = _third_hull(int(xy[0]), xy[1:])
        columns.add_shape(videos[number], frame, hull, label, kind=shape, where=item.location)
    return columns.build()


def _third_hull(shape: int, xy: list[float]) -> tuple[str, Box | None]:
    """Return the name and the hull of a shape of VIA 3 by its number (_via_common.js)."""
    if shape == 3 and len(xy) == 3:
        return "circle", ellipse_hull(xy[0], xy[1], xy[2], xy[2])
    if shape == 4 and len(xy) >= 4:
        return "ellipse", ellipse_hull(*xy[:4])
    names = {1: "point", 5: "line", 6: "polyline", 7: "polygon", 8: "extreme rectangle"}
    return names.get(shape, f"shape {shape}"), hull_of(pairs_of(xy)) if shape in names else None


def _third_label(item: Node, options: dict[str, Node]) -> str:
    values = item.get("av")
    for key, value in values.items() if values is not None else ():
        given = options[key].get("options") if key in options else None
        named = given.get(value.text()) if given is not None and given.is_object() else None
        return named.text() if named is not None else value.text()
    return ""
