"""Supervisely video annotations: `ann/VIDEO.json` next to `video/VIDEO`.

https://docs.supervisely.com/data-organization/00_ann_format_navi/06_supervisely_format_videos:
`frames` lists only those with figures, `index` counts from 0, a rectangle is two corners in any
order.
"""

from __future__ import annotations

import base64
import io
import zlib
from pathlib import Path

import numpy as np

from lstmcli.core.errors import DataError
from lstmcli.core.names import stem_of
from lstmcli.core.types import LabelSet
from lstmcli.labels.builder import LabelSetBuilder
from lstmcli.labels.context import ReadContext
from lstmcli.labels.readers.json_file import Node, load_json
from lstmcli.labels.readers.sniff import FileSniff
from lstmcli.labels.shapes import Box, hull_of, mask_hull

SUFFIXES = (".json",)
DROPS: tuple[str, ...] = (
    "shapes other than boxes: the upright hull is kept",
    "points: an ignored region",
)
"""Content that the reader drops or converts; each case is counted as a warning."""
NOT_READ = "tags, meta data"
"""Details beside the boxes that are not read, and not counted."""


def sniff(sniffed: FileSniff) -> bool:
    """Return whether the file holds objects with class titles and frames."""
    return {"frames", "objects"} <= sniffed.keys and bool({"framesCount", "figures"} & sniffed.keys)


def root_of(path: Path) -> Path:
    """Return the file: a video stands alone."""
    return path


def read(source: Path, context: ReadContext) -> LabelSet:
    """Return the labels of one video."""
    top = load_json(source)
    columns = LabelSetBuilder(context.warnings, source)
    medium = source.name.removesuffix(".json")
    video = columns.video(medium, stem_of(medium))
    video.media = medium
    size = top.get("size")
    if size is not None:
        video.set_size(size["width"].number(), size["height"].number(), size.location)
    titles = {}
    for item in top["objects"].rows():
        for key in ("key", "id"):
            if key in item:
                title = item["classTitle"].text()
                columns.ids("object").add(item[key].text(), title, repr(title), item.location)
                titles[item[key].text()] = item["classTitle"].text()
    last = 0
    for item in top["frames"].rows():
        frame = video.check_frame(item["index"].whole(), item.location)
        last = max(last, frame + 1)
        for figure in item.rows_of("figures"):
            kind = figure["geometryType"].text()
            object_key = figure.get("objectKey", "objectId")
            key = "" if object_key is None else object_key.text()
            if key not in titles:
                raise DataError(
                    f"{figure.location}: object {key!r} is not listed", hint="export again"
                )
            hull, label = _hull(kind, figure["geometry"]), columns.label(titles[key])
            if kind == "rectangle" and hull is not None:
                video.add(frame, hull, label, track=video.track(key))
                continue
            columns.add_shape(
                video,
                frame,
                hull,
                label,
                kind=kind,
                where=figure.location,
                track=video.track(key),
            )
    count = top.get("framesCount")
    if count is not None and count.whole() > 0:
        video.frame_count = video.check_frame(count.whole() - 1, count.location) + 1
    video.mark_annotated_until(max(last, video.frame_count or 0))
    return columns.build()


def _hull(kind: str, geometry: Node) -> Box | None:
    """Return the hull of a figure: corners, points, the nodes of a graph, or a packed bitmap."""
    if kind == "rectangle":
        corners = [row.numbers(2) for row in geometry["points"]["exterior"].rows()]
        if len(corners) != 2:
            raise DataError(f"{geometry.location}: {len(corners)} corners", hint="two corners")
        (ax, ay), (bx, by) = corners
        return (min(ax, bx), min(ay, by), max(ax, bx), max(ay, by))
    if kind == "bitmap" and "bitmap" in geometry:
        left, top = geometry["bitmap"]["origin"].numbers(2)
        mask = _unpacked(geometry["bitmap"]["data"].text())
        hull = None if mask is None else mask_hull(mask)
        return hull and (left + hull[0], top + hull[1], left + hull[2], top + hull[3])
    if kind == "graph" and "nodes" in geometry:
        return hull_of([node["loc"].numbers(2) for _, node in geometry["nodes"].items()])
    if "points" in geometry and geometry["points"].is_object():
        return hull_of([row.numbers(2) for row in geometry["points"].rows_of("exterior")])
    return None


def _unpacked(text: str) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]] | None:
    """Return a bitmap that is a PNG, compressed by zlib, as base64."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(zlib.decompress(base64.b64decode(text)))) as image:
            pixels = np.asarray(image)
    except (ValueError, OSError, zlib.error):
        return None
    return np.asarray((pixels if pixels.ndim == 2 else pixels[..., -1]) > 0)
