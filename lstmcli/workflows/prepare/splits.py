"""Which video, or which part of one, trains and which validates."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from lstmcli.core.types import VideoLabels
from lstmcli.dataset.plan import (
    TimeSplit,
    split_by_video,
)
from lstmcli.workflows.prepare.options import PrepareOptions


def assign_splits(
    jobs: list[tuple[VideoLabels, str | None]], options: PrepareOptions
) -> list[tuple[VideoLabels, str]]:
    """Return every video, or its parts, with a split; those that have one keep it."""
    open_ones = [video for video, split in jobs if split is None]
    if not open_ones:
        return [(video, split) for video, split in jobs if split is not None]
    if options.split_time is not None:
        return [
            (part, name)
            for video, split in jobs
            for part, name in (
                [(video, split)] if split is not None else _cut_in_time(video, options.split_time)
            )
        ]
    named = [video.labels[video.labels >= 0] for video in open_ones]
    groups = [int(np.bincount(labels).argmax()) if len(labels) else -1 for labels in named]
    drawn = split_by_video([v.name for v in open_ones], groups, options.split, options.seed)
    return [(video, split or drawn[video.name]) for video, split in jobs]


def _cut_in_time(video: VideoLabels, cut: TimeSplit) -> Iterator[tuple[VideoLabels, str]]:
    """Yield the beginning of a video for training and its end for validation."""
    if len(video.annotated_frames) < 2:
        yield video, "train"
        return
    border = int(
        video.annotated_frames[
            min(len(video.annotated_frames) - 1, round(len(video.annotated_frames) * cut.share))
        ]
    )
    gap = round(cut.gap_s * (video.rate or 25.0))
    for name, first, last in (
        ("train", 0, border),
        ("val", border + gap, int(video.annotated_frames[-1]) + 1),
    ):
        frames = (video.annotated_frames >= first) & (video.annotated_frames < last)
        rows = (video.box_frames >= first) & (video.box_frames < last)
        yield (
            replace(
                video,
                name=f"{video.name} {name}",
                annotated_frames=video.annotated_frames[frames],
                box_frames=video.box_frames[rows],
                boxes=video.boxes[rows],
                labels=video.labels[rows],
                tracks=video.tracks[rows],
                ignore=video.ignore[rows],
            ),
            name,
        )
