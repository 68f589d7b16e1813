"""Cases worked out by hand, and agreement with COCO's own count."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from faster_coco_eval import COCO, COCOeval_faster
from hypothesis import given, settings
from hypothesis import strategies as st

from lstmcli.core.types import Annotations, Detections
from lstmcli.metrics import METRICS
from lstmcli.metrics.average_precision import average_precision
from lstmcli.metrics.comparison import compare
from lstmcli.metrics.matching import class_agnostic_nms, match_frame
from lstmcli.metrics.motion import motion_iou
from lstmcli.metrics.precision_recall import MIN_TRUE_POSITIVES, best_threshold, precision_recall_f1
from lstmcli.metrics.scoring import FrameResult, Scores, score

CLASSES = ("bird", "drone")
Box = tuple[float, float, float, float]


def gt_of(
    boxes: Sequence[Box],
    labels: Sequence[int] | None = None,
    tracks: Sequence[int] | None = None,
    ignore: Sequence[bool] | None = None,
) -> Annotations:
    n = len(boxes)
    return Annotations(
        np.array(boxes, np.float32).reshape(n, 4),
        np.array([0] * n if labels is None else labels, np.int64),
        np.array(range(n) if tracks is None else tracks, np.int64),
        np.array([False] * n if ignore is None else ignore, np.bool_),
    )


def detections_of(
    boxes: Sequence[Box],
    scores: Sequence[float] | None = None,
    labels: Sequence[int] | None = None,
) -> Detections:
    n = len(boxes)
    return Detections(
        np.array(boxes, np.float32).reshape(n, 4),
        np.array([0.9] * n if scores is None else scores, np.float32),
        np.array([0] * n if labels is None else labels, np.int64),
        np.full(n, -1, np.int64),
    )


def result_of(
    frame: int,
    gt: Annotations,
    found: Detections,
    *,
    video: str = "a",
    steps_before: int | None = None,
) -> FrameResult:
    return FrameResult(video, frame, frame / 25, (100, 100), gt, found, steps_before=steps_before)


A: Box = (10, 10, 30, 30)
B: Box = (50, 50, 80, 80)
HALF_OF_A: Box = (10, 10, 30, 20)
ELSEWHERE: Box = (85, 5, 95, 15)


def test_a_detection_matches_the_box_with_the_highest_iou() -> None:
    shifted: Box = (12, 10, 32, 30)
    rows, _ = match_frame(gt_of([shifted, A]), detections_of([A]), iou=0.5)
    assert rows.tolist() == [1]


def test_the_higher_score_matches_first_and_the_other_is_a_false_positive() -> None:
    rows, ignored = match_frame(gt_of([A]), detections_of([A, A], [0.3, 0.8]), iou=0.5)
    assert rows.tolist() == [-1, 0]
    assert not ignored.any()


def test_an_iou_of_exactly_the_threshold_is_a_match() -> None:
    """Half of the box is an intersection over union of 0.5."""
    assert match_frame(gt_of([A]), detections_of([HALF_OF_A]), iou=0.5)[0].tolist() == [0]
    assert match_frame(gt_of([A]), detections_of([HALF_OF_A]), iou=0.51)[0].tolist() == [-1]


def test_another_class_is_no_match_unless_classes_are_taken_as_one() -> None:
    found = detections_of([A], labels=[1])
    assert match_frame(gt_of([A]), found, iou=0.5)[0].tolist() == [-1]
    assert match_frame(gt_of([A]), found, iou=0.5, by_class=False)[0].tolist() == [0]


def test_a_detection_inside_an_ignored_region_counts_neither_way() -> None:
    region: Box = (0, 0, 100, 100)
    gt = gt_of([region, A], ignore=[True, False])
    rows, ignored = match_frame(gt, detections_of([A, B, ELSEWHERE]), iou=0.5)
    assert rows.tolist() == [1, -1, -1]
    assert ignored.tolist() == [False, True, True]


def test_an_ignored_box_covers_its_own_class_and_one_without_class_covers_all() -> None:
    found = detections_of([A, A], labels=[0, 1])
    own = match_frame(gt_of([A], [0], ignore=[True]), found, iou=0.5)[1]
    every = match_frame(gt_of([A], [-1], ignore=[True]), found, iou=0.5)[1]
    assert own.tolist() == [True, False]
    assert every.tolist() == [True, True]


def test_class_agnostic_nms_keeps_the_best_class_of_an_object() -> None:
    close: Box = (11, 10, 31, 30)
    kept = class_agnostic_nms(detections_of([A, close, B], [0.4, 0.8, 0.2], [0, 1, 0]))
    assert kept.labels.tolist() == [1, 0]
    np.testing.assert_allclose(kept.scores, [0.8, 0.2])


def test_distinct_candidates_that_were_found_before_score_the_same() -> None:
    results = random_results(4)
    before = [replace(r, distinct=class_agnostic_nms(r.candidates)) for r in results]
    theirs, ours = (score(rows, CLASSES, threshold=0.5).as_json() for rows in (results, before))
    assert ours == theirs
    none = [replace(r, distinct=Detections.none()) for r in results]
    assert score(none, CLASSES, threshold=0.5).map50_any_class == 0.0  # they are what is scored


def test_average_precision_by_hand() -> None:
    """True, false, true positive of two boxes: precision 1 up to recall 0.5, then 2/3.

    51 of the 101 recalls are at most 0.5: (51 * 1 + 50 * 2/3) / 101.
    """
    found = detections_of([A, ELSEWHERE, B], [0.9, 0.8, 0.7])
    scores = score([result_of(0, gt_of([A, B]), found)], CLASSES, threshold=0.5)
    assert scores.map50 == pytest.approx((51 + 50 * 2 / 3) / 101)
    assert scores.precision == pytest.approx(2 / 3)
    assert scores.recall == 1.0
    assert scores.f1 == pytest.approx(0.8)


def test_average_precision_and_recall_over_all_overlaps_by_hand() -> None:
    """An overlap of 3/4 is right at the thresholds 0.5 to 0.75, six of the ten."""
    three_quarters: Box = (10, 10, 25, 30)
    scores = score(
        [result_of(0, gt_of([A]), detections_of([three_quarters]))], CLASSES, threshold=0.5
    )
    assert (scores.map, scores.ar) == (pytest.approx(0.6), pytest.approx(0.6))
    bird = scores.as_json()["per_class"]["bird"]
    assert (bird["ap"], bird["ap50"], bird["ar"]) == (pytest.approx(0.6), 1.0, pytest.approx(0.6))


def test_average_recall_does_not_mind_false_positives() -> None:
    found = detections_of([A, ELSEWHERE], [0.3, 0.9])
    scores = score([result_of(0, gt_of([A, B]), found)], CLASSES, threshold=0.5)
    assert scores.ar == pytest.approx(0.5)


def test_a_curve_has_the_precision_at_each_recall() -> None:
    """Right, wrong, right of two boxes: 1 up to a recall of 0.5, then 2/3. No curve of drones."""
    found = detections_of([A, ELSEWHERE, B], [0.9, 0.8, 0.7])
    curves = score([result_of(0, gt_of([A, B]), found)], CLASSES, threshold=0.5).curves
    assert list(curves) == ["bird"]
    np.testing.assert_allclose(curves["bird"], [1.0] * 51 + [2 / 3] * 50, rtol=1e-6)


def test_videos_are_counted_apart() -> None:
    """One of two boxes in the first video; in the second a false positive, and nothing to find."""
    results = [
        result_of(0, gt_of([A, B]), detections_of([A]), video="a"),
        result_of(0, gt_of([]), detections_of([A]), video="b"),
        result_of(1, gt_of([]), detections_of([]), video="b"),
    ]
    parts = score(results, CLASSES, threshold=0.5).as_json()["by_video"]
    one, other = parts["a"], parts["b"]
    assert (one["frames"], one["boxes"], one["detections"], one["true_positives"]) == (1, 2, 1, 1)
    assert (one["precision"], one["recall"], one["f1"]) == (1.0, 0.5, pytest.approx(2 / 3))
    assert one["map50"] == pytest.approx(51 / 101)
    assert (other["frames"], other["boxes"], other["detections"]) == (2, 0, 1)
    assert (other["precision"], other["recall"], other["f1"], other["map50"]) == (0.0, *[None] * 3)


def test_the_threshold_decides_precision_and_recall_but_not_average_precision() -> None:
    found = detections_of([A, ELSEWHERE, B], [0.9, 0.8, 0.7])
    results = [result_of(0, gt_of([A, B]), found)]
    low, high = (score(results, CLASSES, threshold=t) for t in (0.1, 0.75))
    assert low.map50 == high.map50
    assert (high.precision, high.recall) == (0.5, 0.5)


def test_the_iou_threshold_decides_precision_but_not_average_precision() -> None:
    results = [result_of(0, gt_of([A]), detections_of([HALF_OF_A]))]
    loose, strict = (score(results, CLASSES, threshold=0.5, iou=iou) for iou in (0.5, 0.75))
    assert (loose.recall, strict.recall) == (1.0, 0.0)
    assert loose.map50 == strict.map50 == pytest.approx(1.0)


def test_a_class_without_ground_truth_is_null_and_does_not_pull_the_mean_down() -> None:
    found = detections_of([A, B], labels=[0, 1])
    scores = score([result_of(0, gt_of([A]), found)], CLASSES, threshold=0.5)
    drone = scores.as_json()["per_class"]["drone"]
    assert scores.map50 == pytest.approx(1.0)
    assert (drone["ap"], drone["ap50"], drone["recall"], drone["f1"]) == (None,) * 4
    assert (drone["precision"], drone["detections"], drone["boxes"]) == (0.0, 1, 0)


def test_a_wrong_class_on_the_object_is_correct_only_without_class() -> None:
    scores = score(
        [result_of(0, gt_of([A]), detections_of([A], labels=[1]))], CLASSES, threshold=0.5
    )
    assert scores.map50 == 0.0
    assert scores.map50_any_class == pytest.approx(1.0)
    assert scores.as_json()["confusion"]["counts"] == [[0, 1, 0], [0, 0, 0], [0, 0, 0]]


def test_the_confusion_matrix_counts_missed_objects_and_false_positives() -> None:
    results = [result_of(0, gt_of([A, B], [0, 1]), detections_of([A, ELSEWHERE], labels=[0, 1]))]
    counts = score(results, CLASSES, threshold=0.5).as_json()["confusion"]["counts"]
    assert counts == [[1, 0, 0], [0, 0, 1], [0, 1, 0]]


def test_shown_detections_may_differ_from_the_candidates_of_average_precision() -> None:
    both = detections_of([A, A], [0.9, 0.8], [0, 1])
    result = FrameResult("a", 0, 0.0, (100, 100), gt_of([A]), both, shown=class_agnostic_nms(both))
    assert score([result], CLASSES, threshold=0.5).precision == 1.0
    alone = FrameResult("a", 0, 0.0, (100, 100), gt_of([A]), both)
    assert score([alone], CLASSES, threshold=0.5).precision == 0.5


@pytest.mark.parametrize(
    ("true_positives", "detections", "boxes", "expected"),
    [
        (0, 0, 0, (None, None, None)),
        (0, 0, 5, (0.0, 0.0, 0.0)),
        (0, 3, 0, (0.0, None, None)),
        (2, 4, 8, (0.5, 0.25, 1 / 3)),
    ],
)
def test_precision_recall_and_f1(
    true_positives: int, detections: int, boxes: int, expected: tuple[float | None, ...]
) -> None:
    assert precision_recall_f1(true_positives, detections, boxes) == pytest.approx(expected)


def random_results(seed: int, *, crowds: bool = True) -> list[FrameResult]:
    rng = np.random.default_rng(seed)
    results = []
    for frame in range(int(rng.integers(1, 12))):
        n, extra = int(rng.integers(0, 5)), int(rng.integers(0, 6))
        corners = rng.uniform(0, 400, (n + extra, 2))
        sides = rng.uniform(4, 180, (n + extra, 2))
        boxes = np.hstack((corners, corners + sides)).astype(np.float32)
        labels = rng.integers(0, 2, n + extra)
        ignore = rng.random(n) < (0.2 if crowds else 0)
        near = boxes + rng.normal(0, 6, boxes.shape).astype(np.float32)
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 1)
        scores = np.round(rng.random(n + extra), 1).astype(np.float32)
        results.append(
            FrameResult(
                "ab"[frame % 2],
                frame,
                frame / 25,
                (600, 600),
                Annotations(boxes[:n], labels[:n], np.arange(n), ignore),
                Detections(near, scores, labels, np.full(n + extra, -1)),
            )
        )
    return results


def coco_by_the_book(results: Sequence[FrameResult], *, classes: bool) -> np.ndarray:
    """Return COCO's stats from hand-made dictionaries, independently of ours."""
    images: list[Any] = []
    gt: list[Any] = []
    found: list[Any] = []
    for image, result in enumerate(
        sorted(results, key=lambda r: (r.video != results[0].video, r.frame)), start=1
    ):
        images.append({"id": image, "width": 600, "height": 600})
        for box, label, ignore in zip(
            result.gt.boxes, result.gt.labels, result.gt.ignore, strict=True
        ):
            x1, y1, x2, y2 = map(float, box)
            gt.append(
                {
                    "id": len(gt) + 1,
                    "image_id": image,
                    "category_id": int(label) if classes else 0,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": (x2 - x1) * (y2 - y1),
                    "iscrowd": int(ignore),
                }
            )
        for box, label, value in zip(
            result.candidates.boxes, result.candidates.labels, result.candidates.scores, strict=True
        ):
            x1, y1, x2, y2 = map(float, box)
            found.append(
                {
                    "image_id": image,
                    "category_id": int(label) if classes else 0,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "score": float(value),
                }
            )
    categories = [{"id": label, "name": str(label)} for label in ((0, 1) if classes else (0,))]
    coco = COCO({"images": images, "categories": categories, "annotations": gt})
    run = COCOeval_faster(coco, coco.loadRes(found) if found else COCO(), "bbox")
    run.run()
    return np.asarray(run.stats)


