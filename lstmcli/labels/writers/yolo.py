"""YOLO: `data.yaml` and a text file an image, `labels/VIDEO/frame_000000.txt` for frames.

https://docs.ultralytics.com/datasets/detect: class, centre x, centre y, width, height as fractions.
The images belong into `images/` under the same names. A divided set has `train`, `val` and `test`
below both folders.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lstmcli.core.types import LabelSet, VideoLabels
from lstmcli.core.yaml_text import dump_yaml
from lstmcli.labels.warning_collector import WarningCollector

FOLDER = True
NEEDS_SIZE = True
KEEPS_SCORES = False
LISTS_FRAMES = True


MARK = "# written by lstmcli convert\n"


def write(labels: LabelSet, out: Path, warnings: WarningCollector) -> None:
    """Write the labels below `out`; every size is known.

    `videos` in `data.yaml` names the films, so that their frames are found again (YOLO itself knows
    only pictures); Ultralytics does not mind the key.
    """
    described: dict[str, object] = {"path": ".", **_parts(labels)}
    described["names"] = dict(enumerate(labels.classes))
    films = {video.name: _film(video) for video in labels.videos if not _is_still(video)}
    if films:
        described["videos"] = films
    (out / "data.yaml").write_text(MARK + dump_yaml(described), encoding="utf-8")
    (out / "labels").mkdir()
    for video in labels.videos:
        ignored = int(video.ignore.sum())
        warnings.add("an ignored region; YOLO cannot say so, left out", video.name, ignored)
        tracked = int((video.tracks >= 0).sum())
        warnings.add("a track of a box; YOLO cannot say so, left out", video.name, tracked)
        for frame in video.annotated_frames.tolist():
            path = out / "labels" / _file_name(video, frame)
            text = _rows(video, frame, warnings)
            found = video.at(frame)
            if not text and found is not None and len(found):
                what = "ignored regions" if found.ignore.all() else "boxes outside of the picture"
                warnings.add(
                    f"a frame with nothing but {what}; YOLO would show it empty, left out",
                    f"{video.name}, frame {frame}",
                )
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")


def _parts(labels: LabelSet) -> dict[str, object]:
    """Return the folders of images by part: one for all where the set is not divided."""
    parts = {video.split for video in labels.videos}
    named: dict[str, object] = {
        part: f"images/{part}" for part in ("train", "val", "test") if part in parts
    }
    return named or {"train": "images", "val": "images"}


def _is_still(video: VideoLabels) -> bool:
    return len(video.images) == 1


def _film(video: VideoLabels) -> dict[str, object]:
    """Return what YOLO's own keys cannot say of a film."""
    row: dict[str, object] = {}
    if video.media:
        row["media"] = video.media
    if video.frame_count is not None:
        row["frames"] = video.frame_count
    if video.rate is not None:
        row["rate"] = video.rate
    if video.split is not None:
        row["split"] = video.split
    if video.size_hw is not None:
        row["size"] = [video.size_hw[1], video.size_hw[0]]
    return row


def _file_name(video: VideoLabels, frame: int) -> str:
    part = f"{video.split}/" if video.split else ""
    if _is_still(video):
        return f"{part}{video.name}.txt"
    return f"{part}{video.name}/frame_{frame:06d}.txt"


def _rows(video: VideoLabels, frame: int, warnings: WarningCollector) -> str:
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
            warnings.add("a box that leaves the picture; cut to it, YOLO knows no more", where)
        centre, size = (cut[:2] + cut[2:]) / 2, cut[2:] - cut[:2]
        if (size <= 0).any():
            warnings.add("a box outside of the picture; YOLO cannot say so, left out", where)
            continue
        lines.append(f"{label} " + " ".join(f"{value:.8f}" for value in (*centre, *size)) + "\n")
    return "".join(lines)
