"""Spans of consecutive annotated frames of ground-truth tracks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lstmcli.core.types import BoolArray
from lstmcli.metrics.comparison import Comparison, Json
from lstmcli.metrics.motion import track_rows


@dataclass(frozen=True, slots=True)
class TrackSpan:
    """Consecutive annotated frames of one ground-truth track.

    Args:
        video: its name.
        track: the track id.
        label: the class index.
        first, last: source frames, both included.
        begin_s, end_s: their times in seconds.
        frames: how many annotated ones.
    """

    video: str
    track: int
    label: int
    first: int
    last: int
    begin_s: float
    end_s: float
    frames: int

    @property
    def duration_s(self) -> float:
        """Seconds from the first to the last frame."""
        return self.end_s - self.begin_s

    def as_json(self, classes: tuple[str, ...]) -> dict[str, Json]:
        """Return plain values."""
        return {
            "video": self.video,
            "track": self.track,
            "class": classes[self.label],
            "first_frame": self.first,
            "last_frame": self.last,
            "begin_s": self.begin_s,
            "end_s": self.end_s,
            "duration_s": self.duration_s,
            "frames": self.frames,
        }


def track_spans(comparison: Comparison, chosen: BoolArray) -> list[TrackSpan]:
    """Return the runs of chosen ground-truth rows of every known track.

    Args:
        comparison: whose ground truth it is.
        chosen: bool [ground-truth rows].
    """
    gt, results = comparison.gt, comparison.results
    frames = np.array([result.frame for result in results], np.int64)[gt.results]
    spans = []
    for rows in track_rows(comparison.videos[gt.results], gt.tracks, frames):
        padded = np.concatenate(([False], chosen[rows], [False])).astype(np.int8)
        edges = np.flatnonzero(np.diff(padded))
        for begin, end in zip(edges[::2], edges[1::2], strict=True):
            first, last = (results[gt.results[rows[index]]] for index in (begin, end - 1))
            spans.append(
                TrackSpan(
                    first.video,
                    int(gt.tracks[rows[begin]]),
                    int(gt.labels[rows[begin]]),
                    first.frame,
                    last.frame,
                    first.time_s,
                    last.time_s,
                    int(end - begin),
                )
            )
    return spans