@pytest.mark.parametrize("seed", range(12))
def test_average_precision_is_cocos(seed: int) -> None:
    """Against pycocotools' rules as faster-coco-eval has them, crowds included."""
    results = random_results(seed)
    if not any(len(result.candidates) for result in results):
        pytest.skip("a case without detections")
    stats = coco_by_the_book(results, classes=True)
    scores = score(results, CLASSES, threshold=0.5)
    sizes = scores.as_json()["by_size"]
    ours = [
        scores.map,
        scores.map50,
        scores.ar,
        *(sizes[name]["map"] for name in ("small", "medium", "large")),
    ]
    for mine, theirs in zip(ours, stats[[0, 1, 8, 3, 4, 5]], strict=True):
        assert (-1 if mine is None else mine) == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize("seed", range(20, 32))
def test_our_own_count_of_ap50_is_cocos(seed: int) -> None:
    """The count that serves parts of the data, on all of the data."""
    comparison = compare(random_results(seed), CLASSES, threshold=0.5, iou=0.5)
    matching, gt = comparison.scored, comparison.gt
    for label in range(2):
        counted = ~matching.ignored & (matching.labels == label)
        ours = average_precision(matching, counted, int((gt.labels == label).sum()))
        assert (-1 if ours is None else ours) == pytest.approx(
            comparison.coco.ap50[label, 0], abs=1e-6
        )


