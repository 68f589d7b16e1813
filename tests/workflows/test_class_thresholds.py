"""The best threshold of each class, stored in a checkpoint, is what `detect` then uses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_evaluate import FakeNetwork, prepare_by_hand
from test_metrics import A, B, detections_of, gt_of, result_of

from lstmcli.core.boxes import Letterbox
from lstmcli.core.calibration import USUAL_THRESHOLD
from lstmcli.core.config_file import load_config
from lstmcli.core.errors import ConfigError, ModelError
from lstmcli.core.metadata import ModelMetadata
from lstmcli.inference.ensemble import Ensemble
from lstmcli.inference.predictor import Postprocessor, RawPrediction
from lstmcli.inference.runtime_pool import RuntimePool
from lstmcli.metrics.operating_point import best_class_thresholds
from lstmcli.models.checkpoint import load_checkpoint, save_checkpoint, store_class_thresholds
from lstmcli.models.detector import DetectorNet
from lstmcli.workflows.evaluate import EvaluateOptions, evaluate

CLASSES = ("bird", "drone", "kite")
STORE = EvaluateOptions(frames_alone=True, store_thresholds=True)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    settings = ["backbone.name=tiny", "backbone.width=0.5", "neck.channels=16"]
    model = DetectorNet(load_config("small", settings), CLASSES[:2], canvas_hw=(32, 48), grid=16)
    path = tmp_path / "best.pt"
    save_checkpoint(
        path,
        model,
        model.state_dict(),
        metrics={"best_threshold": 0.4, "map50": 0.5},
        training={"epoch": 3},
    )
    return path


def test_a_threshold_keeps_what_is_right_of_its_class() -> None:
    """Birds: right at 0.6, wrong at 0.5. Drones: right at 0.1. Of kites there are five."""
    results = [
        result_of(
            frame,
            gt_of([A, B], [0, 1]),
            detections_of([A, B, (0, 90, 5, 95)], [0.6, 0.1, 0.5], [0, 1, 0]),
        )
        for frame in range(25)
    ]
    kites = [result_of(100 + n, gt_of([A], [2]), detections_of([A], [0.7], [2])) for n in range(5)]
    found = best_class_thresholds(results + kites, CLASSES)
    assert found == {"bird": pytest.approx(0.6), "drone": pytest.approx(0.1)}
    assert best_class_thresholds([], CLASSES) == {}


def test_stored_thresholds_bring_each_class_to_the_usual_one(checkpoint: Path) -> None:
    before = load_checkpoint(checkpoint)
    store_class_thresholds(checkpoint, {"bird": 0.6})
    after = load_checkpoint(checkpoint)
    assert before.metadata.class_powers == ()
    powers = after.metadata.class_powers
    assert powers == (pytest.approx(np.log(0.4) / np.log(0.6)), pytest.approx(1.0))
    boxes = np.array([(0, 0, 10, 10), (20, 0, 30, 10)], np.float32)
    scores = np.array([(0.6, 0.0), (0.0, 0.4)], np.float32)
    raw = RawPrediction(boxes, scores, 0.0, Letterbox((32, 48), (32, 48)), True)
    found = Postprocessor(after.metadata, memory=False, threshold=0.25).step(raw)
    np.testing.assert_allclose(found.scores, [USUAL_THRESHOLD] * 2, atol=1e-5)
    assert sorted(found.labels.tolist()) == [0, 1]


def test_a_box_below_the_threshold_of_its_class_is_not_output_as_another(checkpoint: Path) -> None:
    store_class_thresholds(checkpoint, {"bird": 0.6})
    metadata = load_checkpoint(checkpoint).metadata
    boxes = np.array([(0, 0, 10, 10), (20, 0, 30, 10)], np.float32)
    scores = np.array([(0.55, 0.5), (0.7, 0.5)], np.float32)
    raw = RawPrediction(boxes, scores, 0.0, Letterbox((32, 48), (32, 48)), True)
    threshold = metadata.calibration.calibrated(np.array([0.4], np.float32))[0]
    found = Postprocessor(metadata, memory=False, threshold=float(threshold)).step(raw)
    assert found.labels.tolist() == [0]
    np.testing.assert_allclose(found.boxes, boxes[1:], rtol=1e-6)
    every_class = Postprocessor(metadata, memory=False, multi_label=True).step(raw)
    assert len(every_class) == 4


def test_storing_changes_nothing_else_of_a_checkpoint(checkpoint: Path) -> None:
    before = load_checkpoint(checkpoint)
    store_class_thresholds(checkpoint, {"bird": 0.6})
    store_class_thresholds(checkpoint, {"drone": 0.2})  # in place of the earlier ones
    after = load_checkpoint(checkpoint)
    assert after.metrics == dict(before.metrics) | {"class_thresholds": {"drone": 0.2}}
    assert after.training == before.training == {"epoch": 3}
    for name, value in before.model.state_dict().items():
        torch.testing.assert_close(after.model.state_dict()[name], value, rtol=0, atol=0)
    assert [path.name for path in checkpoint.parent.iterdir()] == ["best.pt"]


def test_an_evaluation_stores_the_thresholds_on_request(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stand-in finds five of the six boxes of each video, with a score of 0.9."""
    network = FakeNetwork((0.9, 0.2))
    monkeypatch.setattr(
        "lstmcli.workflows.evaluate.run.open_model",
        lambda *arguments: RuntimePool(lambda shape: network),
    )
    (tmp_path / "set").mkdir()
    data = prepare_by_hand(tmp_path / "set", videos=5)
    done = evaluate(checkpoint, data, STORE)
    assert done.stored_thresholds == {"bird": pytest.approx(0.9)}
    stored = load_checkpoint(checkpoint).metrics["class_thresholds"]
    assert stored == {"bird": pytest.approx(0.9, rel=1e-3)}
    assert stored["bird"] < 0.9, "what it was chosen for is kept"
    plain = evaluate(checkpoint, data, EvaluateOptions(frames_alone=True))
    assert plain.stored_thresholds is None
    assert plain.as_json()["recall"] == done.as_json()["recall"]


