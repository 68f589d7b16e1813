"""Moments to look at: longest misses, false positives of high score, and where detectors differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lstmcli.metrics.comparison import Comparison, Json
from lstmcli.metrics.conditions import conditions
from lstmcli.metrics.memory_gain import one_sided_spans
from lstmcli.metrics.misses import find_misses
from lstmcli.metrics.motion import track_rows
from lstmcli.metrics.operating_point import match_all_scores
from lstmcli.metrics.track_spans import TrackSpan

APART_S = 1.0
"""Moments of a kind in a video lie further apart: neighbours show the same."""
LISTED = 10
TIMELINES = 4
WEAK_RANGE = 0.1
"""A condition whose recall is lower than the mean by this much is worth labelling."""
WEAK_BOXES = 20

MomentKind = Literal["miss", "false positive", "only here"]


@dataclass(frozen=True, slots=True)
class Moment:
    """A span of a video that shows what a detector does wrong, or better than another.

    Args:
        kind: a miss, a false positive, or an object that only this detector finds.
        model: whose.
        video: its name.
        begin_s, end_s: seconds.
        class_name: of the object or of the false positive.
        score: of the false positive.
    """

    kind: MomentKind
    model: str
    video: str
    begin_s: float
    end_s: float
    class_name: str
    score: float | None = None

    @property
    def duration_s(self) -> float:
        """Seconds from the first to the last frame."""
        return self.end_s - self.begin_s

    def as_json(self) -> dict[str, Json]:
        """Return plain values."""
        return {
            "kind": self.kind,
            "model": self.model,
            "video": self.video,
            "begin_s": self.begin_s,
            "end_s": self.end_s,
            "class": self.class_name,
            "score": self.score,
        }


@dataclass(frozen=True, slots=True)
class Timeline:
    """Scores of one object over time.

    Args:
        video: its name.
        track: its track id.
        class_name: its class.
        times: seconds of its annotated frames.
        scores: model -> score of its detection at each time, 0 where there is none.
        thresholds: model -> score from which a detection is shown.
    """

    video: str
    track: int
    class_name: str
    times: tuple[float, ...]
    scores: Mapping[str, tuple[float, ...]]
    thresholds: Mapping[str, float]


def longest_misses(name: str, comparison: Comparison, count: int = LISTED) -> list[Moment]:
    """Return the longest spans in which an object is not detected."""
    return [
        Moment("miss", name, miss.video, miss.begin_s, miss.end_s, comparison.classes[miss.label])
        for miss in find_misses(comparison)[:count]
    ]


def false_positives(name: str, comparison: Comparison, count: int = LISTED) -> list[Moment]:
    """Return the false positives of the highest scores, a second apart."""
    shown = comparison.shown
    rows = np.flatnonzero((shown.gt < 0) & ~shown.ignored)
    found: list[Moment] = []
    for row in rows[np.argsort(-shown.scores[rows], kind="stable")]:
        result = comparison.results[shown.results[row]]
        moment = Moment(
            "false positive",
            name,
            result.video,
            result.time_s,
            result.time_s,
            comparison.classes[shown.labels[row]],
            float(shown.scores[row]),
        )
        if all(_apart(moment, other) for other in found):
            found.append(moment)
        if len(found) == count:
            break
    return found


def found_by_one(
    names: tuple[str, str], comparisons: tuple[Comparison, Comparison], count: int
) -> list[Moment]:
    """Return the longest spans in which only one of two detectors finds an object."""
    found = []
    one, other = comparisons
    for name, spans in zip(names, one_sided_spans(other, one), strict=True):
        found += [_moment_of(name, span, one.classes) for span in spans[:count]]
    return found


def _moment_of(name: str, span: TrackSpan, classes: Sequence[str]) -> Moment:
    return Moment(
        "only here",
        name,
        span.video,
        span.begin_s,
        span.end_s,
        classes[span.label],
    )


def worst_moments(compared: Mapping[str, Comparison], count: int) -> list[Moment]:
    """Return moments of each kind and model in turn, at most `count`, none twice.

    Args:
        compared: one or two detectors on the same ground truth.
        count: of moments.
    """
    items = list(compared.items())
    kinds = [longest_misses(name, comparison, count) for name, comparison in items]
    kinds += [false_positives(name, comparison, count) for name, comparison in items]
    if len(items) == 2:
        (one, first), (other, second) = items
        differences = found_by_one((one, other), (first, second), count)
        kinds += [[m for m in differences if m.model == name] for name in (one, other)]
    chosen: list[Moment] = []
    for place in range(count):
        for moments in kinds:
            if place < len(moments) and all(_apart(moments[place], other) for other in chosen):
                chosen.append(moments[place])
    return chosen[:count]


def timelines(compared: Mapping[str, Comparison], count: int = TIMELINES) -> list[Timeline]:
    """Return the scores over time of the objects that the first detector misses longest."""
    first = next(iter(compared.values()))
    gt = first.gt
    frames = np.array([result.frame for result in first.results], np.int64)[gt.results]
    times = np.array([result.time_s for result in first.results], np.float64)[gt.results]
    best: dict[str, np.ndarray] = {}
    for name, comparison in compared.items():
        matching = match_all_scores(comparison)
        scores = np.zeros(len(gt))
        hits = matching.gt >= 0
        np.maximum.at(scores, matching.gt[hits], matching.scores[hits])
        best[name] = scores
    wanted: dict[tuple[str, int], None] = {}
    for miss in find_misses(first):
        wanted.setdefault((miss.video, miss.track))
    found = []
    tracks = {
        (first.results[gt.results[rows[0]]].video, int(gt.tracks[rows[0]])): rows
        for rows in track_rows(first.videos[gt.results], gt.tracks, frames)
    }
    for key in list(wanted)[:count]:
        rows = tracks[key]
        found.append(
            Timeline(
                key[0],
                key[1],
                first.classes[gt.labels[rows[0]]],
                tuple(times[rows].tolist()),
                {name: tuple(scores[rows].tolist()) for name, scores in best.items()},
                {name: comparison.threshold for name, comparison in compared.items()},
            )
        )
    return found


def weak_conditions(comparison: Comparison) -> list[tuple[str, str, int, float, float]]:
    """Return the conditions of low recall, the worst first.

    Each is (condition, range, ground-truth boxes, recall there, recall of all).
    """
    gt = comparison.gt
    hits = comparison.shown.by_gt(len(gt)) >= 0
    if not len(gt):
        return []
    mean = float(hits.mean())
    weak = []
    for condition, ranges in conditions(comparison).items():
        for name, rows in ranges.items():
            boxes = int(rows.sum())
            if boxes >= WEAK_BOXES and (recall := float(hits[rows].mean())) < mean - WEAK_RANGE:
                weak.append((condition, name, boxes, recall, mean))
    return sorted(weak, key=lambda row: row[3])


def common_false_positives(compared: Mapping[str, Comparison]) -> list[Moment]:
    """Return false positives that every detector has at the same time: perhaps missing labels."""
    lists = [false_positives(name, comparison, 50) for name, comparison in compared.items()]
    return [
        moment
        for moment in lists[0]
        if all(any(not _apart(moment, other) for other in some) for some in lists[1:])
    ][:LISTED]


def _apart(one: Moment, other: Moment) -> bool:
    return (
        one.video != other.video
        or one.begin_s > other.end_s + APART_S
        or other.begin_s > one.end_s + APART_S
    )
