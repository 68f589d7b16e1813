"""MOTChallenge: a folder a video with `gt/gt.txt`, `gt/labels.txt` and `seqinfo.ini`.

Milan et al. 2016, https://arxiv.org/abs/1603.00831: frame and track from 1, left, top, width,
height, flag (0: not considered), class, visibility. `labels.txt` is CVAT's way to name the classes.
The folders of a divided set lie in `train`, `val` and `test`, as those of MOTChallenge.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from lstmcli.core.names import as_path
from lstmcli.core.types import LabelSet, VideoLabels
from lstmcli.labels.mot_rows import left_top_width_height, mot_row, sequence_info
from lstmcli.labels.warning_collector import WarningCollector
from lstmcli.labels.writers.regions import one_a_class

FOLDER = True
NEEDS_SIZE = False
KEEPS_SCORES = False
LISTS_FRAMES = False


MARK = "; written by lstmcli convert"


def write(labels: LabelSet, out: Path, warnings: WarningCollector) -> None:
    """Write a folder for every video below `out`."""
    for video in one_a_class(labels).videos:
        folder = out / (video.split or "") / video.name
        (folder / "gt").mkdir(parents=True)
        (folder / "seqinfo.ini").write_text(_sequence(video), encoding="utf-8")
        names = "".join(f"{name}\n" for name in labels.classes)
        (folder / "gt" / "labels.txt").write_text(names, encoding="utf-8")
        (folder / "gt" / "gt.txt").write_text(_rows(video), encoding="utf-8")
        unseen = _length(video) - len(video.annotated_frames)
        warnings.add(
            "an unannotated frame; MOT cannot say so and shows it empty",
            video.name,
            unseen,
        )
        if video.images and _image_folder(video) is None:
            warnings.add(
                "images that are not numbered from 1 in one folder; MOT cannot name them and wants "
                "them in img1",
                video.name,
            )
        warnings.add(
            "a box without a track; MOT wants one, -1 is written",
            video.name,
            int((video.tracks < 0).sum()),
        )


def _length(video: VideoLabels) -> int:
    return max(
        video.frame_count or 0,
        int(video.annotated_frames[-1]) + 1 if len(video.annotated_frames) else 0,
    )


def _sequence(video: VideoLabels) -> str:
    folder, suffix = _image_folder(video) or ("img1", ".jpg")
    text = sequence_info(
        video.name,
        frames=_length(video),
        rate=video.rate,
        size_hw=video.size_hw,
        image_folder=video.media or folder,
        suffix=suffix,
    )
    return f"{MARK}\n{text}"


def _image_folder(video: VideoLabels) -> tuple[str, str] | None:
    """Return where the images lie if MOT's rule finds them: one folder, numbers from 1."""
    paths = [as_path(path) for path in video.images]
    folders = {path.parent for path in paths}
    numbers = [re.search(r"(\d+)$", path.stem) for path in paths]
    found = [int(number.group(1)) for number in numbers if number]
    if len(paths) > 1 and len(folders) == 1 and found == list(range(1, len(paths) + 1)):
        return str(folders.pop()), paths[0].suffix
    return None


def _rows(video: VideoLabels) -> str:
    lines = []
    for n, box in enumerate(video.boxes.astype(np.float64).tolist()):
        sides = [f"{side:.4f}".rstrip("0").rstrip(".") for side in left_top_width_height(box)]
        flag = "0" if video.ignore[n] else "1"
        frame, track, label = video.box_frames[n], video.tracks[n], video.labels[n]
        lines.append(mot_row(int(frame), int(track), sides, flag, int(label)))
    return "".join(lines)