def test_motion_is_the_overlap_with_neighbours_in_time() -> None:
    """A box of 10 that moves by 5 a frame: 1/3 to the next, 0 to the one after."""
    boxes = np.array([(x, 0, x + 10, 10) for x in (0, 5, 10)], np.float32)
    zeros = np.zeros(3, np.int64)
    motion = motion_iou(zeros, zeros, np.arange(3), boxes)
    np.testing.assert_allclose(motion, [1 / 6, 1 / 3, 1 / 6], atol=1e-6)


def test_motion_counts_ten_frames_before_and_after_of_the_track_alone() -> None:
    frames = np.array([0, 4, 10, 11, 21, 4, 4])
    tracks, videos = np.array([7, 7, 7, 7, 7, 8, 7]), np.array([0, 0, 0, 0, 0, 0, 1])
    boxes = np.array([(0, 0, 10 + 2 * row, 10) for row in range(7)], np.float32)
    width = boxes[:, 2]
    near = {0: [1, 2], 1: [0, 2, 3], 2: [0, 1, 3], 3: [1, 2, 4], 4: [3]}
    motion = motion_iou(videos, tracks, frames, boxes)
    for row, others in near.items():
        pairs = [(width[row], width[other]) for other in others]
        assert motion[row] == pytest.approx(np.mean([min(pair) / max(pair) for pair in pairs]))
    assert np.isnan(motion[5:]).all()


