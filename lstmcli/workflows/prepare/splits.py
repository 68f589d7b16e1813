"""Splits of videos, or parts of videos, into train, val and test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from lstmcli.core.types import IntArray, LabelSet, VideoLabels
from lstmcli.dataset.plan import TimeSplit, only_ones, split_by_video
from lstmcli.workflows.prepare.options import DEFAULT_SHARE, PrepareOptions


def assign_splits(
    jobs: list[tuple[VideoLabels, str | None]], options: PrepareOptions
) -> list[tuple[VideoLabels, str]]:
    """Return every video, or its parts, with a split; given splits are kept."""
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
    drawn = _random_splits(open_ones, options)
    return [(video, split or drawn[_recording(video)]) for video, split in jobs]


def _random_splits(videos: list[VideoLabels], options: PrepareOptions) -> dict[str, str]:
    """Return the split of each recording; label files of one recording stay together."""
    labels: dict[str, list[IntArray]] = {}
    for video in videos:
        known = video.labels[(video.labels >= 0) & ~video.ignore]
        labels.setdefault(_recording(video), []).append(known)
    together = [np.concatenate(parts) for parts in labels.values()]
    share = DEFAULT_SHARE if options.split is None else options.split
    return split_by_video(
        list(labels),
        [int(np.bincount(known).argmax()) if len(known) else -1 for known in together],
        share,
        options.seed,
        needed=only_ones([np.unique(known).tolist() for known in together]),
    )


def _recording(video: VideoLabels) -> str:
    """Return the key of a recording: the path of its video or of its images."""
    if video.media:
        return str(Path(video.media).resolve())
    first = next((image for image in video.images if image), "")
    return str(Path(first).resolve()) if first else video.name


def keep_own_splits(
    labels: LabelSet, splits: list[str | None], options: PrepareOptions
) -> tuple[list[str | None], str]:
    """Return the set's own splits, and a sentence about them.

    Only without --val, --split and --split-time.

    Args:
        labels: of all sources; `VideoLabels.split` is the set's own split.
        splits: chosen ones, None without a choice.
        options: see `PrepareOptions`.
    """
    own = {video.split for video in labels.videos} - {None}
    chosen = options.split is not None or options.split_time is not None
    if chosen or any(split in {"train", "val"} for split in splits) or not own - {"train"}:
        if own - {"train"} and "train" in own:
            return splits, "as chosen; the set's own train, val and test are not kept"
        return splits, ""
    if "train" not in own:
        return splits, ""
    rest = "train" if "val" in own else None
    kept = [
        split or video.split or rest for video, split in zip(labels.videos, splits, strict=True)
    ]
    counts = ", ".join(f"{name} {kept.count(name)}" for name in ("train", "val", "test"))
    drawn = "" if "val" in own else "; val is drawn from train"
    return kept, f"the set's own: {counts}{drawn} (--split draws new ones)"


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
            video.select(
                rows,
                name=f"{video.name} {name}",
                annotated_frames=video.annotated_frames[frames],
            ),
            name,
        )
