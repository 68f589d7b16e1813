"""Carrying the state along a stream equals looking at the whole clip at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from lstmcli.core.boxes import Letterbox
from lstmcli.core.calibration import ScoreCalibration
from lstmcli.core.config import Config
from lstmcli.core.devices import choose_device
from lstmcli.core.errors import ConfigError
from lstmcli.core.metadata import ModelMetadata, TrackMemoryConfig
from lstmcli.core.types import FloatArray, Picture
from lstmcli.dataset.clips import previous_frame_positions
from lstmcli.inference.nms import nms, vote
from lstmcli.inference.predictor import Postprocessor, Predictor, RawPrediction
from lstmcli.inference.runtimes.eager import EagerRuntime
from lstmcli.models.checkpoint import load_checkpoint, save_checkpoint
from lstmcli.models.detector import DetectorNet

CANVAS_HW = (32, 48)


def build(lag_s: float = 0.0, core: str = "conv_lstm", class_memory_s: float = 0.0) -> DetectorNet:
    torch.manual_seed(0)
    config = Config.model_validate(
        {
            "backbone": "tiny",
            "neck": {"channels": 8},
            "temporal": {"name": core, "class_memory_s": class_memory_s},
            "input": {"motion_lag_s": lag_s},
        }
    )
    model = DetectorNet(config, ("a", "b"), canvas_hw=CANVAS_HW, grid=8)
    with torch.no_grad():  # so that the memory matters and there are detections
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    return model.eval()


def full_precision(model: DetectorNet) -> EagerRuntime:
    network = EagerRuntime(model)
    network._mixed = False  # some CPUs would compute in bf16
    return network


def canvases(count: int) -> list[Picture]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*CANVAS_HW, 3), dtype=np.uint8) for _ in range(count)]


@torch.inference_mode()
def expected_boxes(
    model: DetectorNet, shown: list[Picture], previous_frames: list[Picture] | None
) -> list[tuple[Any, ...]]:
    """Return what the detector detects in each frame of a clip at once."""

    def stacked(pictures: list[Picture]) -> torch.Tensor:
        return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)[None]

    raw, _ = model(stacked(shown), None if previous_frames is None else stacked(previous_frames))
    boxes, scores = model.head.boxes(raw[0]).numpy(), model.head.scores(raw[0]).numpy()
    found = []
    for each, values in zip(boxes, scores, strict=True):
        rows, labels = nms(each, values, threshold=0.05, iou=model.config.head.nms_iou, limit=100)
        placed = vote(each, values.sum(axis=1), rows, model.config.head.box_voting_iou)
        found.append((placed, values[rows, labels], labels))
    return found


@pytest.mark.parametrize("core", ["none", "conv_lstm", "attention"])
@pytest.mark.parametrize("lag_s", [0.0, 0.08])
def test_a_stream_has_the_output_of_the_whole_clip(core: str, lag_s: float) -> None:
    model, shown = build(lag_s, core), canvases(5)
    times = np.arange(5) / 25
    previous_frames = (
        [shown[index] for index in previous_frame_positions(times, lag_s)] if lag_s else None
    )
    expected = expected_boxes(model, shown, previous_frames)
    predictor = Predictor(full_precision(model), threshold=0.05)
    letterbox = predictor.start(CANVAS_HW)
    assert letterbox.offset_yx == (0, 0)
    for canvas, time_s, (boxes, scores, labels) in zip(shown, times, expected, strict=True):
        found = predictor.step(canvas, float(time_s))
        assert len(found) == len(scores) > 0
        limits = np.array([48, 32, 48, 32], np.float32)
        cut = np.clip(boxes, 0, limits)
        np.testing.assert_allclose(found.boxes, cut, rtol=1e-3, atol=1e-2)
        np.testing.assert_allclose(found.scores, scores, rtol=1e-3, atol=1e-4)
        assert found.labels.tolist() == labels.tolist()
        assert found.track_ids.tolist() == [-1] * len(found)


def test_without_memory_every_frame_is_the_first_one() -> None:
    model, shown = build(), canvases(4)
    forgetful = Predictor(full_precision(model), threshold=0.05, memory=False)
    forgetful.start(CANVAS_HW)
    for number, canvas in enumerate(shown):
        found = forgetful.step(canvas, number / 25)
        fresh = Predictor(full_precision(model), threshold=0.05)
        fresh.start(CANVAS_HW)
        first = fresh.step(canvas, number / 25)
        np.testing.assert_array_equal(found.boxes, first.boxes)
        np.testing.assert_array_equal(found.scores, first.scores)


def test_the_memory_matters_in_these_tests() -> None:
    """Otherwise the one above would show nothing."""
    shown = canvases(2)
    with_memory = Predictor(full_precision(build()), threshold=0.05)
    with_memory.start(CANVAS_HW)
    with_memory.step(shown[0], 0.0)
    second = with_memory.step(shown[1], 0.04)
    with_memory.start(CANVAS_HW)
    alone = with_memory.step(shown[1], 0.04)
    assert not np.array_equal(second.scores, alone.scores)


def test_a_new_video_begins_without_the_old_one() -> None:
    shown = canvases(3)
    predictor = Predictor(full_precision(build(0.08)), threshold=0.05)
    runs = []
    for _ in range(2):
        predictor.start(CANVAS_HW)
        runs.append([predictor.step(canvas, n / 25) for n, canvas in enumerate(shown)])
    for first, second in zip(*runs, strict=True):
        np.testing.assert_array_equal(first.scores, second.scores)


def test_forward_and_postprocess_may_run_in_different_threads() -> None:
    """Two videos run forward before the first is post-processed; each keeps its own state."""
    shown = canvases(4)
    predictor = Predictor(full_precision(build(0.08, class_memory_s=1.0)), threshold=0.05)
    sizes = (CANVAS_HW, (64, 96))
    expected = []
    for size_hw in sizes:
        predictor.start(size_hw)
        expected += [predictor.step(canvas, n / 25) for n, canvas in enumerate(shown)]
    seen = []
    for size_hw in sizes:
        predictor.start(size_hw)
        seen += [predictor.forward(canvas, n / 25) for n, canvas in enumerate(shown)]
    for one, found in zip(seen, expected, strict=True):
        read = predictor.postprocess(one)
        np.testing.assert_array_equal(read.boxes, found.boxes)
        np.testing.assert_array_equal(read.scores, found.scores)


@pytest.mark.parametrize("class_memory_s", [0.0, 1.0])
def test_scores_and_thresholds_are_calibrated(class_memory_s: float) -> None:
    model, shown = build(class_memory_s=class_memory_s), canvases(4)
    plain = Predictor(full_precision(model), threshold=0.04)
    raised_scores = full_precision(model)
    raised_scores.metadata = replace(model.metadata, calibration=ScoreCalibration(power=0.5))
    raised = Predictor(raised_scores, threshold=0.2)
    for predictor in (plain, raised):
        predictor.start(CANVAS_HW)
    for number, canvas in enumerate(shown):
        one, two = (predictor.step(canvas, number / 25) for predictor in (plain, raised))
        assert len(one) > 0
        np.testing.assert_array_equal(one.boxes, two.boxes)
        np.testing.assert_array_equal(one.labels, two.labels)
        np.testing.assert_allclose(np.sqrt(one.scores), two.scores, rtol=1e-5)


def test_boxes_come_in_pixels_of_the_source() -> None:
    """A source of twice the size on a canvas that it fills: twice the coordinates."""
    shown = canvases(1)[0]
    predictor = Predictor(full_precision(build()), threshold=0.05)
    predictor.start(CANVAS_HW)
    small = predictor.step(shown, 0.0)
    predictor.start((64, 96))
    large = predictor.step(shown, 0.0)
    np.testing.assert_allclose(large.boxes, 2 * small.boxes, rtol=1e-5)
    assert large.boxes.dtype == np.float32
    assert large.boxes.min() >= 0
    assert (large.boxes <= np.array([96, 64, 96, 64])).all()


class CalibrationRecorder:
    """A network that detects nothing and records its previous frames."""

    engine, device = "none", "cpu"

    def __init__(self, motion_lag_s: float) -> None:
        self.metadata = ModelMetadata(("a",), (1, 1), motion_lag_s)
        self.previous_frames: list[int] = []

    def step(
        self, frame: Picture, previous_frame: Picture, state: Any
    ) -> tuple[FloatArray, FloatArray, Any]:
        self.previous_frames.append(int(previous_frame[0, 0, 0]))
        return np.zeros((0, 4), np.float32), np.zeros((0, 1), np.float32), None


def earlier_frames(times: list[float], lag_s: float) -> list[int]:
    """Return which frame a predictor shows as the earlier one of each."""
    recorder = CalibrationRecorder(lag_s)
    predictor = Predictor(recorder)
    predictor.start((1, 1))
    for number, time_s in enumerate(times):
        predictor.step(np.full((1, 1, 3), number, np.uint8), time_s)
    return recorder.previous_frames


@pytest.mark.parametrize(
    ("times", "lag_s", "expected"),
    [
        ([0.0, 0.1, 0.2, 0.3, 0.4], 0.2, [0, 0, 0, 1, 2]),
        ([0.0, 0.1, 0.2, 0.3], 0.01, [0, 0, 1, 2]),
        ([0.0, 0.1, 0.2, 0.3], 9.0, [0, 0, 0, 0]),
        ([0.0, 1.0, 2.0, 3.0], 0.2, [0, 0, 1, 2]),
        ([0.0, 0.05, 0.5, 0.52, 0.7], 0.2, [0, 0, 1, 2, 2]),
        ([5.0, 5.1, 5.2, 5.3], 0.1, [0, 0, 1, 2]),
        ([0.0], 0.2, [0]),
        ([1.0, 1.1, 0.0, 0.1], 0.1, [0, 0, 2, 2]),
    ],
)
def test_the_previous_frame_is_the_one_nearest_to_the_lag(
    times: list[float], lag_s: float, expected: list[int]
) -> None:
    assert earlier_frames(times, lag_s) == expected


@pytest.mark.parametrize("rate", [5.0, 12.5, 23.976, 25.0, 29.97, 60.0])
@pytest.mark.parametrize("lag_s", [0.08, 0.2, 0.33])
def test_training_and_prediction_use_the_same_previous_frame(rate: float, lag_s: float) -> None:
    rng = np.random.default_rng(3)
    times = np.cumsum(rng.uniform(0.6, 1.4, 40) / rate)
    assert earlier_frames(times.tolist(), lag_s) == previous_frame_positions(times, lag_s).tolist()


def test_the_predictor_buffers_only_frames_within_the_lag() -> None:
    predictor = Predictor(CalibrationRecorder(0.2))
    predictor.start((1, 1))
    for number in range(500):
        predictor.step(np.zeros((1, 1, 3), np.uint8), number / 25)
    assert len(predictor._recent) <= 7


def test_a_checkpoint_runs_by_its_path(tmp_path: Any) -> None:
    model = build()
    save_checkpoint(tmp_path / "best.pt", model, model.state_dict(), metrics={})
    runtime = EagerRuntime(load_checkpoint(tmp_path).model)
    metadata = runtime.metadata
    assert (metadata.classes, metadata.input_hw, runtime.device) == (("a", "b"), CANVAS_HW, "cpu")


def test_boxes_that_are_suppressed_already_are_all_kept() -> None:
    class Overlapping(CalibrationRecorder):
        def step(self, frame: Picture, previous_frame: Picture, state: Any) -> Any:
            boxes = np.array([[0, 0, 9, 9], [0, 0, 9, 8], [0, 0, 9, 9]], np.float32)
            return boxes, np.array([[0.9], [0.8], [0.7]], np.float32), None

    kept = {}
    for suppression in ("greedy", "none"):
        runtime = Overlapping(0.0)
        runtime.metadata = ModelMetadata(("a",), (10, 10), nms=suppression)  # type: ignore[arg-type]
        predictor = Predictor(runtime)
        predictor.start((10, 10))
        kept[suppression] = len(predictor.step(np.zeros((10, 10, 3), np.uint8), 0.0))
    assert kept == {"greedy": 1, "none": 3}


@pytest.mark.parametrize("device", ["gpu", "cpu:x", "", "mps", "cuda:99"])
def test_a_missing_device_is_an_error(device: str) -> None:
    with pytest.raises(ConfigError) as caught:
        choose_device(device)
    assert "device" in caught.value.problem
    assert caught.value.hint


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["faint first", "strong first"])
def test_two_postprocessings_of_a_prediction_are_those_of_each_alone(
    order: tuple[int, ...],
) -> None:
    """They search for objects once, down to the lower threshold."""
    draw = np.random.default_rng(2)
    metadata = ModelMetadata(
        ("a", "b"), (64, 96), track_memory=TrackMemoryConfig(score_memory=0.5, coast_s=0.2)
    )
    frames = []
    for frame in range(6):
        corners = draw.uniform(0, 60, (80, 2))
        boxes = np.hstack((corners, corners + draw.uniform(4, 30, (80, 2)))).astype(np.float32)
        scores = (draw.random((80, 2)) ** 4).astype(np.float32)
        frames.append((boxes, scores, frame / 25, Letterbox((64, 96), (64, 96)), frame == 0))

    def pair() -> tuple[Postprocessor, Postprocessor]:
        return Postprocessor(metadata, multi_label=True), Postprocessor(metadata, threshold=0.4)

    together, alone = pair(), pair()
    for frame in frames:
        shared = RawPrediction(*frame)
        found = {number: together[number].step(shared) for number in order}
        for number in order:
            wanted = alone[number].step(RawPrediction(*frame))
            for name in ("boxes", "scores", "labels"):
                np.testing.assert_array_equal(getattr(found[number], name), getattr(wanted, name))
        assert len(found[0]) > len(found[1]) > 0


def test_postprocessings_share_a_track_memory_until_they_find_different_objects() -> None:
    metadata = ModelMetadata(
        ("a", "b"), (64, 96), track_memory=TrackMemoryConfig(class_memory_s=1.0)
    )
    draw = np.random.default_rng(3)

    def frame(number: int, faint: int) -> RawPrediction:
        corners = np.array([(0, 0), (40, 0), (0, 30), (40, 30)]) + draw.uniform(0, 2, (4, 2))
        scores = draw.uniform(0.3, 0.5, (4, 2)).astype(np.float32)
        scores[:faint] = 0.02  # between the thresholds of the two
        boxes = np.hstack((corners, corners + 20)).astype(np.float32)
        letterbox = Letterbox((64, 96), (64, 96))
        return RawPrediction(boxes, scores, number / 25, letterbox, number % 6 == 0)

    def pair() -> tuple[Postprocessor, Postprocessor]:
        return Postprocessor(metadata, multi_label=True), Postprocessor(metadata, threshold=0.4)

    together, alone = pair(), pair()
    shared = []
    for number in range(12):
        raw = frame(number, faint=2 if number == 3 else 0)
        found = [postprocessor.step(raw) for postprocessor in together]
        shared.append(len(raw.memory_steps) == 1)
        for postprocessor, both in zip(alone, found, strict=True):
            wanted = postprocessor.step(replace(raw, objects={}, memory_steps=[]))
            for name in ("boxes", "scores", "labels"):
                np.testing.assert_array_equal(getattr(both, name), getattr(wanted, name))
    assert shared == [True] * 3 + [False] * 3 + [True] * 6, "a new video begins a new memory"
