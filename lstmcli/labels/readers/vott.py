"""VoTT 2: the JSON export of a project, and the asset files of its working folder.

https://github.com/microsoft/VoTT, src/models/applicationState.ts: `boundingBox` is left, top,
width, height in pixels; `asset.type` 2 is a video and 3 a frame of one, given in seconds;
`asset.state` 0 was never opened.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

from lstmcli.core.names import stem_of
from lstmcli.core.types import LabelSet
from lstmcli.labels.builder import LabelSetBuilder, VideoLabelsBuilder, files_of
from lstmcli.labels.context import ReadContext
from lstmcli.labels.readers.json_file import Node, load_json
from lstmcli.labels.readers.sniff import FileSniff

_FRAME_OF_VIDEO = "3"
_NO_BOXES = frozenset({"POLYGON", "POLYLINE", "POINT"})
"""Kinds of regions that are no rectangles; VoTT writes the bounding box of each."""


SUFFIXES = (".json",)
DROPS: tuple[str, ...] = (
    "polygons: the upright hull is kept",
    "tags of a region after the first: left out",
    "regions without a tag: the class 'object'",
    "assets that were never opened: unannotated",
)
"""Content that the reader drops or converts; each case is counted as a warning."""
NOT_READ = ""
"""Details beside the boxes that are not read, and not counted."""


def sniff(sniffed: FileSniff) -> bool:
    """Return whether the file holds assets with regions."""
    keys = sniffed.keys
    return "regions" in keys and bool({"assets", "asset"} & keys) and "filename" not in keys


def root_of(path: Path) -> Path:
    """Return the export, or the folder of the asset files."""
    return path.parent if path.name.lower().endswith("-asset.json") else path


def read(source: Path, context: ReadContext) -> LabelSet:
    """Return the labels of every asset that was opened."""
    columns = LabelSetBuilder(context.warnings, source)
    files = files_of(source, "-asset.json") if source.is_dir() else [source]
    paths: dict[str, str] = {}
    for path in files:
        top = load_json(path)
        assets = top.get("assets")
        rows = [node for _, node in assets.items()] if assets is not None else [top]
        for item in rows:
            _read_asset(item, columns, context, paths)
    return columns.build()


def _read_asset(
    item: Node, columns: LabelSetBuilder, context: ReadContext, paths: dict[str, str]
) -> None:
    """Add an asset; `paths` holds the path of each name, as two folders may have equal names."""
    asset = item.get("asset") or item
    state, kind = asset.get("state"), asset.get("type")
    if state is not None and state.text() == "0":
        context.warnings.add("a picture that was never opened; unannotated", asset.location)
        return
    name = asset["name"].text()
    frame = 0
    if kind is not None and kind.text() == _FRAME_OF_VIDEO and "parent" in asset:
        film = asset["parent"]["name"].text()
        video = columns.video(f"video {film}", stem_of(film))
        video.media = film
        seconds = asset["timestamp"].number()
        frame = video.check_frame(context.frame_at(film, seconds, asset.location), asset.location)
        video.placed_by_time = True
        video.mark_annotated((frame,))
    elif kind is not None and kind.text() == "2":
        return
    else:
        path = _path_of(asset) or name
        image = name if paths.setdefault(name, path) == path else path
        if columns.has_video(f"image {path}"):
            context.warnings.add("an asset that is listed twice; its boxes are joined", path)
        video = columns.still(f"image {path}", image)
    size = asset.get("size")
    if size is not None:
        video.set_size(size["width"].number(), size["height"].number(), size.location)
    for region in item.rows_of("regions"):
        _read_region(region, video, frame, columns)


def _path_of(asset: Node) -> str:
    node = asset.get("path")
    return "" if node is None else re.sub(r"^file:/*(?=/|[A-Za-z]:)", "", unquote(node.text()))


def _read_region(
    region: Node, video: VideoLabelsBuilder, frame: int, columns: LabelSetBuilder
) -> None:
    tags = [tag.text() for tag in region.rows_of("tags")]
    if not tags:
        columns.warnings.add("a region without a tag; called 'object'", region.location)
    if len(tags) > 1:
        columns.warnings.add("a region with several tags; the first one is taken", region.location)
    kind = region.get("type")
    if kind is not None and kind.text().upper() in _NO_BOXES:
        columns.warnings.add(
            f"a shape of kind {kind.text()!r}; its upright bounding box is taken", region.location
        )
    box = region["boundingBox"]
    left, top = box["left"].number(), box["top"].number()
    sides = (left, top, left + box["width"].number(), top + box["height"].number())
    video.add(frame, sides, columns.label(tags[0] if tags else "object"))
