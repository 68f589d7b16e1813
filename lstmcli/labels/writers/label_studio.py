"""Label Studio: one JSON file of tasks with tracks of videos and rectangles of pictures.

https://labelstud.io/guide/export and https://labelstud.io/tags/videorectangle: frames count from 1,
sides are percent of the frame. Boxes are annotations, so that a person goes on from them; between
key frames Label Studio interpolates where a key is enabled, so that the last one of each stretch is
not.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lstmcli.core.types import LabelSet, VideoLabels
from lstmcli.labels.warning_collector import WarningCollector

FOLDER = False
NEEDS_SIZE = True
KEEPS_SCORES = False


def write(labels: LabelSet, out: Path, warnings: WarningCollector) -> None:
    """Write a set to a file, one task a line."""
    with out.open("w", encoding="utf-8") as file:
        file.write("[")
        for number, video in enumerate(labels.videos):
            ignored = int(video.ignore.sum())
            warnings.add(
                "an ignored region; Label Studio cannot say so, left out", video.name, ignored
            )
            is_still = len(video.images) == 1
            make = _picture(video, labels.classes) if is_still else _video(video, labels, warnings)
            task = {
                "id": number + 1,
                "data": {"image": video.images[0]} if is_still else {"video": _medium(video)},
                "annotations": [{"id": number + 1, "result": list(make)}],
            }
            file.write(("," if number else "") + "\n" + json.dumps(task, ensure_ascii=False))
        file.write("\n]\n")


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
    for number, rows in enumerate(_tracks(video)):
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


def _tracks(video: VideoLabels) -> Iterator[list[int]]:
    """Yield the rows of each track, and of each box that has none; one class a track."""
    groups: dict[tuple[int, int], list[int]] = {}
    for row in range(len(video.box_frames)):
        if video.ignore[row]:
            continue
        track = int(video.tracks[row])
        key = (track, int(video.labels[row])) if track >= 0 else (-1 - row, 0)
        groups.setdefault(key, []).append(row)
    yield from groups.values()


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
