"""Conditions of ground truth and the gain of a memory: cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from test_metrics import A, B, detections_of, gt_of, result_of

from lstmcli.metrics.bootstrap import mean_intervals, video_sums
from lstmcli.metrics.comparison import Comparison, compare
from lstmcli.metrics.conditions import conditions, displacement, occlusion_s, visibility
from lstmcli.metrics.frame_result import FrameResult
from lstmcli.metrics.memory_gain import memory_gain

CLASSES = ("bird", "drone")


def comparison_of(*results: FrameResult) -> Comparison:
    return compare(results, CLASSES, threshold=0.5, iou=0.5)


def test_displacement_is_in_sides_of_the_box_a_frame() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [11, 0, 21, 10]], np.float32)
    moved = displacement([np.array([0, 1, 2])], np.array([0, 1, 3]), boxes)
    assert moved.tolist() == pytest.approx([0.1, 0.1, 0.5])
    assert np.isnan(displacement([], np.array([0]), boxes[:1])).all()


def test_a_box_behind_another_one_is_less_visible() -> None:
    front, behind = [5, 0, 15, 12], [0, 0, 10, 10]
    alone = [0, 0, 10, 10]
    visible = visibility(np.array([0, 0, 1]), np.array([front, behind, alone], np.float32))
    assert visible.tolist() == [1.0, 0.5, 1.0]


def test_a_gap_and_a_covered_run_are_occlusions() -> None:
    rows = [np.arange(6)]
    times = np.array([0.0, 1.0, 2.0, 3.0, 9.0, 10.0])
    visible = np.array([1, 0.2, 0.2, 1, 1, 1])
    lengths = occlusion_s(rows, np.array([0, 1, 2, 3, 9, 10]), times, visible)
    assert lengths[0] == -0.5
    assert lengths[1:4].tolist() == [2.0, 2.0, 2.0]
    assert lengths[4:].tolist() == [6.0, 6.0]


def test_memory_gain_compares_at_equal_precision() -> None:
    """Without: A in one frame of four. With: in three, and a faint false positive."""
    frames = [gt_of([A], tracks=[7]) for _ in range(4)]
    nothing = detections_of([])
    without = [result_of(f, gt, detections_of([A]) if f == 0 else nothing, video=v)
               for v in "ab" for f, gt in enumerate(frames)]  # fmt: skip
    found = [detections_of([A]), detections_of([A]), detections_of([A, B], [0.9, 0.2]), nothing]
    with_memory = [result_of(f, gt, found[f], video=v) for v in "ab" for f, gt in enumerate(frames)]
    gain = memory_gain(comparison_of(*without), comparison_of(*with_memory), draws=20)
    everything = gain.by_condition["all"]["all"]
    assert (everything.boxes, everything.without, everything.with_memory) == (8, 0.25, 0.75)
    assert (everything.gain.low, everything.gain.high) == (0.5, 0.5)
    assert gain.precision == 1.0
    assert [(one.video, one.first, one.last) for one in gain.recovered] == [
        ("a", 1, 2),
        ("b", 1, 2),
    ]
    assert "nan" not in str(gain.as_json(CLASSES)).lower()


def test_an_empty_ground_truth_has_no_gain_to_measure() -> None:
    empty = comparison_of(result_of(0, gt_of([]), detections_of([A])))
    gain = memory_gain(empty, empty, draws=10)
    row = gain.by_condition["all"]["all"]
    assert (row.boxes, row.without, row.gain.value) == (0, None, None)
    assert all(not mask.any() for ranges in conditions(empty).values() for mask in ranges.values())


def test_the_interval_of_a_mean_over_domains_draws_videos_within_each() -> None:
    hits = [result_of(0, gt_of([A]), detections_of([A]), video=v) for v in "ab"]
    misses = [result_of(0, gt_of([A]), detections_of([]), video=v) for v in "ab"]
    good, bad = video_sums(comparison_of(*hits)), video_sums(comparison_of(*misses))
    mixed = video_sums(comparison_of(hits[0], misses[1]))
    assert mean_intervals([good, bad], draws=20)["recall"].low == 0.5
    spread = mean_intervals([good, mixed], draws=200)["recall"]
    assert (spread.value, spread.low, spread.high) == (0.75, 0.5, 1.0)
    single = video_sums(comparison_of(hits[0]))
    assert mean_intervals([single], draws=20)["recall"].low is None


def test_draws_are_counted_once() -> None:
    """Intervals, differences and means read the same draws; counting them was most of the time."""
    sums = video_sums(
        comparison_of(*(result_of(0, gt_of([A]), detections_of([A]), video=v) for v in "ab"))
    )
    assert sums.drawn_headlines(20, 0) is sums.drawn_headlines(20, 0)