def test_models_that_cannot_keep_thresholds_are_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="without --frames-alone"):
        EvaluateOptions(store_thresholds=True)
    with pytest.raises(ModelError, match="in a checkpoint"):
        evaluate("sky", tmp_path / "absent", STORE)
    with pytest.raises(ConfigError, match="store-thresholds of a"):
        evaluate("a.pt,b.pt", tmp_path / "absent", STORE)


def test_exports_and_ensembles_carry_the_powers(checkpoint: Path) -> None:
    metadata = ModelMetadata(("bird", "drone"), (32, 48), class_powers=(2.0, 1.0))
    assert ModelMetadata.from_texts(metadata.as_texts(), "here") == metadata
    for damaged in ([1.0], [0, 1], ["x", 1], [1, float("nan")]):
        texts = metadata.as_texts() | {"class_powers": json.dumps(damaged)}
        with pytest.raises(ModelError, match="invalid model metadata"):
            ModelMetadata.from_texts(texts, "here")

    class With(FakeNetwork):
        def __init__(self, **fields: Any) -> None:
            super().__init__()
            self.metadata = ModelMetadata(("bird", "drone"), (32, 48), **fields)

    assert Ensemble([With(), With()]).metadata.class_powers == ()
    assert Ensemble([With(class_powers=(2.0, 1.0)), With()]).metadata.class_powers == (1.5, 1.0)


@pytest.mark.parametrize("damaged", [{"bird": 0.0}, {"bird": 1.5}, {"bird": "x"}, [0.3]])
def test_damaged_thresholds_are_an_error(checkpoint: Path, damaged: Any) -> None:
    values = torch.load(checkpoint, weights_only=True)
    values["metrics"]["class_thresholds"] = damaged
    torch.save(values, checkpoint)
    with pytest.raises(ModelError, match="damaged"):
        load_checkpoint(checkpoint)
