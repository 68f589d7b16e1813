"""Pascal VOC, ImageNet VID and the XML of the LabelMe web tool: one file an image or frame.

VOC2012 devkit, section 3.4: xmin, ymin, xmax, ymax in pixels counted from 1, kept as written;
objects marked difficult are ignored in evaluation; parts are no objects. ImageNet VID, ILSVRC2015
devkit readme 4.2.1: the file name is the frame index from 0, `trackid` follows an object through a
snippet, a frame without objects has a file too. LabelMe web tool:
http://labelme.csail.mit.edu/Release3.0 (a polygon of type `bounding_box`, `deleted` objects).
"""

from __future__ import annotations

import re
from pathlib import Path

from lstmcli.core.errors import DataError
from lstmcli.core.types import LabelSet
from lstmcli.labels.builder import LabelSetBuilder, VideoLabelsBuilder, files_of
from lstmcli.labels.media import ReadContext
from lstmcli.labels.readers.sniff import FileSniff
from lstmcli.labels.readers.xml_file import Element, load_xml


def sniff(sniffed: FileSniff) -> bool:
    """Return whether the root is `annotation` with a file name or objects."""
    tags = sniffed.tags
    return bool(tags) and tags[0] == "annotation" and bool({"filename", "object"} & set(tags))


def root_of(path: Path) -> Path:
    """Return the folder of the files."""
    return path.parent


def read(source: Path, reading: ReadContext) -> LabelSet:
    """Return the labels of a folder of files, or of one."""
    columns = LabelSetBuilder(reading.notes, source)
    roots = []
    for path in files_of(source, ".xml") if source.is_dir() else [source]:
        root = load_xml(path)
        if root.tag != "annotation":
            if path == source:
                raise DataError(f"{root.where}: <{root.tag}>", hint="VOC writes <annotation>")
            reading.notes.add("an XML file that is no VOC; left out", str(path))
            continue
        roots.append((path, root))
    filmed = "VID" in source.parts or any(
        item.find("trackid") is not None for _, root in roots for item in root.all("object")
    )
    for path, root in roots:
        video, frame = _frame(path, root, columns, filmed=filmed)
        size = root.find("size")
        if size is not None and size.text_of("width") and size.text_of("height"):
            video.set_size(size.number_of("width"), size.number_of("height"), size.where)
        sizes = root.find("imagesize")
        if sizes is not None:
            video.set_size(sizes.number_of("ncols"), sizes.number_of("nrows"), sizes.where)
        for item in root.all("object"):
            _read_object(item, video, frame, columns)
    return columns.build()


def _frame(
    path: Path, root: Element, columns: LabelSetBuilder, *, filmed: bool
) -> tuple[VideoLabelsBuilder, int]:
    written = root.text_of("filename") or path.stem
    if filmed and re.fullmatch(r"\d{1,9}", Path(written).stem):
        folder = root.text_of("folder") or path.parent.name
        video = columns.video(f"folder {folder}", folder, str(path))
        frame = video.check_frame(int(Path(written).stem), str(path))
        video.image(frame, f"{folder}/{written}" + ("" if Path(written).suffix else ".JPEG"))
        video.look((frame,))
        return video, frame
    image = written if Path(written).suffix else f"{written}.jpg"
    return columns.still(str(path), image, str(path)), 0


def _read_object(
    item: Element, video: VideoLabelsBuilder, frame: int, columns: LabelSetBuilder
) -> None:
    if item.text_of("deleted") == "1":
        return
    name = item.text_of("name")
    if not name:
        raise DataError(f"{item.where}: an object without a name", hint="name every object")
    sides = item.find("bndbox")
    if sides is not None:
        box = [sides.number_of(side) for side in ("xmin", "ymin", "xmax", "ymax")]
    elif item.text_of("type") == "bounding_box" and item.find("polygon") is not None:
        points = list(item.need("polygon").all("pt"))
        x = [point.number_of("x") for point in points]
        y = [point.number_of("y") for point in points]
        box = [min(x), min(y), max(x), max(y)] if points else [0, 0, 0, 0]
    else:
        columns.notes.add("an object without a box (a polygon or mask); left out", item.where)
        return
    difficult = item.text_of("difficult") in {"1", "true", "True"}
    if difficult:
        columns.notes.add(
            "an object marked difficult; it counts neither in training nor in evaluation",
            item.where,
        )
    track = item.text_of("trackid")
    video.add(
        frame,
        box,
        columns.label(name),
        track=video.track(track) if track else -1,
        ignore=difficult,
    )
