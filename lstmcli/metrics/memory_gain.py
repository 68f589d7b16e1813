"""The gain of a memory: recall with and without, under which conditions, and for which objects.

Both sides are compared at equal precision, so that a lower threshold alone is no gain, and with a
paired bootstrap over videos.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lstmcli.core.types import BoolArray, IntArray
from lstmcli.metrics.bootstrap import DRAWS, Interval, bootstrap_interval, video_weights
from lstmcli.metrics.comparison import Comparison, Json
from lstmcli.metrics.conditions import conditions
from lstmcli.metrics.operating_point import match_all_scores, shown_at, threshold_curve
from lstmcli.metrics.track_spans import TrackSpan, track_spans

LISTED = 20


@dataclass(frozen=True, slots=True)
class RecallGain:
    """Recall of one condition with and without memory.

    Args:
        boxes: ground truth of the condition.
        without, with_memory: recall in 0..1; None without ground truth.
        gain: with minus without, and its interval.
    """

    boxes: int
    without: float | None
    with_memory: float | None
    gain: Interval

    def as_json(self) -> dict[str, Json]:
        """Return plain values."""
        return {
            "boxes": self.boxes,
            "without": self.without,
            "with": self.with_memory,
            "gain": self.gain.as_json(),
        }


@dataclass(frozen=True, slots=True)
class MemoryGain:
    """What memory is worth on a domain.

    Args:
        precision: at which both sides are compared; None where no detection is right.
        thresholds: without and with memory, at that precision.
        by_condition: condition -> range -> recall with and without; `all` is of all objects.
        recovered: detected only with memory, the longest first.
        lost: detected only without memory.
    """

    precision: float | None
    thresholds: tuple[float, float]
    by_condition: Mapping[str, Mapping[str, RecallGain]]
    recovered: tuple[TrackSpan, ...]
    lost: tuple[TrackSpan, ...]

    def as_json(self, classes: tuple[str, ...]) -> dict[str, Json]:
        """Return plain values; lists hold the longest spans, counts are of all."""
        return {
            "precision": self.precision,
            "thresholds": {"without": self.thresholds[0], "with": self.thresholds[1]},
            "by_condition": {
                condition: {name: gain.as_json() for name, gain in ranges.items()}
                for condition, ranges in self.by_condition.items()
            },
            "recovered_frames": sum(one.frames for one in self.recovered),
            "lost_frames": sum(one.frames for one in self.lost),
            "recovered_spans": len(self.recovered),
            "lost_spans": len(self.lost),
            "recovered": [one.as_json(classes) for one in self.recovered[:LISTED]],
            "lost": [one.as_json(classes) for one in self.lost[:LISTED]],
        }


def memory_gain(without: Comparison, with_memory: Comparison, *, draws: int = DRAWS) -> MemoryGain:
    """Compare detections with and without memory on the same ground truth.

    Args:
        without: shown at any threshold; it is compared at its own best F1.
        with_memory: of the same frames; it is compared at the same precision.
        draws: of the bootstrap.
    """
    one, other, precision = _at_equal_precision(without, with_memory)
    gt = one.gt
    before = one.shown.by_gt(len(gt)) >= 0
    after = other.shown.by_gt(len(gt)) >= 0
    videos = one.videos[gt.results]
    table: dict[str, dict[str, BoolArray]] = {"all": {"all": np.ones(len(gt), np.bool_)}}
    table |= conditions(one)
    gains = {
        condition: {
            name: _recall_gain(videos, rows, (before, after), len(one.video_names), draws)
            for name, rows in ranges.items()
        }
        for condition, ranges in table.items()
    }
    used = one.threshold, other.threshold
    return MemoryGain(precision, used, gains, *one_sided_spans(one, other))


def one_sided_spans(
    one: Comparison, other: Comparison
) -> tuple[tuple[TrackSpan, ...], tuple[TrackSpan, ...]]:
    """Return where only `other` detects an object, and where only `one` does, as shown."""
    before = one.shown.by_gt(len(one.gt)) >= 0
    after = other.shown.by_gt(len(one.gt)) >= 0
    return _longest_first(one, after & ~before), _longest_first(one, before & ~after)


def _at_equal_precision(
    without: Comparison, with_memory: Comparison
) -> tuple[Comparison, Comparison, float | None]:
    curve = threshold_curve(match_all_scores(without), len(without.gt))
    best = curve.best_f1_threshold
    other = threshold_curve(match_all_scores(with_memory), len(with_memory.gt))
    if best is None:  # nothing right without memory: everything is gain, at its own best F1
        threshold = other.best_f1_threshold
        return without, shown_at(with_memory, 0.3 if threshold is None else threshold), None
    precision = float(curve.precision[np.flatnonzero(curve.thresholds == best)[0]])
    threshold = other.threshold_of_precision(precision)
    if threshold is None:  # never so precise: what it is most sure of
        threshold = float(other.thresholds[0]) if len(other.thresholds) else 1.0
    return shown_at(without, best), shown_at(with_memory, threshold), precision


def _recall_gain(
    videos: IntArray,
    rows: BoolArray,
    found: tuple[BoolArray, BoolArray],
    count: int,
    draws: int,
) -> RecallGain:
    sums = np.zeros((count, 3))
    for column, values in enumerate((rows, rows & found[0], rows & found[1])):
        np.add.at(sums[:, column], videos[values], 1)
    boxes, before, after = sums.sum(axis=0)
    drawn = video_weights(count, draws, 0) @ sums
    drawn = drawn[drawn[:, 0] > 0]
    if not boxes:
        return RecallGain(0, None, None, Interval(None, None, None))
    gain = bootstrap_interval((after - before) / boxes, (drawn[:, 2] - drawn[:, 1]) / drawn[:, 0])
    return RecallGain(int(boxes), before / boxes, after / boxes, gain)


def _longest_first(comparison: Comparison, chosen: BoolArray) -> tuple[TrackSpan, ...]:
    spans = track_spans(comparison, chosen)
    return tuple(sorted(spans, key=lambda one: (-one.frames, one.video, one.first)))
