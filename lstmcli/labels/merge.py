"""Joins the label sets of several files into one: classes by name, media once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from lstmcli.core.errors import MediaError
from lstmcli.core.media_files import is_file_at
from lstmcli.core.names import unique_names
from lstmcli.core.types import LabelSet, VideoLabels, joined_scores
from lstmcli.labels.builder import renumbered
from lstmcli.labels.media_finder import MediaFinder
from lstmcli.labels.sequences import gather_frames
from lstmcli.labels.warning_collector import WarningCollector


def join(sets: Sequence[tuple[Path, LabelSet, MediaFinder]]) -> LabelSet:
    """Return one set of all; each comes with the file or folder it was read from, and its finder.

    Two files about the same medium become one video where they speak of different frames; where
    they speak of the same frames, the first one counts and that is noted.
    """
    classes = list(dict.fromkeys(name for _, labels, _ in sets for name in labels.classes))
    warnings = WarningCollector()
    for _, labels, _ in sets:
        for warning in labels.warnings:
            warnings.add(warning.text, warning.where, warning.count)
    merged: dict[object, tuple[Path, VideoLabels]] = {}
    for source, labels, finder in sets:
        base = source if source.is_dir() else source.parent
        index = np.array([classes.index(name) for name in labels.classes] or [0], np.int64)
        for n, video in enumerate(labels.videos):
            named = video
            if len(sets) > 1:
                named = replace(_anchored(video, finder), labels=renumbered(video.labels, index))
            key = _medium_of(named, base) or (source, n)
            if key not in merged:
                merged[key] = source, named
            elif not len(np.intersect1d(merged[key][1].annotated_frames, named.annotated_frames)):
                merged[key] = source, united(merged[key][1], named)
            elif merged[key][0] == source:  # two tasks of one file may name two files alike
                merged[(key, n)] = source, named
            else:
                warnings.add(
                    "labels of the same frames in two files; the second ones are left out",
                    f"{source}, {video.name}",
                )
    videos = gather_frames([video for _, video in merged.values()], warnings)
    names = unique_names([video.name for video in videos])
    renamed = (
        video if video.name == name else replace(video, name=name)
        for name, video in zip(names, videos, strict=True)
    )
    return LabelSet(tuple(classes), tuple(renamed), warnings.collected())


def united(first: VideoLabels, second: VideoLabels) -> VideoLabels:
    """Return the boxes and frames of both; tracks of the second get numbers of their own."""
    shift = int(first.tracks.max(initial=-1)) + 1
    tracks = np.where(second.tracks >= 0, second.tracks + shift, -1)
    frames = np.concatenate((first.box_frames, second.box_frames))
    order = np.argsort(frames, kind="stable")
    scores = joined_scores((first, second))
    return replace(
        first,
        annotated_frames=np.union1d(first.annotated_frames, second.annotated_frames),
        box_frames=frames[order],
        boxes=np.concatenate((first.boxes, second.boxes))[order],
        labels=np.concatenate((first.labels, second.labels))[order],
        tracks=np.concatenate((first.tracks, tracks))[order],
        ignore=np.concatenate((first.ignore, second.ignore))[order],
        scores=None if scores is None else scores[order],
        size_hw=first.size_hw or second.size_hw,
        rate=first.rate or second.rate,
        frame_count=first.frame_count or second.frame_count,
    )


def _anchored(video: VideoLabels, finder: MediaFinder) -> VideoLabels:
    """Return the video with absolute paths of what is found from its own label file.

    Two recordings may hold pictures of the same names, so each is searched from its own labels.
    """
    if video.media:
        return replace(video, media=_found(video.media, finder, video=True))
    if video.images:
        images = (image and _found(image, finder, video=False) for image in video.images)
        return replace(video, images=tuple(images))
    return video


def _found(written: str, finder: MediaFinder, *, video: bool) -> str:
    try:
        path = finder.find(written, video=video)
    except MediaError:  # labels can be joined, and converted, without their media
        path = None
    return written if path is None else str(path.absolute())


def _medium_of(video: VideoLabels, base: Path) -> object:
    """Return what two label files of the same medium share, None where no medium is named."""
    written = (video.media,) if video.media else video.images
    if not any(written):
        return None
    paths = [base.absolute() / path if path else None for path in written]
    return tuple(p.resolve() if p is not None and is_file_at(p) else p for p in paths)
