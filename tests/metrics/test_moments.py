"""Moments to look at: cases worked out by hand."""

from __future__ import annotations

from test_metrics import ELSEWHERE, A, B, detections_of, gt_of, result_of

from lstmcli.metrics.comparison import Comparison, compare
from lstmcli.metrics.moments import (
    common_false_positives,
    false_positives,
    longest_misses,
    timelines,
    weak_conditions,
    worst_moments,
)

FRAMES = 100


def detector(*, misses: range, wrong_at: int | None = None, score: float = 0.8) -> Comparison:
    rows = []
    for frame in range(FRAMES):
        boxes = [] if frame in misses else [A]
        scores = [0.9] * len(boxes)
        if frame == wrong_at:
            boxes, scores = [*boxes, ELSEWHERE], [*scores, score]
        rows.append(result_of(frame, gt_of([A], tracks=[3]), detections_of(boxes, scores)))
    return compare(rows, ("bird", "drone"), threshold=0.5, iou=0.5)


def test_the_longest_miss_and_the_false_positive_of_the_highest_score_come_first() -> None:
    one = detector(misses=range(10, 30), wrong_at=80)
    assert [(m.begin_s, m.end_s, m.class_name) for m in longest_misses("a", one)] == [
        (0.4, 1.16, "bird")
    ]
    wrong = false_positives("a", one)
    assert [(m.begin_s, round(m.score or 0, 2)) for m in wrong] == [(3.2, 0.8)]


def test_moments_of_two_detectors_take_turns_and_lie_apart() -> None:
    one, other = detector(misses=range(10, 30)), detector(misses=range(70, 75), wrong_at=80)
    moments = worst_moments({"a": one, "b": other}, 8)
    assert [(m.kind, m.model) for m in moments] == [("miss", "a"), ("miss", "b")]
    assert worst_moments({"a": detector(misses=range(0))}, 8) == []


def test_a_timeline_has_a_score_of_every_detector_at_every_time() -> None:
    compared = {"a": detector(misses=range(10, 30)), "b": detector(misses=range(0))}
    (line,) = timelines(compared)
    assert (line.track, len(line.times)) == (3, FRAMES)
    assert line.scores["a"][10] == 0.0
    assert min(line.scores["b"]) > 0.8


def test_a_false_positive_of_all_detectors_may_be_a_missing_label() -> None:
    same = {name: detector(misses=range(0), wrong_at=50) for name in "ab"}
    assert [m.begin_s for m in common_false_positives(same)] == [2.0]
    differ = same | {"b": detector(misses=range(0), wrong_at=5)}
    assert common_false_positives(differ) == []


def test_a_condition_of_low_recall_is_named() -> None:
    rows = [
        result_of(f, gt_of([A, B], tracks=[1, 2]), detections_of([A] if f < 60 else [A, B]))
        for f in range(FRAMES)
    ]
    found = weak_conditions(compare(rows, ("bird",), threshold=0.5, iou=0.5))
    assert found == [] or found[0][3] < found[0][4]
    empty = compare([result_of(0, gt_of([]), detections_of([]))], ("bird",), threshold=0.5, iou=0.5)
    assert weak_conditions(empty) == []
    assert timelines({"a": empty}) == []
    assert worst_moments({"a": empty}, 4) == []
