"""Ignored regions, for formats in which a region belongs to one class or that know none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lstmcli.core.types import IntArray, LabelSet, VideoLabels


def frames_of_regions(video: VideoLabels) -> IntArray:
    """Return the frames with ignored regions and nothing else, which must not be shown as empty."""
    return np.setdiff1d(video.box_frames[video.ignore], video.box_frames[~video.ignore])


def one_a_class(labels: LabelSet) -> LabelSet:
    """Return the set with each region that covers every class written once for each of them."""
    count = len(labels.classes)
    videos = tuple(
        _repeated(video, count) if (video.labels < 0).any() else video for video in labels.videos
    )
    return replace(labels, videos=videos)


def _repeated(video: VideoLabels, classes: int) -> VideoLabels:
    times = np.where(video.labels < 0, classes, 1)
    rows = np.repeat(np.arange(len(times)), times)
    nth = np.arange(len(rows)) - np.repeat(np.cumsum(times) - times, times)
    return video.select(rows, labels=np.where(video.labels[rows] < 0, nth, video.labels[rows]))