def test_motion_needs_a_track_and_a_neighbour_within_ten_frames() -> None:
    boxes = np.tile(np.array([A], np.float32), (4, 1))
    motion = motion_iou(
        np.zeros(4, np.int64), np.array([0, 0, 1, -1]), np.array([0, 11, 0, 0]), boxes
    )
    assert np.isnan(motion).all()


def test_slow_and_fast_objects_are_counted_apart() -> None:
    results = []
    for frame in range(4):
        runner: Box = (20.0 * frame, 60, 20.0 * frame + 10, 70)
        gt = gt_of([A, runner])
        results.append(result_of(frame, gt, detections_of([A])))
    parts = score(results, CLASSES, threshold=0.5).as_json()["by_motion"]
    assert (parts["slow"]["recall"], parts["slow"]["map50"]) == (1.0, pytest.approx(1.0))
    assert (parts["fast"]["recall"], parts["fast"]["map50"]) == (0.0, 0.0)
    assert (parts["medium"]["boxes"], parts["medium"]["map50"]) == (0, None)


def test_sizes_are_counted_by_pixels_and_by_share_of_the_frame() -> None:
    large: Box = (0, 0, 98, 98)
    parts = score(
        [result_of(0, gt_of([A, large]), detections_of([A]))], CLASSES, threshold=0.5
    ).as_json()["by_size"]
    assert (parts["small"]["boxes"], parts["small"]["recall"]) == (1, 1.0)
    assert (parts["large"]["boxes"], parts["large"]["recall"]) == (1, 0.0)
    assert parts["16%+ of frame"]["boxes"] == 2
    assert parts["0-2% of frame"]["map50"] is None


