"""YOLO: `data.yaml` and a text file an image, `labels/VIDEO/frame_000000.txt` for frames.

https://docs.ultralytics.com/datasets/detect: class, centre x, centre y, width, height as fractions.
The images belong into `images/` under the same names.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lstmcli.core.config import dump_yaml
from lstmcli.core.types import LabelSet, VideoLabels
from lstmcli.labels.builder import WarningCollector

FOLDER = True
NEEDS_SIZE = True


def write(labels: LabelSet, out: Path, notes: WarningCollector) -> None:
    """Write the labels below `out`; every size is known."""
    described = {
        "path": ".",
        "train": "images",
        "val": "images",
        "names": dict(enumerate(labels.classes)),
    }
    (out / "data.yaml").write_text(dump_yaml(described), encoding="utf-8")
    (out / "labels").mkdir()
    for video in labels.videos:
        ignored = int(video.ignore.sum())
        notes.add("an ignored region; YOLO cannot say so, left out", video.name, ignored)
        tracked = int((video.tracks >= 0).sum())
        notes.add("a track of a box; YOLO cannot say so, left out", video.name, tracked)
        for frame in video.annotated_frames.tolist():
            path = out / "labels" / _file_name(video, frame)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_rows(video, frame, notes), encoding="utf-8")


def _file_name(video: VideoLabels, frame: int) -> str:
    if len(video.images) == 1:
        return f"{video.name}.txt"
    return f"{video.name}/frame_{frame:06d}.txt"


def _rows(video: VideoLabels, frame: int, notes: WarningCollector) -> str:
    found = video.at(frame)
    assert found is not None
    assert video.size_hw is not None
    height, width = video.size_hw
    whole = found.boxes.astype(np.float64) / (width, height, width, height)
    lines = []
    where = f"{video.name}, frame {frame}"
    for box, label, ignore in zip(whole, found.labels, found.ignore, strict=True):
        if ignore:
            continue
        cut = box.clip(0, 1)
        if (cut != box).any():
            notes.add("a box that leaves the picture; cut to it, YOLO knows no more", where)
        centre, size = (cut[:2] + cut[2:]) / 2, cut[2:] - cut[:2]
        if (size <= 0).any():
            notes.add("a box outside of the picture; YOLO cannot say so, left out", where)
            continue
        lines.append(f"{label} " + " ".join(f"{value:.8f}" for value in (*centre, *size)) + "\n")
    return "".join(lines)
