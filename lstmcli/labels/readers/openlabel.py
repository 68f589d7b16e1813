"""ASAM OpenLABEL and its forerunner VCD: objects with `bbox` in frames, or once for all of them.

https://www.asam.net/standards/detail/openlabel (1.0.0, 8.4.2): `val` of a bbox is centre x, centre
y, width, height; frames count from 0; `streams` name the media. Objects of the type DontCare (KITTI
in OpenLABEL) are ignored regions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from lstmcli.core.errors import DataError
from lstmcli.core.names import is_video
from lstmcli.core.types import LabelSet
from lstmcli.labels.builder import EVERY_CLASS, LabelSetBuilder, VideoLabelsBuilder
from lstmcli.labels.context import ReadContext
from lstmcli.labels.readers.json_file import Node, load_json
from lstmcli.labels.readers.sniff import FileSniff
from lstmcli.labels.shapes import Box, hull_of, pairs_of, rotated_hull

_NO_SHAPES = frozenset({"boolean", "num", "text", "vec", "mat", "mesh"})
"""Data of an object that are no shapes (1.0.0, 8.4): attributes, matrices, and surfaces."""
_IN_SPACE = frozenset({"cuboid", "poly3d", "point3d", "line_reference", "area_reference"})


SUFFIXES = (".json",)
DROPS: tuple[str, ...] = (
    "poly2d and rbbox: the upright hull is kept",
    "shapes in the picture that no box surrounds: an ignored region",
    "cuboids and other shapes in space: an ignored region where the frame is otherwise empty",
    "DontCare: an ignored region",
)
"""Content that the reader drops or converts; each case is counted as a warning."""
NOT_READ = "attributes, actions, events, contexts, relations"
"""Details beside the boxes that are not read, and not counted."""


def sniff(sniffed: FileSniff) -> bool:
    """Return whether the root key is `openlabel` or `vcd`."""
    return bool({"openlabel", "vcd"} & sniffed.keys) and bool({"objects", "frames"} & sniffed.keys)


def root_of(path: Path) -> Path:
    """Return the file: it stands alone."""
    return path


def read(source: Path, context: ReadContext) -> LabelSet:
    """Return the labels of the scene as one video."""
    top = load_json(source)
    root = top.get("openlabel", "vcd")
    if root is None:
        raise DataError(f"{source}: no 'openlabel' at the top", hint="export the file again")
    columns = LabelSetBuilder(context.warnings, source)
    video = columns.video(source.stem)
    _medium(root, video)
    annotated = _frames(root, video)
    objects = dict(root["objects"].items()) if "objects" in root else {}
    regions: list[tuple[int, list[float]]] = []
    for key, item in objects.items():
        _add(item, _class_name(item), key, _lifetime(item, annotated), columns, video, regions)
    for frame_key, frame in root["frames"].items() if "frames" in root else ():
        here = frame.get("objects")
        for key, item in here.items() if here is not None else ():
            kind = _class_name(objects[key]) if key in objects else _class_name(item)
            _add(item, kind, key, (_whole(frame_key, frame),), columns, video, regions)
    for number, box in regions:
        video.add(number, box, EVERY_CLASS, ignore=True)
    video.mark_annotated(annotated or (0,))
    return columns.build()


def _class_name(item: Node) -> str:
    node = item.get("type")
    return (node.text() if node is not None else "") or "object"


def _whole(key: str, node: Node) -> int:
    return Node(key, f"{node.location} (its key)").whole()


def _medium(root: Node, video: VideoLabelsBuilder) -> None:
    streams = root.get("streams")
    for _, stream in streams.items() if streams is not None else ():
        uri = stream.get("uri")
        if uri is not None and is_video(uri.text()):
            video.media = uri.text()
            return


def _frames(root: Node, video: VideoLabelsBuilder) -> tuple[int, ...]:
    annotated: set[int] = set()
    for interval in root.rows_of("frame_intervals"):
        first, last = interval["frame_start"].whole(), interval["frame_end"].whole()
        video.check_frame(first, interval.location)
        video.check_frame(last, interval.location)
        annotated.update(range(first, last + 1))
    for key, frame in root["frames"].items() if "frames" in root else ():
        annotated.add(video.check_frame(_whole(key, frame), frame.location))
    return tuple(sorted(annotated))


def _lifetime(item: Node, annotated: tuple[int, ...]) -> tuple[int, ...]:
    """Return the frames that an object without frames of its own is in."""
    if not annotated:
        return (0,)
    spans = [
        (row["frame_start"].whole(), row["frame_end"].whole())
        for row in item.rows_of("frame_intervals")
    ]
    if not spans:
        return annotated
    return tuple(n for n in annotated if any(first <= n <= last for first, last in spans))


def _add(
    item: Node,
    kind: str,
    key: str,
    frames: Sequence[int],
    columns: LabelSetBuilder,
    video: VideoLabelsBuilder,
    regions: list[tuple[int, list[float]]],
) -> None:
    data = item.get("object_data")
    if data is None:
        return
    for kind_of_shape, row in _shapes(data):
        hull, flat = _hull(kind_of_shape, row), kind_of_shape not in _IN_SPACE
        if kind == "DontCare" and hull is not None:
            columns.warnings.add("a DontCare; an ignored region", row.location, len(frames))
            regions.extend((frame, list(hull)) for frame in frames)
            continue
        label, track = columns.label(kind), video.track(key)
        for frame in frames:
            if kind_of_shape == "bbox" and hull is not None:
                video.add(frame, hull, label, track=track)
                continue
            columns.add_shape(
                video,
                frame,
                hull,
                label,
                kind=kind_of_shape,
                where=row.location,
                track=track,
                flat=flat,
            )


def _shapes(data: Node) -> list[tuple[str, Node]]:
    """Return the shapes of an object: its boxes, or what else it has where it has none."""
    boxes = [("bbox", row) for row in data.rows_of("bbox")]
    if boxes:
        return boxes
    kinds = [kind for kind, node in data.items() if kind not in _NO_SHAPES and node.is_list()]
    hulls = [kind for kind in kinds if kind in {"rbbox", "poly2d"}]
    return [(kind, row) for kind in hulls or kinds for row in data.rows_of(kind)]


def _hull(kind: str, row: Node) -> Box | None:
    """Return the hull; `rbbox` turns by radians about its centre; 3D shapes have none."""
    if kind in {"bbox", "rbbox"}:
        x, y, width, height, *turn = row["val"].numbers(4 if kind == "bbox" else 5)
        sides = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        return rotated_hull(sides, math.degrees(turn[0]) if turn else 0.0)
    mode = row.get("mode")
    if kind == "poly2d" and (mode is None or mode.text() == "MODE_POLY2D_ABSOLUTE"):
        return hull_of(pairs_of([node.number() for node in row["val"].rows()]))
    return None