def test_the_first_frames_of_a_stream_are_counted_apart() -> None:
    results = [
        result_of(
            1000 + step, gt_of([A]), detections_of([A] if step >= 5 else []), steps_before=step
        )
        for step in range(25)
    ]
    parts = score(results, CLASSES, threshold=0.5).as_json()["by_step"]
    assert [parts[name]["frames"] for name in ("0-4", "5-19", "20+")] == [5, 15, 5]
    assert [parts[name]["recall"] for name in ("0-4", "5-19", "20+")] == [0.0, 1.0, 1.0]


def stream(pattern: str, *, frames: Sequence[int] | None = None) -> list[FrameResult]:
    """Return a track that is found where the pattern has 1, lost at 0 and absent at a dot."""
    places = range(len(pattern)) if frames is None else frames
    return [
        result_of(
            frame, gt_of([A] if sign != "." else []), detections_of([A] if sign == "1" else [])
        )
        for frame, sign in zip(places, pattern, strict=True)
    ]


def stability_of(results: Sequence[FrameResult]) -> Any:
    return score(results, CLASSES, threshold=0.5).as_json()["stability"]


def test_flicker_is_changes_per_minute_of_the_objects_time() -> None:
    """26 frames at 25 a second are a second; 2 changes a second are 120 a minute."""
    values = stability_of(stream("1" * 10 + "0" * 6 + "1" * 10))
    assert values["flicker_per_minute"] == pytest.approx(120)
    assert values["fragment_error"] == pytest.approx(2 / 25)


