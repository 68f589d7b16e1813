"""Score calibration: expected calibration error, best slope, thresholds."""

from __future__ import annotations

import numpy as np
import pytest
from test_metrics import A, detections_of, gt_of, result_of

from lstmcli.core.calibration import MIN_SCORE, USUAL_THRESHOLD, ScoreCalibration
from lstmcli.metrics.calibration import MIN_TRUE_POSITIVES, best_slope, calibration
from lstmcli.metrics.comparison import compare
from lstmcli.metrics.frame_result import FrameResult

SCORES = np.linspace(0.001, 0.95, 400, dtype=np.float32)


def results_of(accuracies: dict[float, float], count: int = 200) -> list[FrameResult]:
    """Return frames with one detection each: by its score, the share that is correct."""
    results: list[FrameResult] = []
    for score, share in accuracies.items():
        for number in range(count):
            is_right = number < round(share * count)
            gt = gt_of([A] if is_right else [])
            results.append(result_of(len(results), gt, detections_of([A], [score])))
    return results


@pytest.mark.parametrize("slope", [0.5, 1.0, 2.5, 5.0])
def test_the_order_and_the_usual_threshold_stay(slope: float) -> None:
    calibration = ScoreCalibration(slope)
    calibrated = calibration.calibrated(SCORES)
    assert (np.diff(calibrated) >= 0).all()
    assert (np.diff(calibrated[calibrated < 0.999]) > 0).all()
    assert calibrated.dtype == np.float32
    assert calibrated.min() >= 0
    assert calibrated.max() <= 1
    usual = calibration.calibrated(np.array([USUAL_THRESHOLD], np.float32))
    assert usual == pytest.approx(USUAL_THRESHOLD, abs=1e-6)
    assert calibration.raw_score(USUAL_THRESHOLD) == USUAL_THRESHOLD


def test_one_tells_scores_as_they_are() -> None:
    found = detections_of([A], [0.7])
    assert ScoreCalibration().calibrated(found.scores) is found.scores
    assert ScoreCalibration().raw_score(0.42) == 0.42


@pytest.mark.parametrize("slope", [0.5, 2.5, 5.0])
@pytest.mark.parametrize("calibrated", [0.0, 0.01, 0.29, 0.5, 0.9, 0.999, 1.0])
def test_a_score_above_the_raw_threshold_is_calibrated_above_the_threshold(
    slope: float, calibrated: float
) -> None:
    calibration = ScoreCalibration(slope)
    score = calibration.raw_score(calibrated)
    assert 0 <= score <= 1
    if calibrated < 1 and score > MIN_SCORE:
        assert float(calibration.calibrated(np.array([score], np.float32))[0]) >= calibrated
        assert float(calibration.calibrated(np.array([score], np.float32))[0]) == pytest.approx(
            calibrated, abs=1e-3
        )


def test_a_slope_is_found_where_scores_hesitate_more_than_they_err() -> None:
    true = ScoreCalibration(3.0)
    scores = (0.2, 0.3, 0.35, 0.4, 0.5)
    accuracies = {score: float(true.calibrated(np.array([score]))[0]) for score in scores}
    assert best_slope(results_of(accuracies), power=1.0) == pytest.approx(3.0, abs=0.25)
    assert best_slope(results_of({s: s for s in scores}), power=1.0) == pytest.approx(1.0, abs=0.25)


def test_the_slope_is_of_the_scores_as_they_will_be_answered() -> None:
    scores = (0.1, 0.2, 0.4, 0.6)
    squares = {score**0.5: score for score in scores}  # their squares are calibrated
    assert best_slope(results_of(squares), power=2.0) == pytest.approx(1.0, abs=0.25)


def test_few_answers_make_no_curve() -> None:
    assert best_slope(results_of({0.5: 1.0}, MIN_TRUE_POSITIVES - 1), power=1.0) is None
    assert best_slope([], power=1.0) is None


def test_the_error_is_the_distance_between_what_is_told_and_what_is_right() -> None:
    results = results_of({0.65: 0.9, 0.85: 0.85})
    found = calibration(compare(results, ("bird",), threshold=0.3, iou=0.5))
    assert found["error"] == pytest.approx((0.25 + 0.0) / 2, abs=1e-4)
    assert found["bins"] == [
        {"confidence": pytest.approx(0.65), "accuracy": pytest.approx(0.9), "count": 200},
        {"confidence": pytest.approx(0.85), "accuracy": pytest.approx(0.85), "count": 200},
    ]


def test_thresholds_are_mapped_there_and_back() -> None:
    curve = ScoreCalibration(slope=3.0, power=0.8)
    raw = np.array([0.1, 0.2, 0.4], np.float32)
    assert (np.diff(curve.calibrated(raw)) > 0).all()
    for threshold in (0.05, 0.3, 0.7):
        least = np.array([curve.raw_score(threshold)], np.float32)
        assert curve.calibrated(least)[0] == pytest.approx(threshold, abs=1e-4)
    assert curve.raw_score(0.0) == pytest.approx(MIN_SCORE ** (1 / 0.8))


def test_faint_detections_have_a_share_of_the_raw_score() -> None:
    """By hand: without a curve 0.4 of 0.3; a curve of slope 3 makes it logit(.3) + 3 * -1.145."""
    assert ScoreCalibration().faint_threshold(0.3, 0.4) == pytest.approx(0.12)
    assert ScoreCalibration(slope=3.0).faint_threshold(0.3, 0.4) == pytest.approx(0.01362, abs=1e-4)


def test_nothing_shown_has_no_error() -> None:
    found = compare(results_of({0.1: 0.5}), ("bird",), threshold=0.3, iou=0.5)
    assert calibration(found) == {"error": None, "bins": []}
