"""Missed detections: the longest ones, and the delay until an object's first detection.

Delay at a fixed rate of false alarms: Mao et al. 2019, "A Delay Metric for Video Object Detection",
https://arxiv.org/abs/1908.06368: average precision hides how late an object is found, so methods
are compared at thresholds of equal false-alarm rate.
"""

from __future__ import annotations

import math

import numpy as np

from lstmcli.core.types import BoolArray
from lstmcli.metrics.comparison import Comparison, Json
from lstmcli.metrics.matching import Matching
from lstmcli.metrics.motion import track_rows
from lstmcli.metrics.track_spans import TrackSpan, track_spans

FALSE_ALARM_RATES = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
"""False detections a frame at which the delay is read, as in the paper."""
LISTED = 10


def find_misses(comparison: Comparison) -> list[TrackSpan]:
    """Return every span of missed frames of every known track, the longest first."""
    missed = comparison.shown.by_gt(len(comparison.gt)) < 0
    spans = track_spans(comparison, missed)
    return sorted(spans, key=lambda miss: (-miss.duration_s, miss.video, miss.first))


def misses(comparison: Comparison) -> dict[str, Json]:
    """Return the longest miss, a list of the longest ones, and the delay by false-alarm rate.

    Keys:
        longest_s: seconds; None without tracks, 0 where nothing was missed.
        longest: up to ten, see `TrackSpan.as_json`.
        average_delay_frames: mean over the paper's false-alarm rates; None without tracks.
        delay_frames_by_false_alarms: rate a frame -> mean delay in annotated frames.
    """
    tracked = bool((comparison.gt.tracks >= 0).any())
    found = find_misses(comparison)
    delays = delay_by_false_alarms(comparison) if tracked else {}
    return {
        "longest_s": (found[0].duration_s if found else 0.0) if tracked else None,
        "longest": [miss.as_json(comparison.classes) for miss in found[:LISTED]],
        "average_delay_frames": float(np.mean(list(delays.values()))) if delays else None,
        "delay_frames_by_false_alarms": {f"{r:g}": delays.get(r) for r in FALSE_ALARM_RATES},
    }


def delay_by_false_alarms(comparison: Comparison) -> dict[float, float]:
    """Return the mean delay of the tracks, in annotated frames, at each rate of false alarms.

    A track that is never found counts with its whole length.
    """
    matching = comparison.joined.match(iou=comparison.iou)
    gt = comparison.gt
    frames = np.array([result.frame for result in comparison.results], np.int64)[gt.results]
    tracks = track_rows(comparison.videos[gt.results], gt.tracks, frames)
    best = np.full(len(gt), -np.inf)
    hits = matching.gt >= 0
    best[matching.gt[hits]] = matching.scores[hits]
    delays: dict[float, float] = {}
    for rate in FALSE_ALARM_RATES:
        threshold = _threshold_of_rate(matching, rate, len(comparison.results))
        delays[rate] = float(np.mean([_delay(best[rows] >= threshold) for rows in tracks]))
    return delays


def _threshold_of_rate(matching: Matching, rate: float, frames: int) -> float:
    """Return the lowest score at which there are at most `rate` false detections a frame."""
    wrong = np.sort(matching.scores[(matching.gt < 0) & ~matching.ignored])[::-1]
    allowed = math.floor(rate * frames)
    return 0.0 if len(wrong) <= allowed else float(np.nextafter(wrong[allowed], np.float32(2)))


def _delay(found: BoolArray) -> int:
    return int(np.argmax(found)) if found.any() else len(found)