def test_a_gap_in_the_ground_truth_is_neither_time_nor_change() -> None:
    """Four pairs of neighbours: 4/25 s, no change within them."""
    values = stability_of(stream("111...000"))
    assert values["flicker_per_minute"] == 0.0
    assert stability_of(stream("101...101"))["flicker_per_minute"] == pytest.approx(
        4 / (4 / 25 / 60)
    )


def test_flicker_of_the_class_is_no_flicker_of_the_box() -> None:
    results = [
        result_of(frame, gt_of([A]), detections_of([A], labels=[frame % 2])) for frame in range(26)
    ]
    values = stability_of(results)
    assert values["flicker_per_minute"] == pytest.approx(25 * 60)
    assert values["flicker_per_minute_any_class"] == 0.0


def test_the_delay_counts_source_frames_until_the_first_detection() -> None:
    assert stability_of(stream("0011"))["delay_frames"] == 2
    assert stability_of(stream("0011", frames=(0, 5, 10, 15)))["delay_frames"] == 10
    never = stability_of(stream("0000"))
    assert (never["delay_frames"], never["tracks_never_found"]) == (4, 1)


def test_a_constant_offset_is_no_jitter_and_a_varying_one_is() -> None:
    """Centres swing by +-1 of 20 pixels in x: a standard deviation of 0.05."""
    interpolate_gaps: Box = (12, 10, 32, 30)
    calm = stability_of(
        [result_of(f, gt_of([A]), detections_of([interpolate_gaps])) for f in range(4)]
    )
    assert calm["centre_error"] == pytest.approx(0, abs=1e-6)
    swing = stability_of(
        [
            result_of(f, gt_of([A]), detections_of([(10 + s, 10, 30 + s, 30)]))
            for f, s in enumerate((1, -1, 1, -1))
        ]
    )
    assert swing["centre_error"] == pytest.approx(0.05, abs=1e-6)
    assert swing["scale_error"] == pytest.approx(0, abs=1e-6)


def test_breathing_boxes_have_a_scale_error() -> None:
    """Sides of 20 and 16 in turn: ratios 1 and 0.8, a standard deviation of 0.1."""
    boxes: list[Box] = [A, (12, 12, 28, 28)]
    values = stability_of(
        [result_of(f, gt_of([A]), detections_of([boxes[f % 2]])) for f in range(4)]
    )
    assert values["scale_error"] == pytest.approx(0.1, abs=1e-6)


def test_without_tracks_stability_is_null() -> None:
    values = stability_of([result_of(0, gt_of([A], tracks=[-1]), detections_of([A]))])
    assert values["flicker_per_minute"] is None
    assert values["delay_frames"] is None


def numbers_in(value: object) -> list[float]:
    if isinstance(value, dict):
        return [n for inner in value.values() for n in numbers_in(inner)]
    if isinstance(value, list):
        return [n for inner in value for n in numbers_in(inner)]
    return [float(value)] if isinstance(value, int | float) else []


EMPTY_CASES: dict[str, list[FrameResult]] = {
    "no frames": [],
    "nothing there, nothing found": [result_of(0, gt_of([]), detections_of([]))],
    "nothing there, something found": [result_of(0, gt_of([]), detections_of([A]))],
    "something there, nothing found": [result_of(0, gt_of([A]), detections_of([]))],
    "only ignored": [result_of(0, gt_of([A], ignore=[True]), detections_of([A]))],
    "one frame": [result_of(0, gt_of([A]), detections_of([A]))],
    "unannotated frames between": [
        result_of(frame, gt_of([A]), detections_of([A])) for frame in (0, 40, 41, 500)
    ],
    "no tracks": [
        result_of(frame, gt_of([A], tracks=[-1]), detections_of([A])) for frame in range(3)
    ],
}


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("case", EMPTY_CASES)
@pytest.mark.parametrize("classes", [("bird",), CLASSES], ids=["one class", "two classes"])
def test_a_metric_gives_plain_finite_values(name: str, case: str, classes: tuple[str, ...]) -> None:
    values = METRICS[name](compare(EMPTY_CASES[case], classes, threshold=0.5, iou=0.5))
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    assert all(math.isfinite(number) for number in numbers_in(values))


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_is_independent_of_the_order_of_results(name: str) -> None:
    results = random_results(3)
    forwards = METRICS[name](compare(results, CLASSES, threshold=0.5, iou=0.5))
    backwards = METRICS[name](compare(results[::-1], CLASSES, threshold=0.5, iou=0.5))
    left, right = numbers_in(forwards), numbers_in(backwards)
    if name == "by_video":
        left, right = sorted(left), sorted(right)
    assert left == pytest.approx(right)


