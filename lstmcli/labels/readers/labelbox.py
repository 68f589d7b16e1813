"""Labelbox: the NDJSON export of images and videos, one data row a line.

https://docs.labelbox.com/reference/label-export: `bounding_box` is top, left, height, width in
pixels; the `frames` of a video count from 1.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from lstmcli.core.names import stem_of
from lstmcli.core.types import LabelSet
from lstmcli.labels.builder import LabelSetBuilder, VideoLabelsBuilder
from lstmcli.labels.context import ReadContext
from lstmcli.labels.readers.json_file import Node, parse_json, read_text
from lstmcli.labels.readers.sniff import FileSniff
from lstmcli.labels.shapes import Box, hull_of

SUFFIXES = (".ndjson", ".jsonl", ".json")
DROPS: tuple[str, ...] = (
    "polygons and lines: the upright hull is kept",
    "points and masks behind an address: an ignored region",
    "labels of further annotators: left out",
    "rows without labels: unannotated",
)
"""Content that the reader drops or converts; each case is counted as a warning."""
NOT_READ = "classifications, relations"
"""Details beside the boxes that are not read, and not counted."""


def sniff(sniffed: FileSniff) -> bool:
    """Return whether the file holds data rows and projects."""
    return {"data_row", "projects"} <= sniffed.keys


def root_of(path: Path) -> Path:
    """Return the file: it stands alone."""
    return path


def read(source: Path, context: ReadContext) -> LabelSet:
    """Return the labels of every data row; one without labels is unannotated."""
    columns = LabelSetBuilder(context.warnings, source)
    for n, line in enumerate(read_text(source).splitlines(), 1):
        if line.strip():
            _read_row(parse_json(line, f"{source}, line {n}"), columns, context)
    return columns.build()


def _read_row(top: Node, columns: LabelSetBuilder, context: ReadContext) -> None:
    row = top["data_row"]
    node = row.get("external_id", "global_key", "row_data")
    name = row["id"].text() if node is None else node.text()
    content = json.dumps(top.value, sort_keys=True)
    if not columns.ids("data row").add(row["id"].text(), content, repr(name), row.location):
        return
    answers = _chosen(top, context)
    if not answers:
        columns.warnings.add("a picture without labels; unannotated", row.location)
        return
    video = columns.video(f"row {row['id'].text()}", stem_of(name))
    media = top.get("media_attributes")
    if media is not None and "width" in media and "height" in media:
        video.set_size(media["width"].number(), media["height"].number(), media.location)
    for answer in answers:
        frames = answer.get("frames")
        if frames is None:
            video.image(0, name)
            video.mark_annotated((0,))
            _add(answer.rows_of("objects"), video, 0, columns)
            continue
        video.media = name
        for key, frame in frames.items():
            number = Node(key, frame.location).whole()
            index = video.check_frame(number - 1, frame.location, base=1)
            objects = frame.get("objects")
            if objects is not None:
                _add((node for _, node in objects.items()), video, index, columns)
        _set_clock(media, video)


def _set_clock(media: Node | None, video: VideoLabelsBuilder) -> None:
    """Take number and rate of the frames, to be compared with the film's."""
    count = media.get("frame_count") if media is not None else None
    rate = media.get("frame_rate") if media is not None else None
    if count is not None and count.whole() > 0:
        video.mark_annotated_until(count.whole(), count.location)
        video.frame_count = count.whole()
    if rate is not None and rate.number() > 0:
        video.rate = rate.number()


def _chosen(top: Node, context: ReadContext) -> list[Node]:
    """Return the annotations of one label a project: the annotator's, or the first one."""
    answers = []
    for _, project in top["projects"].items():
        labels = [label for label in project.rows_of("labels") if "annotations" in label]
        if context.annotator:
            labels = [label for label in labels if _made_by(label, context.annotator)]
        answers += [label["annotations"] for label in labels[:1]]
        if len(labels) > 1:
            context.warnings.add(
                "a picture with labels of several people; the first one is taken"
                " (--annotator chooses)",
                project.location,
                len(labels) - 1,
            )
    return answers


def _made_by(label: Node, annotator: str) -> bool:
    details = label.get("label_details")
    node = (details if details is not None else label).get("created_by", "labeled_by")
    return node is not None and node.text().casefold() == annotator.casefold()


def _add(
    objects: Iterator[Node], video: VideoLabelsBuilder, frame: int, columns: LabelSetBuilder
) -> None:
    for item in objects:
        identity = item.get("feature_id")
        track = -1
        if identity is not None and video.media:
            track = video.track(f"object {identity.text()}")
        label = columns.label(item["name"].text())
        box = item.get("bounding_box")
        if box is None:
            kind, hull = _hull(item)
            columns.add_shape(
                video, frame, hull, label, kind=kind, where=item.location, track=track
            )
            continue
        left, top = box["left"].number(), box["top"].number()
        sides = (left, top, left + box["width"].number(), top + box["height"].number())
        video.add(frame, sides, label, track=track)


def _hull(item: Node) -> tuple[str, Box | None]:
    """Return the kind of an object and its hull; masks lie behind an address, so they have none."""
    for kind in ("polygon", "line"):
        if kind in item:
            points = [(row["x"].number(), row["y"].number()) for row in item[kind].rows()]
            return kind, hull_of(points)
    return next((kind for kind in ("point", "mask") if kind in item), "object"), None
