"""Label Studio: one JSON file of tasks with tracks of videos and rectangles of pictures.

https://labelstud.io/guide/export and https://labelstud.io/tags/videorectangle: frames count from 1,
sides are percent of the frame. Boxes are annotations, so that a person goes on from them; between
key frames Label Studio interpolates where a key is enabled, so that the last one of each stretch is
not. `data.split` says whether a task is of train, val or test.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lstmcli.core.types import LabelSet, VideoLabels
from lstmcli.labels.warning_collector import WarningCollector
from lstmcli.labels.writers.regions import frames_of_regions
from lstmcli.labels.writers.tracks import tracks_of

FOLDER = False
NEEDS_SIZE = True
KEEPS_SCORES = False
LISTS_FRAMES = False


def write(labels: LabelSet, out: Path, warnings: WarningCollector) -> None:
    """Write a set to a file, one task a line."""
    used = {int(label) for video in labels.videos for label in video.labels[~video.ignore]}
    for label, name in enumerate(labels.classes):
        if label not in used:
            warnings.add("a class without boxes; Label Studio names those of boxes alone", name)
    with out.open("w", encoding="utf-8") as file:
        file.write("[")
        for number, video in enumerate(labels.videos):
            task = _task(number + 1, video, labels, warnings)
            file.write(("," if number else "") + "\n" + json.dumps(task, ensure_ascii=False))
        file.write("\n]\n")


def _task(
    number: int, video: VideoLabels, labels: LabelSet, warnings: WarningCollector
) -> dict[str, Any]:
    is_still = len(video.images) == 1
    ignored, lost = int(video.ignore.sum()), len(frames_of_regions(video))
    warnings.add("an ignored region; Label Studio cannot say so, left out", video.name, ignored)
    what = "a picture" if is_still else "a frame"
    how = "left without annotation" if is_still else "Label Studio shows it empty"
    warnings.add(f"{what} with nothing but ignored regions; {how}", video.name, lost)
    make = _picture(video, labels.classes) if is_still else _video(video, labels, warnings)
    data = {"image": video.images[0]} if is_still else {"video": _medium(video)}
    result = list(make)
    if not is_still and not result and len(video.annotated_frames):
        warnings.add("a video without boxes; Label Studio holds no empty frames", video.name)
    annotation = {"id": number, "result": result}
    return {
        "id": number,
        "data": data | ({"split": video.split} if video.split else {}),
        "annotations": [] if is_still and lost else [annotation],
    }


def _medium(video: VideoLabels) -> str:
    return video.media or f"{video.name}.mp4"


def _video(
    video: VideoLabels, labels: LabelSet, warnings: WarningCollector
) -> Iterator[dict[str, Any]]:
    frames = _length(video)
    step = _step(video)
    unannotated = frames - len(video.annotated_frames)
    warnings.add(
        "a frame without annotation; Label Studio interpolates it or shows it empty",
        video.name,
        unannotated,
    )
    for number, rows in enumerate(tracks_of(video, warnings)):
        at = {int(video.box_frames[row]): row for row in rows}
        sequence = [
            {
                "frame": frame + 1,
                "enabled": frame + step in at,
                "rotation": 0,
                **({} if video.rate is None else {"time": round(frame / video.rate, 4)}),
                **_percent(video, row),
            }
            for frame, row in at.items()
        ]
        value = {
            "framesCount": frames,
            "sequence": sequence,
            "labels": [labels.classes[int(video.labels[rows[0]])]],
            **({} if video.rate is None else {"duration": round(frames / video.rate, 4)}),
        }
        yield _result(video, f"track{number}", "videorectangle", "box", "video", value)


def _picture(video: VideoLabels, classes: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    for row in range(len(video.box_frames)):
        if not video.ignore[row]:
            value = {
                **_percent(video, row),
                "rotation": 0,
                "rectanglelabels": [classes[int(video.labels[row])]],
            }
            yield _result(video, f"box{row}", "rectanglelabels", "label", "image", value)


def _result(
    video: VideoLabels, name: str, kind: str, tag: str, target: str, value: dict[str, Any]
) -> dict[str, Any]:
    assert video.size_hw is not None
    return {
        "id": name,
        "type": kind,
        "from_name": tag,
        "to_name": target,
        "original_width": video.size_hw[1],
        "original_height": video.size_hw[0],
        "value": value,
    }


def _length(video: VideoLabels) -> int:
    annotated = int(video.annotated_frames[-1]) + 1 if len(video.annotated_frames) else 0
    return max(video.frame_count or 0, annotated, 1)


def _step(video: VideoLabels) -> int:
    gaps = np.diff(video.annotated_frames)
    return int(np.gcd.reduce(gaps)) if len(gaps) else 1


def _percent(video: VideoLabels, row: int) -> dict[str, float]:
    assert video.size_hw is not None
    height, width = video.size_hw
    x1, y1, x2, y2 = (float(side) for side in video.boxes[row])
    return {
        "x": 100 * x1 / width,
        "y": 100 * y1 / height,
        "width": 100 * (x2 - x1) / width,
        "height": 100 * (y2 - y1) / height,
    }