def other_class_order(results: Sequence[FrameResult]) -> list[FrameResult]:
    """Return results whose labels are those of the classes in reverse."""
    return [
        replace(
            result,
            gt=replace(result.gt, labels=1 - result.gt.labels),
            candidates=replace(result.candidates, labels=1 - result.candidates.labels),
        )
        for result in results
    ]


def by_name(value: object) -> object:
    """Return the values with the keys of their tables in the order of the alphabet."""
    if isinstance(value, dict):
        return {key: by_name(value[key]) for key in sorted(value)}
    return value


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_is_independent_of_the_order_of_classes(name: str) -> None:
    results = random_results(5)
    ours = METRICS[name](compare(results, CLASSES, threshold=0.5, iou=0.5))
    turned = compare(other_class_order(results), CLASSES[::-1], threshold=0.5, iou=0.5)
    theirs = METRICS[name](turned)
    if name == "confusion":  # its order is that of the classes
        order = [1, 0, 2]
        counts = np.array(ours["counts"])
        assert theirs["counts"] == counts[np.ix_(order, order)].tolist()
        return
    assert numbers_in(by_name(ours)) == pytest.approx(numbers_in(by_name(theirs)), nan_ok=False)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_the_ground_truth_as_detections_is_perfect(seed: int) -> None:
    results = [
        FrameResult(
            r.video,
            r.frame,
            r.time_s,
            r.size_hw,
            r.gt,
            Detections(
                r.gt.boxes,
                np.ones(len(r.gt), np.float32),
                r.gt.labels,
                np.full(len(r.gt), -1),
            ),
        )
        for r in random_results(seed, crowds=False)
    ]
    scores = score(results, CLASSES, threshold=0.5)
    if scores.boxes:
        assert (scores.map, scores.map50, scores.f1) == pytest.approx((1, 1, 1))
        assert scores.as_json()["stability"]["flicker_per_minute"] in (0.0, None)
    else:
        assert (scores.map, scores.map50, scores.f1) == (None, None, None)


def test_the_scores_have_the_names_of_the_contract() -> None:
    values = Scores.as_json(score(stream("1"), CLASSES, threshold=0.5))
    assert {
        *("videos", "frames", "boxes", "threshold", "map", "map50", "map50_any_class"),
        *("precision", "recall", "f1", "per_class", "by_size", "by_motion", "stability"),
    } <= set(values)
    assert {"ap", "ap50", "precision", "recall", "f1", "boxes"} <= set(values["per_class"]["bird"])
    assert {
        *("flicker_per_minute", "fragment_error", "centre_error", "scale_error", "delay_frames")
    } <= set(values["stability"])


@pytest.mark.parametrize(
    ("correct", "wrong", "best"),
    [
        ([0.5] * 30, [0.2] * 30, 0.2),  # the lowest threshold that leaves the wrong ones out
        ([0.9] * 10 + [0.21] * 20, [0.2] * 30, 0.2),
        ([0.9] * 30, [], 0.05),
        ([0.12] * 30, [0.5] * 5, 0.05),  # not all of the wrong ones can be left out
        ([0.9] * (MIN_TRUE_POSITIVES - 1), [0.2] * 30, None),
    ],
)
def test_the_best_threshold_is_where_f1_is_highest(
    correct: list[float], wrong: list[float], best: float | None
) -> None:
    far = (500.0, 500.0, 520.0, 520.0)
    hits = [
        result_of(n, gt_of([A]), detections_of([A], [score])) for n, score in enumerate(correct)
    ]
    misses = [
        result_of(len(hits) + n, gt_of([]), detections_of([far], [score]))
        for n, score in enumerate(wrong)
    ]
    assert best_threshold(hits + misses) == best
