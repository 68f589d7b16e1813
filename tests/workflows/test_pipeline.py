"""The pipeline that `detect` and `evaluate` share, with a stand-in for the network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_evaluate import BOX, FakeNetwork, prepare_by_hand

from lstmcli.core.boxes import Letterbox
from lstmcli.core.calibration import ScoreCalibration
from lstmcli.core.metadata import ModelMetadata
from lstmcli.core.types import Detections, Picture
from lstmcli.inference.predictor import Postprocessor, Predictor
from lstmcli.tracking import Tracker
from lstmcli.workflows.evaluate import EvaluateOptions, evaluate
from lstmcli.workflows.evaluate.stream import ranked
from lstmcli.workflows.pipeline import run_pipeline
from lstmcli.workflows.schedule import InferenceSchedule

SIZE_HW = (64, 96)


@dataclass(frozen=True)
class Blank:
    size_hw: tuple[int, int] = SIZE_HW

    def canvas(self, letterbox: Letterbox) -> Picture:
        return np.zeros((*letterbox.canvas_hw, 3), np.uint8)


class OneBox:
    """A runtime that detects one box of class b, with a score that fades."""

    engine, device = "fake", "cpu"

    def __init__(self, slope: float = 1.0) -> None:
        self.metadata = ModelMetadata(("a", "b"), SIZE_HW, calibration=ScoreCalibration(slope))
        self.steps = 0

    def step(self, frame: Picture, previous_frame: Picture, state: Any) -> Any:
        self.steps += 1
        scores = np.array([[0.02, 0.9 - 0.01 * self.steps]], np.float32)
        return np.array([[10, 10, 30, 30]], np.float32), scores, None


def source(frames: int) -> list[tuple[int, float, Blank]]:
    return [(index, index / 25, Blank()) for index in range(frames)]


def found(boxes: list[Any], scores: list[float], labels: list[int]) -> Detections:
    count = len(scores)
    return Detections(
        np.array(boxes, np.float32).reshape(count, 4),
        np.array(scores, np.float32),
        np.array(labels, np.int64),
        np.full(count, -1, np.int64),
    )


def test_frames_without_inference_get_interpolated_boxes() -> None:
    runtime = OneBox()
    items = run_pipeline(
        source(9),
        Predictor(runtime, threshold=0.3),
        schedule=InferenceSchedule(4),
        tracker=Tracker(threshold=0.3),
    )
    got = list(items)
    assert [item.index for item in got] == list(range(9))
    assert [item.should_run for item in got] == [True, False, False, False] * 2 + [True]
    assert runtime.steps == 3
    for item in got:
        assert item.detections is not None
        assert item.detections.track_ids.tolist() == [1]
        np.testing.assert_allclose(item.detections.boxes, [(10, 10, 30, 30)], atol=1e-3)


def test_without_a_tracker_frames_without_inference_are_left_out() -> None:
    items = run_pipeline(
        source(9), Predictor(OneBox(), threshold=0.3), schedule=InferenceSchedule(4)
    )
    assert [item.index for item in items] == [0, 4, 8]


def test_classes_that_are_not_kept_are_dropped_before_they_are_counted() -> None:
    items = run_pipeline(source(3), Predictor(OneBox(), threshold=0.3), kept=frozenset({0}))
    assert [len(item.detections or ()) for item in items] == [0, 0, 0]


def test_a_second_postprocessing_has_every_class_down_to_the_lowest_score() -> None:
    runtime = OneBox()
    items = run_pipeline(
        source(2),
        Predictor(runtime, threshold=0.3),
        second_postprocessor=Postprocessor(runtime.metadata, multi_label=True),
    )
    for item in items:
        assert item.candidates is not None
        assert item.candidates.labels.tolist() == [1, 0]


def test_detections_leave_the_predictor_calibrated() -> None:
    raw = Predictor(OneBox(), threshold=0.3)
    curved = Predictor(OneBox(slope=3.0), threshold=0.3)
    canvas = np.zeros((*SIZE_HW, 3), np.uint8)
    one, two = raw.step(canvas, 0.0), curved.step(canvas, 0.0)
    np.testing.assert_allclose(ScoreCalibration(3.0).calibrated(one.scores), two.scores)
    assert two.scores[0] > one.scores[0] > 0.3


def test_average_precision_ranks_shown_detections_before_candidates() -> None:
    shown = found([(0, 0, 10, 10)], [0.5], [0])
    candidates = found(
        [(1, 0, 11, 10), (1, 0, 11, 10), (50, 0, 60, 10), (50, 30, 60, 40)],
        [0.9, 0.4, 0.8, 0.01],
        [0, 1, 0, 0],
    )
    rows = ranked(shown, candidates, 0.3)
    assert rows.labels.tolist() == [0, 1, 0, 0]  # the first candidate is the shown one
    assert rows.scores[0] == 0.5
    assert (rows.scores[1:] < 0.3).all()
    assert rows.scores.tolist() == sorted(rows.scores.tolist(), reverse=True)
    assert rows.scores[-1] == pytest.approx(0.01)


def test_evaluate_scores_the_output_of_detect_and_reports_the_pipeline(tmp_path: Path) -> None:
    """The stand-in misses each video's first frame; frames lie 40 ms apart."""
    data = prepare_by_hand(tmp_path, videos=2)
    whole = evaluate(FakeNetwork(), data, EvaluateOptions(schedule=False))
    alone = evaluate(FakeNetwork(), data, EvaluateOptions(frames_alone=True))
    values = whole.as_json()
    assert values["schema"] == 2
    assert values["pipeline"] == {
        "tracker": True,
        "schedule": False,
        "interpolation": True,
        "memory": True,
    }
    assert alone.as_json()["pipeline"]["tracker"] is False
    assert whole.scores.frames == alone.scores.frames
    assert {int(i) for r in whole.results for i in r.detections.track_ids} == {1}
    assert {int(i) for r in alone.results for i in r.detections.track_ids} == {-1}
    assert whole.scores.recall == alone.scores.recall
    boxes = [r.detections.boxes for r in whole.results if len(r.detections)]
    np.testing.assert_allclose(np.concatenate(boxes), [BOX] * len(boxes), atol=0.1)


def test_the_schedule_of_detect_is_scored_by_default(tmp_path: Path) -> None:
    done = evaluate(FakeNetwork(), prepare_by_hand(tmp_path, videos=1))
    assert done.pipeline.schedule  # on a CPU; at 25 fps it lets the network run at every frame
    assert done.speed.frames == 5
