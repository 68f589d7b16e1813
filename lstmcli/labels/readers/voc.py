"""Pascal VOC, ImageNet VID and the XML of the LabelMe web tool: one file an image or frame.

VOC2012 devkit, section 3.4: xmin, ymin, xmax, ymax in pixels counted from 1, kept as written;
objects marked difficult are ignored in evaluation; parts are no objects. ImageNet VID, ILSVRC2015
devkit readme 4.2.1: the file name is the frame index from 0, `trackid` follows an object through a
snippet, a frame without objects has a file too. LabelMe web tool:
http://labelme.csail.mit.edu/Release3.0 (a polygon of type `bounding_box`, `deleted` objects).
"""

from __future__ import annotations

import math
import re
from pathlib import Path

from lstmcli.core.errors import DataError
from lstmcli.core.types import LabelSet
from lstmcli.labels.builder import LabelSetBuilder, VideoLabelsBuilder, files_of
from lstmcli.labels.context import ReadContext
from lstmcli.labels.readers.image_sets import image_sets
from lstmcli.labels.readers.sniff import FileSniff
from lstmcli.labels.readers.xml_file import Element, load_xml
from lstmcli.labels.shapes import Box, hull_of, rotated_hull

SUFFIXES = (".xml",)
DROPS: tuple[str, ...] = (
    "polygons and rotated boxes: the upright hull is kept",
    "objects without a shape (masks): an ignored region",
    "difficult objects: an ignored region",
    "deleted objects: left out",
    "XML files of other formats: left out",
)
"""Content that the reader drops or converts; each case is counted as a warning."""
NOT_READ = "parts of objects, pose, truncation, attributes"
"""Details beside the boxes that are not read, and not counted."""


def sniff(sniffed: FileSniff) -> bool:
    """Return whether the root is `annotation` with a file name or objects."""
    tags = sniffed.tags
    return bool(tags) and tags[0] == "annotation" and bool({"filename", "object"} & set(tags))


def root_of(path: Path) -> Path:
    """Return the folder of the files."""
    return path.parent


def read(source: Path, context: ReadContext) -> LabelSet:
    """Return the labels of a folder of files, or of one."""
    columns = LabelSetBuilder(context.warnings, source)
    roots = []
    for path in files_of(source, ".xml") if source.is_dir() else [source]:
        root = load_xml(path)
        if root.tag != "annotation":
            if path == source:
                raise DataError(f"{root.where}: <{root.tag}>", hint="VOC writes <annotation>")
            context.warnings.add("an XML file that is no VOC; left out", str(path))
            continue
        roots.append((path, root))
    filmed = "VID" in source.parts or any(
        item.find("trackid") is not None for _, root in roots for item in root.all("object")
    )
    parts = image_sets(source if source.is_dir() else source.parent)
    for path, root in roots:
        if not _is_new(path, root, columns):
            continue
        video, frame = _frame(path, root, columns, filmed=filmed)
        video.split = parts.get(path.stem)
        size = root.find("size")
        if size is not None and size.text_of("width") and size.text_of("height"):
            video.set_size(size.number_of("width"), size.number_of("height"), size.where)
        sizes = root.find("imagesize")
        if sizes is not None:
            video.set_size(sizes.number_of("ncols"), sizes.number_of("nrows"), sizes.where)
        for item in root.all("object"):
            _read_object(item, video, frame, columns)
    return columns.build()


def _is_new(path: Path, root: Element, columns: LabelSetBuilder) -> bool:
    """Return False for a copy of an image's labels; other labels of that image are an error."""
    folder, name = root.text_of("folder"), root.text_of("filename")
    if not Path(name).suffix:
        return True
    content = hash(tuple(_content(item) for item in root.all("object")))
    return columns.ids("image file").add(f"{path.parent}/{folder}/{name}", content, path.name)


def _content(element: Element) -> str:
    return f"{element.tag} {element.text.strip()} {[_content(c) for c in element.children]}"


def _frame(
    path: Path, root: Element, columns: LabelSetBuilder, *, filmed: bool
) -> tuple[VideoLabelsBuilder, int]:
    written = root.text_of("filename") or path.stem
    if filmed and re.fullmatch(r"\d{1,9}", Path(written).stem):
        folder = root.text_of("folder") or path.parent.name
        video = columns.video(f"folder {folder}", folder, str(path))
        frame = video.check_frame(int(Path(written).stem), str(path))
        video.image(frame, f"{folder}/{written}" + ("" if Path(written).suffix else ".JPEG"))
        video.mark_annotated((frame,))
        return video, frame
    image = written if Path(written).suffix else f"{written}.jpg"
    return columns.still(str(path), image, str(path)), 0


def _read_object(
    item: Element, video: VideoLabelsBuilder, frame: int, columns: LabelSetBuilder
) -> None:
    if item.text_of("deleted") == "1":
        columns.warnings.add("a deleted object; left out", item.where)
        return
    name = item.text_of("name")
    if not name:
        raise DataError(f"{item.where}: an object without a name", hint="name every object")
    kind, box = _hull(item)
    difficult = item.text_of("difficult") in {"1", "true", "True"}
    if difficult:
        columns.warnings.add(
            "an object marked difficult; it counts neither in training nor in evaluation",
            item.where,
        )
    track = item.text_of("trackid")
    number = video.track(track) if track else -1
    if box is not None and kind == "box":
        video.add(frame, box, columns.label(name), track=number, ignore=difficult)
        return
    columns.add_shape(
        video,
        frame,
        box,
        columns.label(name),
        kind=kind,
        where=item.where,
        track=number,
        ignore=difficult,
    )


def _hull(item: Element) -> tuple[str, Box | None]:
    """Return the kind of an object's shape and its hull.

    `robndbox` is roLabelImg's: centre, width, height and an angle in radians, clockwise.
    """
    sides, turned, polygon = item.find("bndbox"), item.find("robndbox"), item.find("polygon")
    if sides is not None:
        x1, y1, x2, y2 = (sides.number_of(side) for side in ("xmin", "ymin", "xmax", "ymax"))
        return "box", (x1, y1, x2, y2)
    if turned is not None:
        cx, cy, w, h = (turned.number_of(key) for key in ("cx", "cy", "w", "h"))
        degrees = math.degrees(turned.number_of("angle"))
        return "rotated box", rotated_hull(
            (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2), degrees
        )
    if polygon is None:
        return "mask", None
    points = [(point.number_of("x"), point.number_of("y")) for point in polygon.all("pt")]
    if not points:  # x1, y1, x2, y2 ... as Roboflow and others write them
        points = [
            (child.own_number(), polygon.number_of("y" + child.tag[1:]))
            for child in polygon.children
            if re.fullmatch(r"x\d+", child.tag)
        ]
    kind = "box" if item.text_of("type") == "bounding_box" else "polygon"
    return kind, hull_of(points)
