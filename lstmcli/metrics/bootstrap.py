"""Paired bootstrap over videos: intervals of the differences between detectors.

Frames of a video are not independent, so videos are drawn, with replacement and the same ones for
both detectors (Efron & Tibshirani 1993, "An Introduction to the Bootstrap", chapter 8). Average
precision of a draw is read from histograms of the scores by video: one matrix product for all
draws, exact but for ties within one of `BINS` bins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from lstmcli.metrics.coco import RECALLS
from lstmcli.metrics.comparison import Comparison, Json
from lstmcli.metrics.matching import Matching
from lstmcli.metrics.motion import track_rows
from lstmcli.metrics.stability import count_flicker

Numbers = npt.NDArray[np.float64]

DRAWS = 1000
BINS = 512
MIN_VIDEOS = 2
"""Fewer videos have no spread between them: the interval is not measurable."""
HEADLINES = ("map50", "map50_any_class", "precision", "recall", "f1", "flicker_per_minute")


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with its 95 % bootstrap interval.

    Args:
        value: of all videos; None where it is not measurable.
        low: 2.5th percentile of the draws; None where there are fewer than two videos.
        high: 97.5th percentile.
    """

    value: float | None
    low: float | None
    high: float | None

    @property
    def is_significant(self) -> bool:
        """Whether the interval of a difference leaves zero out."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)

    def as_json(self) -> dict[str, Json]:
        """Return plain values."""
        return {"value": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True, slots=True)
class VideoSums:
    """Sums by video from which every headline metric is computed; rows of all arrays are videos.

    Args:
        names: of the V videos.
        correct: for each class and for all classes as one (last), [V, BINS] true positives by
            score, the highest scores first.
        counted: likewise, detections that count.
        boxes: [V, classes + 1] ground-truth boxes.
        shown: [V, 2] true positives and counted detections at the threshold.
        flicker: [V, 2] changes between found and lost, and minutes of object time.
        kept_draws: headlines by number of draws and seed, see `drawn_headlines`.
    """

    names: tuple[str, ...]
    correct: tuple[Numbers, ...]
    counted: tuple[Numbers, ...]
    boxes: Numbers
    shown: Numbers
    flicker: Numbers
    kept_draws: dict[tuple[int, int], dict[str, Numbers]] = field(
        default_factory=dict, repr=False, compare=False
    )

    def drawn_headlines(self, draws: int, seed: int) -> dict[str, Numbers]:
        """Return every headline of all videos, then of each draw; counted once and kept.

        A video has the same weight on both sides of a pair, wherever it stands in the order.
        """
        if (draws, seed) not in self.kept_draws:
            count = len(self.names)
            rank = [sorted(self.names).index(name) for name in self.names]
            weights = video_weights(count, draws, seed)[:, rank]
            whole = np.ones((1, count))
            self.kept_draws[draws, seed] = self.headlines(np.concatenate((whole, weights)))
        return self.kept_draws[draws, seed]

    def headlines(self, weights: Numbers) -> dict[str, Numbers]:
        """Return every headline for each draw, NaN where it is not measurable.

        Args:
            weights: [draws, V], how often each video was drawn.
        """
        boxes = weights @ self.boxes
        ap = np.stack(
            [
                _average_precision(weights @ correct, weights @ counted, boxes[:, index])
                if self.boxes[:, index].any()  # most classes of a large detector do not occur
                else np.zeros(len(weights))
                for index, (correct, counted) in enumerate(
                    zip(self.correct, self.counted, strict=True)
                )
            ],
            axis=1,
        )
        has_boxes = boxes[:, :-1] > 0
        classes = np.where(has_boxes, ap[:, :-1], 0.0).sum(axis=1)
        correct, counted = (weights @ self.shown).T
        changes, minutes = (weights @ self.flicker).T
        total = boxes[:, -1]
        return {
            "map50": _ratio(classes, has_boxes.sum(axis=1)),
            "map50_any_class": np.where(total > 0, ap[:, -1], np.nan),
            "precision": np.where(
                counted > 0, _ratio(correct, counted), np.where(total > 0, 0.0, np.nan)
            ),
            "recall": _ratio(correct, total),
            "f1": np.where(total > 0, _ratio(2 * correct, counted + total), np.nan),
            "flicker_per_minute": _ratio(changes, minutes),
        }


def video_sums(comparison: Comparison) -> VideoSums:
    """Return the sums by video from which the headline metrics are computed."""
    videos, names = comparison.videos, comparison.video_names
    gt = comparison.gt
    gt_video = videos[gt.results]
    classes = len(comparison.classes)
    boxes = np.zeros((len(names), classes + 1))
    np.add.at(boxes, (gt_video, gt.labels), 1)
    np.add.at(boxes[:, -1], gt_video, 1)
    correct, counted = [], []
    for label in range(classes + 1):
        matching = comparison.scored if label < classes else comparison.scored_any
        rows = ~matching.ignored
        if label < classes:
            rows &= matching.labels == label
        pair = _histograms(matching, np.flatnonzero(rows), videos, len(names))
        correct.append(pair[0])
        counted.append(pair[1])
    shown = np.zeros((len(names), 2))
    shown_video = videos[comparison.shown.results]
    np.add.at(shown[:, 0], shown_video[comparison.shown.gt >= 0], 1)
    np.add.at(shown[:, 1], shown_video[~comparison.shown.ignored], 1)
    return VideoSums(
        names, tuple(correct), tuple(counted), boxes, shown, _flicker_by_video(comparison)
    )


def mean_intervals(domains: Sequence[VideoSums], *, draws: int = DRAWS) -> dict[str, Interval]:
    """Return the mean of every headline over domains with its 95 % interval.

    Videos are drawn within their domain; a domain of a single video adds no spread.
    """
    means: dict[str, list[Numbers]] = {}
    for domain, sums in enumerate(domains):
        # the draws of domains are independent of each other: their order is shuffled
        order = np.append(0, 1 + np.random.default_rng(domain).permutation(draws))
        for name, values in sums.drawn_headlines(draws, 0).items():
            rows = means.setdefault(name, [])
            if not np.isnan(values[0]):
                rows.append(values[order] if len(values) > 1 else np.full(draws + 1, values[0]))
    spread = any(len(sums.names) >= MIN_VIDEOS for sums in domains)
    found = {}
    for name, rows in means.items():
        if not rows:
            found[name] = Interval(None, None, None)
            continue
        mean = np.mean(rows, axis=0)
        found[name] = bootstrap_interval(float(mean[0]), mean[1:] if spread else mean[:0])
    return found


def intervals(sums: VideoSums, *, draws: int = DRAWS, seed: int = 0) -> dict[str, Interval]:
    """Return every headline with its 95 % interval."""
    return {
        name: bootstrap_interval(float(values[0]), values[1:])
        for name, values in sums.drawn_headlines(draws, seed).items()
    }


def paired_differences(
    ours: VideoSums, theirs: VideoSums, *, draws: int = DRAWS, seed: int = 0
) -> dict[str, Interval]:
    """Return `ours` minus `theirs` for every headline, with the 95 % interval.

    Raises:
        ValueError: the two were not counted on the same videos.
    """
    if sorted(ours.names) != sorted(theirs.names):
        raise ValueError("a paired bootstrap needs the same videos on both sides")
    one, other = ours.drawn_headlines(draws, seed), theirs.drawn_headlines(draws, seed)
    return {
        name: bootstrap_interval(float(values[0] - other[name][0]), (values - other[name])[1:])
        for name, values in one.items()
    }


def mean_and_worst(
    values: Mapping[str, Mapping[str, float | None]], headline: str
) -> tuple[float | None, str | None, float | None]:
    """Return the mean of a headline over domains, the worst domain's name, and its value.

    Args:
        values: domain -> headline -> value.
        headline: one of `HEADLINES`; flicker is worst where it is largest.
    """
    known = {d: v for d, row in values.items() if (v := row.get(headline)) is not None}
    if not known:
        return None, None, None
    worst = max if headline == "flicker_per_minute" else min
    name = worst(known, key=lambda domain: known[domain])
    return float(np.mean(list(known.values()))), name, known[name]


def video_weights(videos: int, draws: int, seed: int) -> Numbers:
    """Return how often each draw took each video, [draws, videos]; no draws of too few videos."""
    if videos < MIN_VIDEOS:
        return np.zeros((0, videos))
    chosen = np.random.default_rng(seed).integers(0, videos, (draws, videos))
    weights = np.zeros((draws, videos))
    np.add.at(weights, (np.arange(draws)[:, None], chosen), 1)
    return weights


def bootstrap_interval(value: float, drawn: Numbers) -> Interval:
    """Return a value with the 95 % interval of its draws; NaN is not measurable."""
    point = None if np.isnan(value) else value
    drawn = drawn[~np.isnan(drawn)]
    if point is None or not len(drawn):
        return Interval(point, None, None)
    low, high = np.percentile(drawn, (2.5, 97.5))
    return Interval(point, float(low), float(high))


def _histograms(
    matching: Matching, rows: npt.NDArray[np.intp], videos: npt.NDArray[np.int64], count: int
) -> tuple[Numbers, Numbers]:
    """Return [count, BINS] true positives and detections, bins of equally many true ones."""
    scores = matching.scores[rows].astype(np.float64)
    correct = matching.gt[rows] >= 0
    basis: Sequence[float] | Numbers = scores[correct] if correct.any() else scores
    if not len(basis):
        return np.zeros((count, 1)), np.zeros((count, 1))
    edges = np.unique(np.quantile(basis, np.linspace(0, 1, BINS)))
    index = len(edges) - np.searchsorted(edges, scores, side="right")  # highest scores in bin 0
    video = videos[matching.results[rows]]
    hits, counted = np.zeros((count, len(edges) + 1)), np.zeros((count, len(edges) + 1))
    np.add.at(hits, (video[correct], index[correct]), 1)
    np.add.at(counted, (video, index), 1)
    return hits, counted


def _average_precision(correct: Numbers, counted: Numbers, boxes: Numbers) -> Numbers:
    """Return the 101-point average precision of each draw; arrays are [draws, bins]."""
    hits, total = np.cumsum(correct, axis=1), np.cumsum(counted, axis=1)
    precision = hits / np.maximum(total, 1)
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    recall = hits / np.maximum(boxes, 1)[:, None]
    places = np.array([np.searchsorted(row, RECALLS, side="left") for row in recall], np.int64)
    reached = np.concatenate((precision, np.zeros((len(boxes), 1))), axis=1)
    values = np.take_along_axis(reached, places, axis=1).mean(axis=1)
    return np.asarray(values)


def _ratio(over: Numbers, under: Numbers | npt.NDArray[np.int64]) -> Numbers:
    return np.asarray(np.where(under > 0, over / np.maximum(under, 1e-12), np.nan))


def _flicker_by_video(comparison: Comparison) -> Numbers:
    gt = comparison.gt
    frames = np.array([result.frame for result in comparison.results], np.int64)[gt.results]
    gt_video = comparison.videos[gt.results]
    found = comparison.shown.by_gt(len(gt)) >= 0
    table = np.zeros((len(comparison.video_names), 2))
    for rows in track_rows(gt_video, gt.tracks, frames):
        flicker = count_flicker(comparison, [rows], found)
        table[gt_video[rows[0]]] += (flicker.changes, flicker.minutes)
    return table
