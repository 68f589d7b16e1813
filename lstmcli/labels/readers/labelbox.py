"""Labelbox: the NDJSON export of images and videos, one data row a line.

https://docs.labelbox.com/reference/label-export: `bounding_box` is top, left, height, width in
pixels; the `frames` of a video count from 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lstmcli.core.types import LabelSet
from lstmcli.labels.builder import LabelSetBuilder, VideoLabelsBuilder, stem_of
from lstmcli.labels.media import ReadContext
from lstmcli.labels.readers.json_file import Node, parse_json, read_text
from lstmcli.labels.readers.sniff import FileSniff


def sniff(sniffed: FileSniff) -> bool:
    """Return whether the file holds data rows and projects."""
    return {"data_row", "projects"} <= sniffed.keys


def root_of(path: Path) -> Path:
    """Return the file: it stands alone."""
    return path


def read(source: Path, reading: ReadContext) -> LabelSet:
    """Return the labels of every data row; one without labels was not looked at."""
    columns = LabelSetBuilder(reading.notes, source)
    for n, line in enumerate(read_text(source).splitlines(), 1):
        if line.strip():
            _read_row(parse_json(line, f"{source}, line {n}"), columns)
    return columns.build()


def _read_row(top: Node, columns: LabelSetBuilder) -> None:
    row = top["data_row"]
    told = row.get("external_id", "global_key", "row_data")
    name = row["id"].text() if told is None else told.text()
    answers = [
        label["annotations"]
        for _, project in top["projects"].items()
        for label in project.rows_of("labels")
        if "annotations" in label
    ]
    if not answers:
        columns.notes.add("a picture that nobody labelled; not looked at", row.place)
        return
    video = columns.video(f"row {row['id'].text()}", stem_of(name))
    media = top.get("media_attributes")
    if media is not None and "width" in media and "height" in media:
        video.set_size(media["width"].number(), media["height"].number(), media.place)
    for answer in answers:
        frames = answer.get("frames")
        if frames is None:
            video.image(0, name)
            video.look((0,))
            _add(answer.rows_of("objects"), video, 0, columns)
            continue
        video.media = name
        for key, frame in frames.items():
            index = video.check_frame(Node(key, frame.place).whole() - 1, frame.place)
            objects = frame.get("objects")
            if objects is not None:
                _add((node for _, node in objects.items()), video, index, columns)
        count = media.get("frame_count") if media is not None else None
        video.look_until(count.whole() if count is not None else 0)


def _add(
    objects: Iterator[Node], video: VideoLabelsBuilder, frame: int, columns: LabelSetBuilder
) -> None:
    for item in objects:
        box = item.get("bounding_box")
        if box is None:
            columns.notes.add("an object without a bounding_box; left out", item.place)
            continue
        left, top = box["left"].number(), box["top"].number()
        identity = item.get("feature_id")
        track = -1
        if identity is not None and video.media:
            track = video.track(f"object {identity.text()}")
        video.add(
            frame,
            (left, top, left + box["width"].number(), top + box["height"].number()),
            columns.label(item["name"].text()),
            track=track,
        )
