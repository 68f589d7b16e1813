"""Ensembles of networks by weighted boxes fusion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import write_dataset

from lstmcli.core.config_file import load_config
from lstmcli.core.errors import ConfigError
from lstmcli.core.metadata import ModelMetadata
from lstmcli.inference.ensemble import Ensemble, fuse_boxes
from lstmcli.inference.loading import load_runtime
from lstmcli.models.checkpoint import save_checkpoint
from lstmcli.models.detector import DetectorNet
from lstmcli.workflows.evaluate import EvaluateOptions, evaluate


def array(*rows: Any) -> np.ndarray:
    return np.array(rows, np.float32)


NOTHING = (np.zeros((0, 4), np.float32), np.zeros((0, 2), np.float32))


def test_boxes_of_one_object_are_averaged_by_their_scores() -> None:
    """By hand: 0.6 and 0.2 weigh three to one; the scores are the mean of both networks'."""
    boxes, scores = fuse_boxes(
        [
            (array((0, 0, 10, 10)), array((0.6, 0.0))),
            (array((2, 0, 12, 10)), array((0.1, 0.1))),
        ]
    )
    np.testing.assert_allclose(boxes, [(0.5, 0, 10.5, 10)], atol=1e-5)
    np.testing.assert_allclose(scores, [(0.35, 0.05)], atol=1e-6)


def test_an_object_of_one_network_alone_has_a_lower_score() -> None:
    boxes, scores = fuse_boxes([(array((0, 0, 10, 10)), array((0.6, 0.2))), NOTHING])
    np.testing.assert_allclose(boxes, [(0, 0, 10, 10)])
    np.testing.assert_allclose(scores, [(0.3, 0.1)])


def test_two_objects_of_one_network_are_never_fused() -> None:
    both = array((0, 0, 10, 10), (1, 0, 11, 10))
    boxes, _ = fuse_boxes([(both, array((0.6, 0.0), (0.5, 0.0))), NOTHING])
    assert len(boxes) == 2


def test_no_boxes_are_fused_to_no_boxes() -> None:
    boxes, scores = fuse_boxes([NOTHING, NOTHING])
    assert boxes.shape == (0, 4)
    assert scores.shape == (0, 2)


class Fixed:
    """A network that counts its steps and outputs one box."""

    engine, device = "fixed", "cpu"

    def __init__(self, left: float, classes: tuple[str, ...] = ("a", "b")) -> None:
        self.left = left
        self.metadata = ModelMetadata(classes, (64, 96), nms_iou=0.6, max_detections=10)

    def step(self, frame: Any, previous_frame: Any, state: Any) -> tuple[Any, Any, Any]:
        count = 0 if state is None else state
        return array((self.left, 0, self.left + 10, 10)), array((0.8, 0.1)), count + 1


def test_each_member_keeps_its_own_state() -> None:
    ensemble = Ensemble([Fixed(0), Fixed(1)])
    frame, state = np.zeros((64, 96, 3), np.uint8), None
    for _ in range(3):
        boxes, scores, state = ensemble.step(frame, frame, state)
    assert state == (3, 3)
    np.testing.assert_allclose(boxes, [(0.5, 0, 10.5, 10)])
    np.testing.assert_allclose(scores, [(0.8, 0.1)], rtol=1e-6)
    assert ensemble.engine == "2 x fixed"


def test_networks_that_do_not_fit_together_are_an_error() -> None:
    other = Fixed(0, ("a", "c"))
    with pytest.raises(ConfigError, match="differ in classes"):
        Ensemble([Fixed(0), other])


def test_two_runs_are_evaluated_as_one(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "set", frames=4)
    config = load_config("demo")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        torch.manual_seed(len(name) + ord(name[0]))
        model = DetectorNet(config, dataset.classes, canvas_hw=dataset.canvas_hw, grid=8)
        save_checkpoint(tmp_path / name / "best.pt", model, model.state_dict(), metrics={})
    both = f"{tmp_path / 'one'},{tmp_path / 'two'}"
    found = evaluate(both, dataset.folder, EvaluateOptions(engine="torch", device="cpu"))
    assert found.speed.engine == "2 x torch"
    assert found.scores.frames == 4
    network = load_runtime(both, engine="torch", device="cpu")
    alone = load_runtime(tmp_path / "one", engine="torch", device="cpu")
    assert network.metadata == alone.metadata
