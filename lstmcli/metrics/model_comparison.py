"""Detectors side by side on the same ground truth, over several domains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lstmcli.core.types import Annotations, Detections, IntArray
from lstmcli.metrics.bootstrap import (
    DRAWS,
    HEADLINES,
    Interval,
    VideoSums,
    intervals,
    mean_and_worst,
    mean_intervals,
    paired_differences,
    video_sums,
)
from lstmcli.metrics.comparison import Comparison, Json, compare
from lstmcli.metrics.frame_result import FrameResult
from lstmcli.metrics.operating_point import (
    OperatingPoint,
    match_all_scores,
    operating_point,
    shown_at,
    threshold_curve,
)
from lstmcli.metrics.track_metrics import track_metrics

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Contender:
    """The detections of one detector on the ground truth of one domain.

    Args:
        name: displayed name.
        classes: of its detections and its results' ground truth.
        results: one a frame with ground truth.
        details: what else is known, for the table and the JSON (`pipeline`, `ms_per_frame`).
    """

    name: str
    classes: tuple[str, ...]
    results: tuple[FrameResult, ...]
    details: Mapping[str, Json] | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """Metrics of a detector on a domain.

    Args:
        name: of the detector.
        comparison: its detections matched with the ground truth, at its own best F1.
        sums: input of the bootstrap.
        values: headline -> value with its 95 % interval, at its own best F1.
        best_f1: at its own best F1; None without a true positive.
        equal_precision: at the reference's precision; None where it never reaches that.
        difference: headline -> this minus the reference with its interval; empty for the reference.
        tracks: of `track_metrics`.
        details: of the contender.
    """

    name: str
    comparison: Comparison
    sums: VideoSums
    values: Mapping[str, Interval]
    best_f1: OperatingPoint | None
    equal_precision: OperatingPoint | None
    difference: Mapping[str, Interval]
    tracks: Mapping[str, Json]
    details: Mapping[str, Json]

    def as_json(self) -> dict[str, Json]:
        """Return plain values."""
        points = {"best_f1": self.best_f1, "equal_precision": self.equal_precision}
        return {
            **{name: value.as_json() for name, value in self.values.items()},
            "difference": {name: value.as_json() for name, value in self.difference.items()},
            **{name: None if p is None else p.as_json() for name, p in points.items()},
            "tracks": dict(self.tracks),
            **self.details,
        }


@dataclass(frozen=True, slots=True)
class SideBySide:
    """Detectors over domains; the first detector is the reference of all differences.

    Args:
        names: of the detectors, in the order given.
        domains: name of the data -> the standing of every detector on it.
        draws: of the bootstrap.
    """

    names: tuple[str, ...]
    domains: Mapping[str, tuple[Standing, ...]]
    draws: int = DRAWS

    def over_domains(
        self, headline: str
    ) -> dict[str, tuple[float | None, str | None, float | None]]:
        """Return each detector's mean over the domains, its worst domain and the value there."""
        return {
            name: mean_and_worst(
                {
                    domain: {headline: standings[number].values[headline].value}
                    for domain, standings in self.domains.items()
                },
                headline,
            )
            for number, name in enumerate(self.names)
        }

    @property
    def ranking(self) -> list[str]:
        """Names by mAP50, the mean over the domains, best first."""
        means = {name: mean for name, (mean, _, _) in self.over_domains("map50").items()}
        return sorted(self.names, key=lambda n: -1.0 if means[n] is None else -float(means[n] or 0))

    def as_json(self) -> dict[str, Json]:
        """Return plain values; unmeasurable ones are None."""
        means: dict[str, Json] = {}
        spread = [
            mean_intervals(
                [standings[index].sums for standings in self.domains.values()], draws=self.draws
            )
            for index in range(len(self.names))
        ]
        for headline in HEADLINES:
            rows = zip(self.over_domains(headline).items(), spread, strict=True)
            means[headline] = {
                name: {
                    "mean": mean,
                    "low": of_mean[headline].low,
                    "high": of_mean[headline].high,
                    "worst_domain": domain,
                    "worst": worst,
                }
                for (name, (mean, domain, worst)), of_mean in rows
            }
        return {
            "schema": SCHEMA,
            "models": list(self.names),
            "reference": self.names[0],
            "domains": {
                domain: {standing.name: standing.as_json() for standing in standings}
                for domain, standings in self.domains.items()
            },
            "over_domains": means,
            "ranking": list(self.ranking),
        }


