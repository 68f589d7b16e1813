"""COCO with videos (CocoVID): one JSON file that says everything but the media.

https://cocodataset.org/#format-data and mmtracking docs/en/dataset.md: `bbox` is x, y, width,
height; `iscrowd` 1 is not evaluated; unannotated frames are not listed. `score` is that of
a soft label, as in COCO results; `split` of a video or still says whether it is of train, val or
test, which COCO itself says by one file for each.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

from lstmcli.core.types import LabelSet, VideoLabels
from lstmcli.labels.warning_collector import WarningCollector
from lstmcli.labels.writers.regions import one_a_class

FOLDER = False
NEEDS_SIZE = False
KEEPS_SCORES = True
LISTS_FRAMES = True


def write(labels: LabelSet, out: Path, warnings: WarningCollector) -> None:
    """Write a set to a file, one image and one annotation a line."""
    labels = one_a_class(labels)
    images, boxes = count(1), count(1)
    with out.open("w", encoding="utf-8") as file:
        file.write('{"info": {"description": "written by lstmcli convert"},\n')
        categories = [{"id": n, "name": name} for n, name in enumerate(labels.classes, 1)]
        _write_list(file, "categories", iter(categories))
        numbers = {id(v): n for n, v in enumerate(_films(labels), 1)}
        _write_list(file, "videos", (_video(v, numbers[id(v)]) for v in _films(labels)))
        ids = {}
        rows = []
        for video in labels.videos:
            for frame in video.annotated_frames.tolist():
                ids[id(video), frame] = next(images)
                rows.append((video, frame))
        listed = (_image(v, n, ids[id(v), n], numbers.get(id(v))) for v, n in rows)
        _write_list(file, "images", listed)
        _write_list(file, "annotations", _annotations(labels, ids, numbers, boxes), last=True)
        file.write("}\n")


def _films(labels: LabelSet) -> list[VideoLabels]:
    return [video for video in labels.videos if not _is_still(video)]


def _is_still(video: VideoLabels) -> bool:
    return len(video.images) == 1


def _write_list(file: Any, key: str, rows: Iterator[dict[str, Any]], *, last: bool = False) -> None:
    file.write(f'"{key}": [')
    for n, row in enumerate(rows):
        file.write(("," if n else "") + "\n" + json.dumps(row, ensure_ascii=False))
    file.write("\n]" + ("\n" if last else ",\n"))


def _video(video: VideoLabels, number: int) -> dict[str, Any]:
    row: dict[str, Any] = {"id": number, "name": video.name}
    if video.media is not None:
        row["file_name"] = video.media
    if video.size_hw is not None:
        row["height"], row["width"] = video.size_hw
    if video.rate is not None:
        row["fps"] = video.rate
    if video.frame_count is not None:
        row["length"] = video.frame_count
    if video.split is not None:
        row["split"] = video.split
    return row


def _image(video: VideoLabels, frame: int, number: int, film: int | None) -> dict[str, Any]:
    path = video.images[frame] if frame < len(video.images) else ""
    row: dict[str, Any] = {"id": number, "file_name": path or f"{video.name}/{frame:06d}.jpg"}
    if film is not None:
        row |= {"video_id": film, "frame_id": frame}
    else:
        row["name"] = video.name
        if video.split is not None:
            row["split"] = video.split
    if video.size_hw is not None:
        row["height"], row["width"] = video.size_hw
    return row


def _annotations(
    labels: LabelSet, ids: dict[tuple[int, int], int], numbers: dict[int, int], boxes: Iterator[int]
) -> Iterator[dict[str, Any]]:
    for video in labels.videos:
        film = numbers.get(id(video))
        for n, frame in enumerate(video.box_frames.tolist()):
            x1, y1, x2, y2 = (float(side) for side in video.boxes[n])
            width, height = x2 - x1, y2 - y1
            row: dict[str, Any] = {"id": next(boxes), "image_id": ids[id(video), frame]}
            if film is not None:
                row["video_id"] = film
            row["category_id"] = int(video.labels[n]) + 1
            if video.tracks[n] >= 0:
                row["instance_id"] = int(video.tracks[n])
            row["bbox"] = [round(side, 4) for side in (x1, y1, width, height)]
            row["area"] = round(width * height, 4)
            row["iscrowd"] = int(video.ignore[n])
            if video.scores is not None:
                row["score"] = round(float(video.scores[n]), 4)
            yield row
