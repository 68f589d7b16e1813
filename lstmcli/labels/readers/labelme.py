"""LabelMe: a JSON file an image, rectangles as two opposite corners in any order.

https://github.com/wkentaro/labelme, labelme/label_file.py: `shapes` with `label`, `points`,
`shape_type`; `imagePath` is relative to the file; of other shapes the upright hull is taken (a mask
has its two corners as points).
"""

from __future__ import annotations

import json
import math
from pathlib import Path

from lstmcli.core.errors import DataError
from lstmcli.core.media_files import IMAGE_SUFFIXES
from lstmcli.core.names import as_path
from lstmcli.core.types import LabelSet
from lstmcli.labels.builder import LabelSetBuilder, VideoLabelsBuilder, files_of
from lstmcli.labels.context import ReadContext
from lstmcli.labels.readers.json_file import Node, load_json
from lstmcli.labels.readers.sniff import FileSniff
from lstmcli.labels.shapes import ellipse_hull, hull_of

SUFFIXES = (".json",)
DROPS: tuple[str, ...] = (
    "shapes other than boxes: the upright hull is kept",
    "points: an ignored region",
    "JSON files of other formats: left out",
)
"""Content that the reader drops or converts; each case is counted as a warning."""
NOT_READ = "flags, groups, descriptions"
"""Details beside the boxes that are not read, and not counted."""


def sniff(sniffed: FileSniff) -> bool:
    """Return whether the file holds shapes of an image."""
    return "shapes" in sniffed.keys and bool(
        {"imagePath", "imageData", "imageHeight"} & sniffed.keys
    )


def root_of(path: Path) -> Path:
    """Return the folder of the files."""
    return path.parent


def read(source: Path, context: ReadContext) -> LabelSet:
    """Return the labels of a folder of files, or of one."""
    columns = LabelSetBuilder(context.warnings, source)
    for path in files_of(source, ".json") if source.is_dir() else [source]:
        if source.is_dir() and not sniff(FileSniff.of(path)):
            context.warnings.add("a JSON file that is not of LabelMe; left out", str(path))
            continue
        _read_file(load_json(path), path, columns)
    return columns.build()


def _read_file(top: Node, path: Path, columns: LabelSetBuilder) -> None:
    node = top.get("imagePath")
    image = node.text() if node is not None else ""
    if as_path(image).suffix.lower() not in IMAGE_SUFFIXES:
        image = f"{path.stem}.jpg"
    folder = path.parent
    content = json.dumps(top.value.get("shapes"), sort_keys=True)
    if not columns.ids("image file").add(f"{folder}/{image}", content, path.name, str(path)):
        return
    video = columns.still(str(path), image, str(path))
    if "imageWidth" in top and "imageHeight" in top:
        video.set_size(top["imageWidth"].number(), top["imageHeight"].number(), top.location)
    for shape in top["shapes"].rows():
        _read_shape(shape, video, columns)


def _read_shape(shape: Node, video: VideoLabelsBuilder, columns: LabelSetBuilder) -> None:
    node = shape.get("shape_type")
    kind = node.text().lower() if node is not None else "polygon"
    points = [point.numbers(2) for point in shape["points"].rows()]
    label = columns.label(shape["label"].text())
    if kind == "rectangle":
        if len(points) not in {2, 4}:
            raise DataError(
                f"{shape.location}: a rectangle of {len(points)} points",
                hint="two opposite corners",
            )
        x, y = [point[0] for point in points], [point[1] for point in points]
        video.add(0, (min(x), min(y), max(x), max(y)), label)
        return
    hull = hull_of(points)
    if kind == "circle" and len(points) == 2:  # the centre and a point of the edge
        radius = math.dist(points[0], points[1])
        hull = ellipse_hull(points[0][0], points[0][1], radius, radius)
    columns.add_shape(video, 0, hull, label, kind=kind, where=shape.location)