def side_by_side(
    domains: Mapping[str, Sequence[Contender]], *, iou: float = 0.5, draws: int = DRAWS
) -> SideBySide:
    """Evaluate and compare detectors on every domain.

    Args:
        domains: name of the data -> the same detectors in the same order, with results for the
            same frames.
        iou: minimum IoU of a true positive.
        draws: of the bootstrap.
    """
    counted = {
        name: _standings(contenders, iou=iou, draws=draws) for name, contenders in domains.items()
    }
    first = next(iter(domains.values()))
    return SideBySide(tuple(contender.name for contender in first), counted, draws)


def _standings(contenders: Sequence[Contender], *, iou: float, draws: int) -> tuple[Standing, ...]:
    classes = joint_classes(contenders)
    rows: list[Standing] = []
    for contender in contenders:
        comparison = compare(
            [_relabelled(r, contender.classes, classes) for r in contender.results],
            classes,
            threshold=0.3,
            iou=iou,
        )
        curve = threshold_curve(match_all_scores(comparison), len(comparison.gt))
        best = curve.best_f1_threshold
        if best is not None:
            comparison = shown_at(comparison, best)
        reference = rows[0] if rows else None
        precision = reference.best_f1 if reference is not None else None
        if reference is None:
            equal = best
        elif precision is None or precision.precision is None:
            equal = None
        else:
            equal = curve.threshold_of_precision(precision.precision)
        sums = video_sums(comparison)
        rows.append(
            Standing(
                contender.name,
                comparison,
                sums,
                intervals(sums, draws=draws),
                None if best is None else operating_point(comparison, best),
                None if equal is None else operating_point(comparison, equal),
                {} if reference is None else paired_differences(sums, reference.sums, draws=draws),
                track_metrics(comparison),
                contender.details or {},
            )
        )
    return tuple(rows)


def joint_classes(contenders: Sequence[Contender]) -> tuple[str, ...]:
    """Return the classes of all detectors that occur in the ground truth, then the others.

    Both sides of a pair need the same classes, also where only one detector has a class.
    """
    names: dict[str, None] = {}
    for contender in contenders:
        for result in contender.results:
            for label in np.unique(result.gt.labels[~result.gt.ignore]).tolist():
                names.setdefault(contender.classes[label])
    for contender in contenders:
        for name in contender.classes:
            names.setdefault(name)
    return tuple(names)


def _relabelled(result: FrameResult, old: Sequence[str], new: Sequence[str]) -> FrameResult:
    table = np.array([new.index(name) for name in old], np.int64)
    if np.array_equal(table, np.arange(len(old))):
        return result
    return replace(
        result,
        gt=_with_labels(result.gt, table),
        candidates=_detections_with(result.candidates, table),
        shown=None if result.shown is None else _detections_with(result.shown, table),
        distinct=None if result.distinct is None else _detections_with(result.distinct, table),
    )


def _with_labels(gt: Annotations, table: IntArray) -> Annotations:
    # a class-agnostic ignored region stays below 0
    labels = np.where(gt.labels < 0, gt.labels, table[gt.labels.clip(0)]) if len(gt) else gt.labels
    return replace(gt, labels=labels)


def _detections_with(detections: Detections, table: IntArray) -> Detections:
    if not len(detections):
        return detections
    return replace(detections, labels=table[detections.labels])
