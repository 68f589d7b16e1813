"""Motion IoU: overlap of a box with the boxes of its track nearby in time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lstmcli.core.boxes import box_iou
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
    motion = np.full(len(boxes), np.nan)
    for rows in track_rows(videos, tracks, frames):
        times = frames[rows]
        starts = np.searchsorted(times, times - MOTION_FRAMES, side="left")
        ends = np.searchsorted(times, times + MOTION_FRAMES, side="right")
        for index, (start, end) in enumerate(zip(starts, ends, strict=True)):
            near = np.delete(rows[start:end], index - start)
            if len(near):
                own = boxes[rows[index] : rows[index] + 1]
                motion[rows[index]] = box_iou(own, boxes[near]).mean(dtype=np.float64)
    return motion


def track_rows(videos: IntArray, tracks: IntArray, frames: IntArray) -> list[IntArray]:
    """Return the rows of every known track in the order of time."""
    known = np.flatnonzero(tracks >= 0)
    order = known[np.lexsort((frames[known], tracks[known], videos[known]))]
    if not len(order):
        return []
    changes = (np.diff(videos[order]) != 0) | (np.diff(tracks[order]) != 0)
    return list(np.split(order, np.flatnonzero(changes) + 1))
