"""The model that ships is worth shipping."""

from __future__ import annotations

from pathlib import Path

import pytest

from lstmcli.core.model_files import find_checkpoint, shipped_models
from lstmcli.models.checkpoint import load_checkpoint
from lstmcli.workflows.evaluate import EvaluateOptions, evaluate

LARGEST = 12 * 1024 * 1024


def test_the_shipped_model_is_small_and_has_its_classes() -> None:
    assert shipped_models()["sky"].stat().st_size < LARGEST
    checkpoint = load_checkpoint("sky")
    assert checkpoint.classes == ("airplane", "bird", "drone", "helicopter")
    assert checkpoint.model.is_stateful
    temporal = checkpoint.config.temporal  # saved under the names of an earlier release
    assert (temporal.class_memory_s, temporal.box_smoothing_s, temporal.temperature) == (10, 0.2, 2)


def test_a_folder_of_the_same_name_does_not_hide_the_shipped_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sky").mkdir()
    monkeypatch.chdir(tmp_path)
    assert find_checkpoint("sky") == shipped_models()["sky"]


@pytest.mark.real
def test_the_shipped_model_detects_objects_at_unseen_locations(shared: Path) -> None:
    """The first frames of every validation clip; far below what the whole clips score."""
    gt = shared / "data" / "sky" / "val" / "annotations.json"
    scores = evaluate("sky", gt, EvaluateOptions(device="cpu", engine="torch", limit=4)).scores
    assert scores.videos == 35
    assert scores.map50_any_class is not None
    assert scores.map50_any_class > 0.35
    assert scores.map50 is not None
    assert scores.map50 > 0.15


def test_general_is_small_and_detects_everyday_objects() -> None:
    assert shipped_models()["general"].stat().st_size < LARGEST
    checkpoint = load_checkpoint("general")
    assert checkpoint.model.metadata.track_memory.score_memory == 0.5
    assert checkpoint.classes == (
        "person",
        "bicycle",
        "car",
        "motorcycle",
        "bus",
        "truck",
        "animal",
    )
    assert checkpoint.config.head.name == "multi_scale"
