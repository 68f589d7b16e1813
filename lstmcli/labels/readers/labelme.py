"""LabelMe: a JSON file an image, rectangles as two opposite corners in any order.

https://github.com/wkentaro/labelme, labelme/label_file.py: `shapes` with `label`, `points`,
`shape_type`; `imagePath` is relative to the file; other shapes are left out and counted.
"""

from __future__ import annotations

from pathlib import Path

from lstmcli.core.errors import DataError
from lstmcli.core.media_files import IMAGE_SUFFIXES
from lstmcli.core.types import LabelSet
from lstmcli.labels.builder import LabelSetBuilder, VideoLabelsBuilder, as_path, files_of
from lstmcli.labels.media import ReadContext
from lstmcli.labels.readers.json_file import Node, load_json
from lstmcli.labels.readers.sniff import FileSniff


def sniff(sniffed: FileSniff) -> bool:
    """Return whether the file holds shapes of an image."""
    return "shapes" in sniffed.keys and bool(
        {"imagePath", "imageData", "imageHeight"} & sniffed.keys
    )


def root_of(path: Path) -> Path:
    """Return the folder of the files."""
    return path.parent


def read(source: Path, reading: ReadContext) -> LabelSet:
    """Return the labels of a folder of files, or of one."""
    columns = LabelSetBuilder(reading.notes, source)
    for path in files_of(source, ".json") if source.is_dir() else [source]:
        if source.is_dir() and not sniff(FileSniff.of(path)):
            reading.notes.add("a JSON file that is not of LabelMe; left out", str(path))
            continue
        _read_file(load_json(path), path, columns)
    return columns.build()


def _read_file(top: Node, path: Path, columns: LabelSetBuilder) -> None:
    told = top.get("imagePath")
    image = told.text() if told is not None else ""
    if as_path(image).suffix.lower() not in IMAGE_SUFFIXES:
        image = f"{path.stem}.jpg"
    video = columns.still(str(path), image, str(path))
    if "imageWidth" in top and "imageHeight" in top:
        video.set_size(top["imageWidth"].number(), top["imageHeight"].number(), top.place)
    for shape in top["shapes"].rows():
        _read_shape(shape, video, columns)


def _read_shape(shape: Node, video: VideoLabelsBuilder, columns: LabelSetBuilder) -> None:
    told = shape.get("shape_type")
    kind = told.text() if told is not None else "polygon"
    if kind != "rectangle":
        columns.notes.add(f"a shape of kind {kind!r}, not a box; left out", shape.place)
        return
    points = [point.numbers(2) for point in shape["points"].rows()]
    if len(points) not in {2, 4}:
        raise DataError(
            f"{shape.place}: a rectangle of {len(points)} points", hint="two opposite corners"
        )
    x, y = [point[0] for point in points], [point[1] for point in points]
    label = columns.label(shape["label"].text())
    video.add(0, (min(x), min(y), max(x), max(y)), label)
