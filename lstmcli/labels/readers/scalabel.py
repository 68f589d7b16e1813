"""Scalabel and BDD100K: frames with `box2d`, as a list or under `frames`.

https://doc.scalabel.com/format.html and https://doc.bdd100k.com/format.html: x1, y1, x2, y2 in
pixels, `videoName` and `frameIndex` from 0, `attributes.crowd` and the category `ignored` are not
evaluated. `labels: null` is taken for an unannotated frame, an empty list for an empty
frame.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from lstmcli.core.names import as_path, stem_of
from lstmcli.core.types import LabelSet
from lstmcli.labels.builder import LabelSetBuilder, VideoLabelsBuilder
from lstmcli.labels.context import ReadContext
from lstmcli.labels.readers.json_file import Node, load_json
from lstmcli.labels.readers.sniff import FileSniff
from lstmcli.labels.shapes import Box, coco_hull, hull_of

SUFFIXES = (".json",)
DROPS: tuple[str, ...] = (
    "polygons, masks and graphs: the upright hull is kept",
    "shapes that no box surrounds: an ignored region",
    "3D boxes without box2d: an ignored region where the frame is otherwise empty",
    "crowds and the category ignored: an ignored region",
    "frames whose labels are null: unannotated",
)
"""Content that the reader drops or converts; each case is counted as a warning."""
NOT_READ = "attributes, scores"
"""Details beside the boxes that are not read, and not counted."""


def sniff(sniffed: FileSniff) -> bool:
    """Return whether the file holds frames with names and labels."""
    return {"name", "labels"} <= sniffed.keys and bool(
        {"box2d", "poly2d", "videoName"} & sniffed.keys
    )


def root_of(path: Path) -> Path:
    """Return the file: it stands alone."""
    return path


def read(source: Path, context: ReadContext) -> LabelSet:
    """Return the labels of every frame; frames of several cameras become several videos."""
    top = load_json(source)
    frames = list(top.rows() if top.is_list() else top["frames"].rows())
    config = None if top.is_list() else top.get("config")
    usual_size = None if config is None else config.get("imageSize")
    spots = Counter((_text(frame, "videoName"), _text(frame, "frameIndex")) for frame in frames)
    several = {video for (video, index), count in spots.items() if video and index and count > 1}
    columns = LabelSetBuilder(context.warnings, source)
    counted: Counter[str] = Counter()
    for frame in frames:
        video, index = _spot(frame, columns, several, counted)
        size = frame.get("size") or usual_size
        if size is not None:
            video.set_size(size["width"].number(), size["height"].number(), size.location)
        labels = frame.get("labels")
        if labels is None:
            context.warnings.add("a frame without a list of labels; unannotated", frame.location)
            continue
        video.mark_annotated((index,))
        for label in labels.rows():
            _read_label(label, video, index, columns)
    return columns.build()


def _text(frame: Node, key: str) -> str:
    node = frame.get(key)
    return "" if node is None else node.text()


def _spot(
    frame: Node, columns: LabelSetBuilder, several: set[str], counted: Counter[str]
) -> tuple[VideoLabelsBuilder, int]:
    name, url, film = _text(frame, "name"), _text(frame, "url"), _text(frame, "videoName")
    image = url if url and "://" not in url else name
    if not film:
        video = columns.video(f"image {image}", stem_of(image))
        video.image(0, image, frame.location)
        return video, 0
    key = film
    if film in several:
        camera = re.sub(r"[\W_]*\d+$", "", as_path(name).stem)
        key = f"{film}/{camera}"
    video = columns.video(f"video {key}", key)
    node = frame.get("frameIndex", "index")
    index = node.whole() if node is not None else counted[key]
    counted[key] = index + 1
    video.check_frame(index, frame.location)
    if image:
        video.image(index, image if "/" in image else f"{film}/{image}")
    return video, index


def _read_label(
    label: Node, video: VideoLabelsBuilder, frame: int, columns: LabelSetBuilder
) -> None:
    box = label.get("box2d")
    category = label["category"].text()
    attributes = label.get("attributes")
    crowd = attributes.get("crowd", "ignored") if attributes is not None else None
    identity = label.get("id")
    ignore = category == "ignored" or (crowd is not None and crowd.boolean())
    if ignore:
        columns.warnings.add("a crowd or a region to ignore; an ignored region", label.location)
    if box is None:
        columns.add_shape(
            video,
            frame,
            _hull(label),
            columns.label(category),
            kind=next((k for k in ("poly2d", "rle", "graph", "box3d") if k in label), "label"),
            where=label.location,
            track=video.track(identity.text()) if identity is not None else -1,
            ignore=ignore,
            flat="box3d" not in label,
        )
        return
    video.add(
        frame,
        [box[side].number() for side in ("x1", "y1", "x2", "y2")],
        columns.label(category),
        track=video.track(identity.text()) if identity is not None else -1,
        ignore=ignore,
    )


def _hull(label: Node) -> Box | None:
    """Return the hull of a polygon, a mask or a skeleton; a 3D box has none in the picture."""
    if "poly2d" in label:
        parts = list(label["poly2d"].rows()) if label["poly2d"].is_list() else [label["poly2d"]]
        listed = [part["vertices"] if part.is_object() else part for part in parts]
        rows = [row for part in listed for row in part.rows()]
        return hull_of([point.numbers(2) for point in rows])
    if "rle" in label:
        return coco_hull(label["rle"].value)
    if "graph" in label:
        nodes = label["graph"].rows_of("nodes")
        return hull_of([[value.number() for value in node["location"].rows()] for node in nodes])
    return None
