"""Supervisely video annotations: `ann/VIDEO.json` beside `video/VIDEO`.

https://docs.supervisely.com/data-organization/00_ann_format_navi/06_supervisely_format_videos:
`frames` lists only those with figures, `index` counts from 0, a rectangle is two corners in any
order.
"""

from __future__ import annotations

from pathlib import Path

from lstmcli.core.errors import DataError
from lstmcli.core.types import LabelSet
from lstmcli.labels.builder import LabelSetBuilder, stem_of
from lstmcli.labels.media import ReadContext
from lstmcli.labels.readers.json_file import load_json
from lstmcli.labels.readers.sniff import FileSniff


def sniff(sniffed: FileSniff) -> bool:
    """Return whether the file holds objects with class titles and frames."""
    return {"frames", "objects"} <= sniffed.keys and bool({"framesCount", "figures"} & sniffed.keys)


def root_of(path: Path) -> Path:
    """Return the file: a video stands alone."""
    return path


def read(source: Path, reading: ReadContext) -> LabelSet:
    """Return the labels of one video."""
    top = load_json(source)
    columns = LabelSetBuilder(reading.notes, source)
    medium = source.name.removesuffix(".json")
    video = columns.video(medium, stem_of(medium))
    video.media = medium
    size = top.get("size")
    if size is not None:
        video.set_size(size["width"].number(), size["height"].number(), size.place)
    titles = {}
    for item in top["objects"].rows():
        for key in ("key", "id"):
            if key in item:
                titles[item[key].text()] = item["classTitle"].text()
    last = 0
    for item in top["frames"].rows():
        frame = video.check_frame(item["index"].whole(), item.place)
        last = max(last, frame + 1)
        for figure in item.rows_of("figures"):
            kind = figure["geometryType"].text()
            if kind != "rectangle":
                reading.notes.add(f"a shape of kind {kind!r}, not a box; left out", figure.place)
                continue
            told = figure.get("objectKey", "objectId")
            key = "" if told is None else told.text()
            if key not in titles:
                raise DataError(
                    f"{figure.place}: object {key!r} is not listed", hint="export again"
                )
            corners = [row.numbers(2) for row in figure["geometry"]["points"]["exterior"].rows()]
            if len(corners) != 2:
                raise DataError(f"{figure.place}: {len(corners)} corners", hint="two corners")
            (ax, ay), (bx, by) = corners
            box = (min(ax, bx), min(ay, by), max(ax, bx), max(ay, by))
            video.add(frame, box, columns.label(titles[key]), track=video.track(key))
    count = top.get("framesCount")
    if count is not None and count.whole() > 0:
        video.frame_count = video.check_frame(count.whole() - 1, count.place) + 1
    video.look_until(max(last, video.frame_count or 0))
    return columns.build()
