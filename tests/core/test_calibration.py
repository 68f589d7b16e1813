"""Scores as they are told to people: how often the answer is right."""

from __future__ import annotations

import numpy as np
import pytest
from test_metrics import A, found_of, result_of, truth_of

from lstmcli.core.calibration import MIN_SCORE, USUAL_THRESHOLD, ScoreCalibration
from lstmcli.metrics.calibration import LEAST_RIGHT, best_slope, calibration
from lstmcli.metrics.comparison import compare
from lstmcli.metrics.frame_result import FrameResult

SCORES = np.linspace(0.001, 0.95, 400, dtype=np.float32)


def answers(rights: dict[float, float], count: int = 200) -> list[FrameResult]:
    """Return frames with one answer each: by its score, the share of them that is right."""
    results: list[FrameResult] = []
    for score, share in rights.items():
        for number in range(count):
            is_right = number < round(share * count)
            gt = truth_of([A] if is_right else [])
            results.append(result_of(len(results), gt, found_of([A], [score])))
    return results


@pytest.mark.parametrize("slope", [0.5, 1.0, 2.5, 5.0])
def test_the_order_and_the_usual_threshold_stay(slope: float) -> None:
    calibration = ScoreCalibration(slope)
    told = calibration.calibrated(SCORES)
    assert (np.diff(told) >= 0).all()
    assert (np.diff(told[told < 0.999]) > 0).all()
    assert told.dtype == np.float32
    assert told.min() >= 0
    assert told.max() <= 1
    usual = calibration.calibrated(np.array([USUAL_THRESHOLD], np.float32))
    assert usual == pytest.approx(USUAL_THRESHOLD, abs=1e-6)
    assert calibration.raw_score(USUAL_THRESHOLD) == USUAL_THRESHOLD


def test_one_tells_scores_as_they_are() -> None:
    found = found_of([A], [0.7])
    assert ScoreCalibration().calibrated(found.scores) is found.scores
    assert ScoreCalibration().raw_score(0.42) == 0.42


@pytest.mark.parametrize("slope", [0.5, 2.5, 5.0])
@pytest.mark.parametrize("told", [0.0, 0.01, 0.29, 0.5, 0.9, 0.999, 1.0])
def test_what_passes_a_threshold_is_not_told_as_less(slope: float, told: float) -> None:
    calibration = ScoreCalibration(slope)
    score = calibration.raw_score(told)
    assert 0 <= score <= 1
    if told < 1 and score > MIN_SCORE:
        assert float(calibration.calibrated(np.array([score], np.float32))[0]) >= told
        assert float(calibration.calibrated(np.array([score], np.float32))[0]) == pytest.approx(
            told, abs=1e-3
        )


def test_a_slope_is_found_where_scores_hesitate_more_than_they_err() -> None:
    true = ScoreCalibration(3.0)
    scores = (0.2, 0.3, 0.35, 0.4, 0.5)
    rights = {score: float(true.calibrated(np.array([score]))[0]) for score in scores}
    assert best_slope(answers(rights), power=1.0) == pytest.approx(3.0, abs=0.25)
    assert best_slope(answers({s: s for s in scores}), power=1.0) == pytest.approx(1.0, abs=0.25)


def test_the_slope_is_of_the_scores_as_they_will_be_answered() -> None:
    scores = (0.1, 0.2, 0.4, 0.6)
    squares = {score**0.5: score for score in scores}  # told as their squares, they are true
    assert best_slope(answers(squares), power=2.0) == pytest.approx(1.0, abs=0.25)


def test_few_answers_make_no_curve() -> None:
    assert best_slope(answers({0.5: 1.0}, LEAST_RIGHT - 1), power=1.0) is None
    assert best_slope([], power=1.0) is None


def test_the_error_is_the_distance_between_what_is_told_and_what_is_right() -> None:
    results = answers({0.65: 0.9, 0.85: 0.85})
    found = calibration(compare(results, ("bird",), threshold=0.3, iou=0.5))
    assert found["error"] == pytest.approx((0.25 + 0.0) / 2, abs=1e-4)
    assert found["bins"] == [
        {"told": pytest.approx(0.65), "right": pytest.approx(0.9), "found": 200},
        {"told": pytest.approx(0.85), "right": pytest.approx(0.85), "found": 200},
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
    found = compare(answers({0.1: 0.5}), ("bird",), threshold=0.3, iou=0.5)
    assert calibration(found) == {"error": None, "bins": []}
