"""Tracks as objects of their own, for formats in which an object is a list of key frames."""

from __future__ import annotations

from collections.abc import Iterator

from lstmcli.core.types import VideoLabels
from lstmcli.labels.warning_collector import WarningCollector


def tracks_of(video: VideoLabels, warnings: WarningCollector) -> Iterator[list[int]]:
    """Yield the rows of each track, and of each box that has none; ignored regions are left out.

    An object has one class and one box in a frame: a track of two classes becomes two objects, and
    so does a second box of a track in a frame, which is noted.
    """
    groups: dict[tuple[int, int, int], list[int]] = {}
    for row in range(len(video.box_frames)):
        if video.ignore[row]:
            continue
        track, frame = int(video.tracks[row]), video.box_frames[row]
        key = (track, int(video.labels[row]), 0) if track >= 0 else (-1 - row, 0, 0)
        while key in groups and video.box_frames[groups[key][-1]] == frame:
            key = (*key[:2], key[2] + 1)
        if key[2]:
            warnings.add(
                "a second box of a track in a frame; written as another object",
                f"{video.name}, frame {frame}",
            )
        groups.setdefault(key, []).append(row)
    yield from groups.values()
