"""The verdict in words: every case of a comparison and of an evaluation."""

from __future__ import annotations

from typing import Any

import pytest

from lstmcli.report.verdict import comparison_verdict, evaluation_verdict

Interval = dict[str, float | None]


def interval(value: float | None, low: float | None = None, high: float | None = None) -> Interval:
    return {"value": value, "low": low, "high": high}


def compared(difference: Interval) -> dict[str, Any]:
    point = {"precision": 0.8, "recall": 0.5, "flicker_per_minute": 30.0}
    rows = {
        "a": {"difference": {}, "equal_precision": point},
        "b": {
            "difference": {"map50": difference},
            "equal_precision": point | {"recall": 0.6, "flicker_per_minute": 10.0},
        },
    }
    mean = {"mean": 0.5, "worst_domain": "set", "worst": 0.5}
    return {
        "models": ["a", "b"],
        "reference": "a",
        "ranking": ["b", "a"],
        "domains": {"set": rows},
        "over_domains": {"map50": {"a": mean, "b": mean}},
    }


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        (interval(0.1, 0.05, 0.15), "b is better than a: +0.100 mAP50"),
        (interval(-0.1, -0.15, -0.05), "b is worse than a"),
        (interval(0.1, -0.05, 0.2), "cannot be distinguished"),
        (interval(0.1), "With a single video there are no intervals"),
        (interval(None), "cannot be compared: there is no ground truth"),
    ],
)
def test_the_verdict_says_how_sure_a_difference_is(difference: Interval, words: str) -> None:
    sentences = " ".join(comparison_verdict(compared(difference)))
    assert words in sentences
    assert "b finds 60 % of the objects, a 50 %, with 10 instead of 30 flickers" in sentences


@pytest.mark.parametrize(
    ("gains", "words"),
    [
        (
            [interval(0.1, 0.05, 0.15)],
            "finds more: recall +0.100 at equal precision (95 % interval",
        ),
        ([interval(0.0)], "finds as much: recall +0.000"),
        ([interval(-0.1)], "finds less: recall -0.100 at equal precision. With a single video"),
        (
            [interval(0.2, 0.1, 0.3), interval(-0.1, -0.2, -0.05)],
            "+0.050 at equal precision in the mean; surely more in 1 of 2 domains, less in 1.",
        ),
        ([interval(None)], "what memory is worth cannot be measured"),
    ],
)
def test_the_verdict_of_an_ablation_says_what_memory_is_worth(
    gains: list[Interval], words: str
) -> None:
    values = compared(interval(None)) | {
        "memory_gain": {
            f"set {n}": {"net": {"network": {"by_condition": {"all": {"all": {"gain": gain}}}}}}
            for n, gain in enumerate(gains)
        }
    }
    assert words in " ".join(comparison_verdict(values))


def test_the_verdict_of_a_model_says_what_costs_most() -> None:
    values = {
        "map50": 0.45,
        "map50_any_class": 0.7,
        "f1": 0.4,
        "threshold": 0.3,
        "recall": 0.5,
        "precision": 0.35,
        "thresholds": {"best_f1": {"threshold": 0.6, "f1": 0.5}},
        "errors": {"classification": {"map50_cost": 0.2}, "missed": {"map50_cost": None}},
        "calibration": {"error": 0.3},
    }
    text = " ".join(evaluation_verdict(values))
    for words in (
        "fair on this data",
        "wrong class",
        "A threshold of 0.60",
        "wrong classes: 0.200",
    ):
        assert words in text
    assert "only false positives" in evaluation_verdict(values | {"map50": None})[0]
