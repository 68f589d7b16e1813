"""TIDE error types, track metrics, misses, thresholds and bootstrap: cases worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_metrics import ELSEWHERE, HALF_OF_A, A, B, detections_of, gt_of, result_of

from lstmcli.core.types import Annotations, Detections
from lstmcli.metrics.bootstrap import intervals, mean_and_worst, paired_differences, video_sums
from lstmcli.metrics.comparison import Comparison, compare
from lstmcli.metrics.error_types import ERROR_TYPES, error_types, errors
from lstmcli.metrics.frame_result import FrameResult
from lstmcli.metrics.misses import delay_by_false_alarms, find_misses, misses
from lstmcli.metrics.model_comparison import Contender, side_by_side
from lstmcli.metrics.operating_point import operating_point, threshold_curve, thresholds
from lstmcli.metrics.track_metrics import KEYS, track_metrics

CLASSES = ("bird", "drone")


def comparison_of(*results: FrameResult, threshold: float = 0.5) -> Comparison:
    return compare(results, CLASSES, threshold=threshold, iou=0.5)


def tracked(found: Detections, ids: list[int]) -> Detections:
    return replace(found, track_ids=np.array(ids, np.int64))


def test_every_false_positive_has_one_error_type() -> None:
    overlaps_a_third = (10.0, 10.0, 30.0, 18.0)
    gt = gt_of([A, B], [0, 1])
    found = detections_of(
        [A, A, B, overlaps_a_third, overlaps_a_third, ELSEWHERE],
        [0.9, 0.8, 0.7, 0.6, 0.5, 0.4],
        [0, 0, 0, 0, 1, 0],
    )
    types = error_types(comparison_of(result_of(0, gt, found))).types.tolist()
    names = [list(ERROR_TYPES)[number] if number >= 0 else "right" for number in types]
    assert names == [
        "right",
        "duplicate",
        "classification",
        "localisation",
        "both",
        "background",
    ]


def test_the_target_of_a_classification_error_is_not_missed_but_costs() -> None:
    table = errors(comparison_of(result_of(0, gt_of([A], [0]), detections_of([A], [0.9], [1]))))
    assert table["classification"] == {"count": 1, "map50_cost": 1.0}
    assert table["missed"] == {"count": 0, "map50_cost": 0.0}


def test_a_missed_object_costs_its_share_of_the_recall() -> None:
    gt = gt_of([A, B], [0, 0])
    table = errors(comparison_of(result_of(0, gt, detections_of([A]))))
    assert table["missed"]["count"] == 1  # type: ignore[index,call-overload]
    cost = table["missed"]["map50_cost"]  # type: ignore[index,call-overload]
    # recall reaches 0.5: 51 of COCO's 101 recalls have a precision of 1
    assert cost == pytest.approx(1 - 51 / 101)


def test_errors_without_ground_truth_cost_nothing_that_can_be_measured() -> None:
    table = errors(comparison_of(result_of(0, gt_of([]), detections_of([A]))))
    assert table["background"] == {"count": 1, "map50_cost": None}


def test_a_switch_of_identity_is_counted() -> None:
    frames = [
        result_of(i, gt_of([A], tracks=[7]), tracked(detections_of([A]), [1 if i < 2 else 2]))
        for i in range(4)
    ]
    table = track_metrics(comparison_of(*frames))
    assert table["id_switches"] == 1
    assert table["mota"] == pytest.approx(1 - 1 / 4)
    assert table["idf1"] == pytest.approx(0.5)  # the longer half of the two is its identity
    assert table["ground_truth_tracks"] == 1


def test_an_identity_of_half_the_track_has_half_of_the_association() -> None:
    """Luiten 2020: each half is associated with 2 of 4 boxes, so AssA = 1/2; DetA = 1."""
    frames = [
        result_of(i, gt_of([A], tracks=[7]), tracked(detections_of([A]), [1 if i < 2 else 2]))
        for i in range(4)
    ]
    table = track_metrics(comparison_of(*frames))
    assert table["detection_accuracy"] == pytest.approx(1.0)
    assert table["association_accuracy"] == pytest.approx(0.5)
    assert table["hota"] == pytest.approx(0.5**0.5)


def test_a_track_that_is_lost_and_found_again_is_fragmented() -> None:
    """A is found in 2 of 11 frames, with a loss between them; B in every frame.

    The other track matters: TrackEval does not count a loss in a frame without any detection.
    """
    seen = {0, 5}
    frames = [
        result_of(
            i,
            gt_of([A, B], tracks=[7, 9]),
            tracked(detections_of([A, B] if i in seen else [B]), [1, 2] if i in seen else [2]),
        )
        for i in range(11)
    ]
    table = track_metrics(comparison_of(*frames))
    assert table["fragmentations"] == 1
    assert (table["mostly_tracked"], table["mostly_lost"]) == (1, 1)  # 11/11 and 2/11
    assert table["mota"] == pytest.approx(13 / 22)


def test_perfect_tracks_have_all_metrics_at_one() -> None:
    frames = [
        result_of(i, gt_of([A, B], tracks=[7, 9]), tracked(detections_of([A, B]), [3, 4]))
        for i in range(3)
    ]
    table = track_metrics(comparison_of(*frames))
    assert [table[key] for key in ("hota", "mota", "idf1")] == pytest.approx([1, 1, 1])
    assert (table["id_switches"], table["fragmentations"], table["mostly_tracked"]) == (0, 0, 2)


def test_tracks_are_not_measurable_without_track_ids() -> None:
    table = track_metrics(comparison_of(result_of(0, gt_of([A]), detections_of([A]))))
    assert table == dict.fromkeys(KEYS)


def test_the_longest_miss_comes_first_with_its_time() -> None:
    seen = [True, False, True, False, False, False]
    frames = [
        result_of(i, gt_of([A], tracks=[7]), detections_of([A] if hit else []))
        for i, hit in enumerate(seen)
    ]
    comparison = comparison_of(*frames)
    assert [(miss.first, miss.last) for miss in find_misses(comparison)] == [(3, 5), (1, 1)]
    assert misses(comparison)["longest_s"] == pytest.approx(2 / 25)


def test_delay_is_read_at_equal_rates_of_false_alarms() -> None:
    found = [
        detections_of([ELSEWHERE], [0.6]),
        detections_of([A], [0.5]),
        detections_of([A], [0.9]),
    ]
    frames = [result_of(i, gt_of([A], tracks=[1]), f) for i, f in enumerate(found)]
    delays = delay_by_false_alarms(comparison_of(*frames))
    assert delays[0.1] == 2  # no false alarm in three frames is allowed: only 0.9 is left
    assert delays[0.4] == 1  # one is allowed: every detection counts


def test_the_best_f1_threshold_is_a_score_that_occurs() -> None:
    gt = gt_of([A, B])
    comparison = comparison_of(result_of(0, gt, detections_of([A, B, ELSEWHERE], [0.9, 0.6, 0.2])))
    table = thresholds(comparison)
    best = table["best_f1"]
    assert isinstance(best, dict)
    assert (best["threshold"], best["f1"]) == (pytest.approx(0.6), pytest.approx(1.0))
    assert table["per_class"] == {"bird": pytest.approx(0.6), "drone": None}


def test_the_threshold_of_a_precision_is_the_lowest_that_reaches_it() -> None:
    gt = gt_of([A, B])
    found = detections_of([A, ELSEWHERE, B], [0.9, 0.8, 0.7])
    curve = threshold_curve(comparison_of(result_of(0, gt, found), threshold=0).scored, 2)
    assert curve.threshold_of_precision(2 / 3) == pytest.approx(0.7)
    assert curve.threshold_of_precision(1.0) == pytest.approx(0.9)
    assert threshold_curve(comparison_of().scored, 0).best_f1_threshold is None


def test_an_operating_point_counts_flicker_at_its_own_threshold() -> None:
    scores = [0.9, 0.3, 0.9]
    frames = [
        result_of(i, gt_of([A], tracks=[1]), detections_of([A], [s])) for i, s in enumerate(scores)
    ]
    comparison = comparison_of(*frames)
    assert operating_point(comparison, 0.5).flicker_per_minute == pytest.approx(2 / (2 / 25 / 60))
    assert operating_point(comparison, 0.2).flicker_per_minute == 0


def videos(hits: list[list[bool]], score: float = 0.9) -> Comparison:
    results = [
        result_of(
            i,
            gt_of([A], tracks=[1]),
            detections_of([A] if hit else [], [score] * hit),
            video=str(v),
        )
        for v, row in enumerate(hits)
        for i, hit in enumerate(row)
    ]
    return comparison_of(*results)


def test_bootstrap_values_are_those_of_the_scores() -> None:
    comparison = videos([[True, True], [False, True], [True, False]])
    values = intervals(video_sums(comparison), draws=50)
    assert values["recall"].value == pytest.approx(4 / 6)
    assert values["f1"].value == pytest.approx(2 * 4 / (4 + 6))
    everything = np.ones(len(comparison.gt), bool), np.ones(len(comparison.scored.scores), bool)
    assert values["map50"].value == pytest.approx(comparison.ap50(*everything), abs=1e-6)


def test_equal_detectors_differ_by_nothing_and_a_better_one_significantly() -> None:
    worse = video_sums(videos([[True, False]] * 8))
    better = video_sums(videos([[True, True]] * 8))
    same = paired_differences(worse, worse, draws=50)["map50"]
    assert (same.value, same.low, same.high) == (0, 0, 0)
    gain = paired_differences(better, worse, draws=50)["recall"]
    assert gain.value == pytest.approx(0.5)
    assert gain.is_significant


def test_one_video_has_no_interval() -> None:
    value = intervals(video_sums(videos([[True, False]])))["recall"]
    assert (value.value, value.low, value.high) == (0.5, None, None)


def test_a_paired_bootstrap_wants_the_same_videos() -> None:
    with pytest.raises(ValueError, match="same videos"):
        paired_differences(video_sums(videos([[True]])), video_sums(videos([[True]] * 2)))


def test_mean_and_worst_of_domains_leave_out_what_is_not_measurable() -> None:
    values = {"sky": {"map50": 0.4}, "people": {"map50": 0.8}, "none": {"map50": None}}
    assert mean_and_worst(values, "map50") == (pytest.approx(0.6), "sky", 0.4)
    assert mean_and_worst({}, "map50") == (None, None, None)


@pytest.mark.parametrize("gt", [gt_of([]), gt_of([A], ignore=[True])])
@pytest.mark.parametrize("found", [detections_of([]), detections_of([HALF_OF_A])])
def test_nothing_to_count_is_never_nan(gt: Annotations, found: Detections) -> None:
    comparison = comparison_of(result_of(0, gt, found))
    for table in (errors, track_metrics, misses, thresholds):
        assert "nan" not in str(table(comparison)).lower()
    values = intervals(video_sums(comparison))
    assert all(value.value is None or np.isfinite(value.value) for value in values.values())


def contender(name: str, score: float, hits: list[bool], classes: tuple[str, ...]) -> Contender:
    results = tuple(
        result_of(
            0,
            gt_of([A], [classes.index("bird")], tracks=[1]),
            detections_of([A] if hit else [], [score] * hit, [classes.index("bird")] * hit),
            video=str(v),
        )
        for v, hit in enumerate(hits)
    )
    return Contender(name, classes, results)


def test_detectors_with_other_class_orders_are_compared() -> None:
    one = contender("one", 0.9, [True, False], ("bird", "drone"))
    other = contender("other", 0.2, [True, True], ("plane", "bird"))
    table = side_by_side({"sky": [one, other]}, draws=100)
    first, second = table.domains["sky"]
    assert first.values["recall"].value == pytest.approx(0.5)
    # each at its own best F1: faint scores alone do not lose
    assert second.values["recall"].value == pytest.approx(1.0)
    assert second.difference["recall"].value == pytest.approx(0.5)
    assert table.ranking == ["other", "one"]
    assert "nan" not in str(table.as_json()).lower()


def test_the_worst_domain_is_named() -> None:
    good = contender("one", 0.9, [True, True], ("bird",))
    bad = contender("one", 0.9, [False, True], ("bird",))
    table = side_by_side({"easy": [good], "hard": [bad]}, draws=50)
    mean, worst, value = table.over_domains("recall")["one"]
    assert (mean, worst, value) == (pytest.approx(0.75), "hard", pytest.approx(0.5))
