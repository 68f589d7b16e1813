"""A set's own division into train, val and test, by its folders, lists and file names.

Roboflow, Ultralytics, COCO, KITTI and MOTChallenge sets come divided. Who made them kept related
pictures together and compares results on these parts, so they are kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath

from lstmcli.core.media_files import can_be_path
from lstmcli.core.types import VideoLabels

_WORDS = {
    "train": "train",
    "training": "train",
    "trn": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "validate": "val",
    "test": "test",
    "testing": "test",
    "tst": "test",
}
_AROUND = frozenset(
    {
        *("images", "image", "imgs", "img", "labels", "label", "annotations", "annotation", "ann"),
        *("instances", "anns", "set", "data", "split", "dataset", "person", "keypoints", "bbox"),
        *("boxes", "coco", "yolo", "voc", "mot", "gt", "vid", "video", "videos", "detection"),
    }
)
"""Words that may stand next to the word of a part in the name of a folder."""


def part_of_folder(name: str) -> str | None:
    """Return the part that a folder is named after: `train`, `valid`, `val2017`, `test_set`."""
    words = re.findall(r"[a-z]+", name.lower())
    parts = {_WORDS[word] for word in words if word in _WORDS}
    fits = all(word in _WORDS or word in _AROUND for word in words)
    return parts.pop() if fits and len(parts) == 1 else None


def part_of_file(name: str) -> str | None:
    """Return the part that a label file of many pictures is named after, or None."""
    words = re.findall(r"[a-z]+", PurePath(name).stem.lower())
    parts = {_WORDS[word] for word in words if word in _WORDS}
    return parts.pop() if len(parts) == 1 else None


def part_of_path(folders: Sequence[str], siblings: Mapping[str, str] | None = None) -> str | None:
    """Return the part of the lowest folder that is named after one.

    Args:
        folders: names from the top down.
        siblings: parts of names that say so only beside each other, see `sibling_parts`.
    """
    known = siblings or {}
    return next(
        (part for name in reversed(folders) if (part := part_of_folder(name) or known.get(name))),
        None,
    )


def sibling_parts(names: Iterable[str]) -> dict[str, str]:
    """Return the parts of names that differ only in the word of a part.

    `VisDrone2019-DET-train` beside `VisDrone2019-DET-val`; a lone `crash-test` is no part.
    """
    groups: dict[str, dict[str, str]] = {}
    for name in names:
        words = re.split(r"([a-z]+)", name.lower())
        at = [n for n, word in enumerate(words) if word in _WORDS]
        if len(at) == 1:
            rest = "".join([*words[: at[0]], "*", *words[at[0] + 1 :]])
            groups.setdefault(rest, {})[name] = _WORDS[words[at[0]]]
    return {
        name: part
        for group in groups.values()
        if len(set(group.values())) > 1
        for name, part in group.items()
    }


def own_parts(videos: Sequence[VideoLabels], source: Path) -> list[str | None]:
    """Return the part of each video as the set itself states it, None where it does not.

    What a reader knows (`VideoLabels.split`) comes first, then the folders of the medium and of the
    label file below `source`, then the name of a label file of many pictures.

    Args:
        videos: of one set.
        source: the file or folder that a person gave.
    """
    base = (source if source.is_dir() else source.parent).absolute()
    files = {video.source for video in videos}
    shared = len(files) < len(videos) or len(files) == 1
    parts = []
    folders = {path: _below(path, base) for video in videos for path in _paths(video)}
    siblings = sibling_parts({name for names in folders.values() for name in names})
    for video in videos:
        found = video.split
        for path in () if found else _paths(video):
            found = found or part_of_path(folders[path], siblings)
        if found is None and video.source and (shared or source.is_file()):
            found = part_of_file(Path(video.source).name)
        parts.append(found)
    return parts


def divided(videos: Sequence[VideoLabels], parts: Sequence[str | None]) -> list[VideoLabels]:
    """Return the videos with their parts, if those divide the set: some train and some do not."""
    named_parts = set(parts) - {None}
    keeps = "train" in named_parts and len(named_parts) > 1
    return [
        replace(video, split=part if keeps else None)
        for video, part in zip(videos, parts, strict=True)
    ]


def _paths(video: VideoLabels) -> Iterator[str]:
    if video.media:
        yield video.media
    yield from (image for image in video.images[:1] if image)
    if video.source:
        yield video.source


def _below(written: str, base: Path) -> Sequence[str]:
    """Return the folders of a path, those above `base` left out."""
    path = Path(written.replace("\\", "/"))
    if path.is_absolute():
        for start in (base, base.resolve()):
            if path.is_relative_to(start):
                return path.relative_to(start).parts[:-1]
        return ()
    if not can_be_path(written):
        return ()
    absolute = path.absolute()
    if absolute.is_relative_to(base) and absolute.exists():
        return absolute.relative_to(base).parts[:-1]
    return [part for part in path.parts[:-1] if part not in {"..", "."}]
