"""Motion IoU: overlap of a box with the boxes of its track nearby in time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lstmcli.core.boxes import paired_box_iou
from lstmcli.core.types import FloatArray, IntArray

MOTION_FRAMES = 10
"""Frames before and after that are nearby (FGFA, https://arxiv.org/abs/1703.10025)."""


def motion_iou(
    videos: IntArray, tracks: IntArray, frames: IntArray, boxes: FloatArray
) -> npt.NDArray[np.float64]:
    """Return the mean overlap of each box with its track's other boxes within ten frames.

    Args:
        videos: int64 [N].
        tracks: int64 [N], numbers within a video, -1 where unknown.
        frames: int64 [N], source frame indices.
        boxes: [N, 4].

    Returns:
        float64 [N] in 0..1; NaN where the track is unknown or no other box is near.
    """
    order = np.concatenate((np.zeros(0, np.int64), *track_rows(videos, tracks, frames)))
    sums, counts = np.zeros(len(boxes)), np.zeros(len(boxes), np.int64)
    # a track has one box a frame: the n-th next box is at least n frames away
    for step in range(1, MOTION_FRAMES + 1):
        first, second = order[:-step], order[step:]
        same = (videos[first] == videos[second]) & (tracks[first] == tracks[second])
        near = np.flatnonzero(same & (frames[second] - frames[first] <= MOTION_FRAMES))
        first, second = first[near], second[near]
        overlaps = paired_box_iou(boxes[first], boxes[second])
        for rows in (first, second):  # within each, no row comes twice
            sums[rows] += overlaps
            counts[rows] += 1
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def track_rows(videos: IntArray, tracks: IntArray, frames: IntArray) -> list[IntArray]:
    """Return the rows of every known track in the order of time."""
    known = np.flatnonzero(tracks >= 0)
    order = known[np.lexsort((frames[known], tracks[known], videos[known]))]
    if not len(order):
        return []
    changes = (np.diff(videos[order]) != 0) | (np.diff(tracks[order]) != 0)
    return list(np.split(order, np.flatnonzero(changes) + 1))
