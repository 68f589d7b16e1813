"""Images that are numbered one after another become the frames of one video."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lstmcli.core.names import as_path, safe_name
from lstmcli.core.types import VideoLabels, joined_scores
from lstmcli.labels.box_columns import MOST_FRAMES
from lstmcli.labels.warning_collector import WarningCollector

FEWEST = 4
"""Images below which a run of numbers is taken for chance."""

_NUMBERED = re.compile(r"^(?P<before>.*?)(?P<number>\d{4,})$")
Group = list[tuple[int, VideoLabels]]
Key = tuple[str, str, int, str | None]
"""Folder, name before the number, digits, and the part of the set that a run belongs to."""


def gather_frames(videos: Sequence[VideoLabels], warnings: WarningCollector) -> list[VideoLabels]:
    """Return the videos with numbered stills of a folder joined.

    Joined are images of one folder and size whose names differ only in a number of at least four
    digits and that fill at least half of its range; and only where the name says `frame` or where
    there are several such runs, because a set of unrelated pictures may be numbered as well.
    """
    groups: dict[Key, Group] = {}
    for video in videos:
        if len(video.images) == 1 and video.media is None:
            path = as_path(video.images[0])
            found = _NUMBERED.match(path.stem)
            if found:
                key = (str(path.parent), found["before"], len(found["number"]), video.split)
                groups.setdefault(key, []).append((int(found["number"]), video))
    runs = {key: group for key, group in groups.items() if _is_run(group)}
    named = {key for key in runs if "frame" in f"{as_path(key[0]).name}{key[1]}".lower()}
    chosen = runs if len(runs) > 1 else {key: runs[key] for key in named}
    if not chosen:
        return list(videos)
    joined = {id(video): key for key, group in chosen.items() for _, video in group}
    result: list[VideoLabels] = []
    done = set()
    for video in videos:
        key = joined.get(id(video), ("", "", -1, None))
        if key not in chosen:
            result.append(video)
        elif key not in done:
            done.add(key)
            result.append(_joined(key, chosen[key]))
            warnings.add(
                "images numbered one after another; taken for the frames of a video",
                result[-1].name,
            )
    return result


def _is_run(group: Group) -> bool:
    numbers = sorted(number for number, _ in group)
    gaps = np.diff(numbers)
    if len(group) < FEWEST or numbers[-1] >= MOST_FRAMES or gaps.min() == 0:
        return False
    step = int(np.gcd.reduce(gaps))
    full = (numbers[-1] - numbers[0]) // step + 1
    sizes = {video.size_hw for _, video in group if video.size_hw is not None}
    return full <= 2 * len(group) and len(sizes) <= 1


def _joined(key: Key, group: Group) -> VideoLabels:
    first = 1 if min(number for number, _ in group) == 1 else 0
    folder = as_path(key[0])
    before = key[1].rstrip("_-. ")
    parts = [part for part in folder.parts if part not in {"/", "images", "train", "val", "test"}]
    bare = before.lower() in {"", "frame", "img", "image"}
    name = "/".join(parts[-2:] if bare and parts else [*parts[-1:], before or "frames"])
    return as_one_video(safe_name(name), [(number - first, video) for number, video in group])


def as_one_video(name: str, group: Group) -> VideoLabels:
    """Return stills as the frames of one video; each comes with its frame index."""
    group = sorted(group, key=lambda item: item[0])
    frames = [frame for frame, _ in group]
    images = [""] * (frames[-1] + 1)
    for frame, video in group:
        images[frame] = video.images[0]
    videos = [video for _, video in group]
    counts = [len(video.labels) for video in videos]
    return replace(
        videos[0],
        name=name,
        images=tuple(images),
        frame_count=len(images),
        annotated_frames=np.array(
            [frame for frame, video in group if len(video.annotated_frames)], np.int64
        ),
        box_frames=np.repeat(np.array(frames, np.int64), counts),
        boxes=np.concatenate([video.boxes for video in videos]),
        labels=np.concatenate([video.labels for video in videos]),
        tracks=np.concatenate([video.tracks for video in videos]),
        ignore=np.concatenate([video.ignore for video in videos]),
        scores=joined_scores(videos),
        size_hw=next((video.size_hw for video in videos if video.size_hw), None),
    )


_EXTRACTED = re.compile(r"(?i)^(?P<film>.+?)[-_. ]*(?:frame|img|f)?[-_. ]*(?P<number>\d{1,8})$")


def extracted_from(image: str) -> tuple[str, int] | None:
    """Return the film and the number in the name of an extracted frame, or None.

    `clip_000123.jpg` and `clip-frame-123.png` are of `clip`.
    """
    found = _EXTRACTED.match(as_path(image).stem)
    return None if found is None else (found["film"], int(found["number"]))
