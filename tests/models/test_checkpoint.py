"""Weights on disk: what went in comes out; what is damaged, foreign or hostile does not."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from lstmcli.core.config import Config
from lstmcli.core.errors import ModelError, OutputError
from lstmcli.core.renamed_settings import RENAMED_SETTINGS
from lstmcli.models.checkpoint import (
    find_checkpoint,
    load_checkpoint,
    save_checkpoint,
    save_shipped,
)
from lstmcli.models.detector import DetectorNet
from lstmcli.models.renamed_weights import RENAMED_WEIGHTS

SETTINGS: dict[str, Any] = {"backbone": "tiny", "neck": {"channels": 8}, "temporal": "conv_lstm"}


@pytest.fixture(scope="module")
def model() -> DetectorNet:
    """A small network that knows two classes."""
    torch.manual_seed(0)
    config = Config.model_validate(SETTINGS)
    return DetectorNet(config, ("cat", "dog"), canvas_hw=(32, 64), grid=8).eval()


@pytest.fixture
def saved(model: DetectorNet, tmp_path: Path) -> Path:
    """Its checkpoint."""
    path = tmp_path / "best.pt"
    save_checkpoint(path, model, model.state_dict(), metrics={"map50": 0.5, "epoch": 3})
    return path


def rewrite(path: Path, **changes: Any) -> Path:
    """Change what a checkpoint holds; None takes a key away."""
    values = torch.load(path, weights_only=True) | changes
    torch.save({key: value for key, value in values.items() if value is not None}, path)
    return path


def test_a_saved_checkpoint_is_loaded(saved: Path, model: DetectorNet) -> None:
    loaded = load_checkpoint(saved)
    assert (loaded.classes, loaded.canvas_hw, loaded.model.grid) == (("cat", "dog"), (32, 64), 8)
    assert loaded.config == model.config
    assert loaded.metrics == {"map50": 0.5, "epoch": 3}
    assert not loaded.training
    assert not loaded.model.training
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], value), name
    assert [path.name for path in saved.parent.iterdir()] == ["best.pt"]


@pytest.mark.parametrize(
    ("best", "calibrated"),
    [(0.2, 0.3), (0.3, 0.3), (0.5, 0.3), (None, 0.2), (0.0, 0.2), (1.0, 0.2)],
)
def test_the_best_threshold_is_calibrated_to_the_usual_one(
    best: float | None, calibrated: float, model: DetectorNet, tmp_path: Path
) -> None:
    metrics = {} if best is None else {"best_threshold": best}
    save_checkpoint(tmp_path / "best.pt", model, model.state_dict(), metrics=metrics)
    save_shipped(tmp_path / "shipped.safetensors", model, metrics=metrics)
    for name in ("best.pt", "shipped.safetensors"):
        power = load_checkpoint(tmp_path / name).metadata.calibration.power
        score = best if best in (0.2, 0.3, 0.5) else 0.2
        assert score**power == pytest.approx(calibrated)


def test_the_calibration_is_saved(model: DetectorNet, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "best.pt", model, model.state_dict(), metrics={"score_slope": 2.5})
    assert load_checkpoint(tmp_path / "best.pt").metadata.calibration.slope == 2.5
    save_checkpoint(tmp_path / "best.pt", model, model.state_dict(), metrics={})
    assert load_checkpoint(tmp_path / "best.pt").metadata.calibration.slope == 1


def test_a_shipped_model_has_the_output_of_its_source(model: DetectorNet, tmp_path: Path) -> None:
    """Half precision keeps three digits."""
    path = tmp_path / "birds.safetensors"
    save_shipped(path, model, metrics={"map50": 0.5})
    shipped = load_checkpoint(path)
    assert shipped.classes == model.classes
    assert shipped.metrics == {"map50": 0.5}
    frames = torch.randint(0, 256, (1, 2, 3, 32, 64), dtype=torch.uint8)
    with torch.inference_mode():
        expected, _ = model(frames)
        answered, _ = shipped.model(frames)
    torch.testing.assert_close(answered, expected, rtol=2e-2, atol=2e-2)
    assert path.stat().st_size < 4 * sum(v.numel() for v in model.state_dict().values())


def test_a_run_is_its_best_checkpoint_or_else_its_last(saved: Path) -> None:
    run = saved.parent
    assert find_checkpoint(run) == saved
    saved.rename(run / "last.pt")
    assert find_checkpoint(run) == run / "last.pt"


def test_the_weights_of_the_backbone_are_not_read_again(saved: Path) -> None:
    config = torch.load(saved, weights_only=True)["config"]
    config["backbone"]["weights"] = "a-file-of-another-machine.pth"
    assert load_checkpoint(rewrite(saved, config=config)).config.backbone.weights == "none"


def test_a_checkpoint_with_the_old_names_of_settings_is_loaded(saved: Path) -> None:
    config = torch.load(saved, weights_only=True)["config"]
    for old, new in RENAMED_SETTINGS.items():
        section, key = old.split(".")
        config[section][key] = config[section].pop(new.split(".")[1])
    config["temporal"]["evidence_s"] = 7.0
    loaded = load_checkpoint(rewrite(saved, config=config))
    assert loaded.config.temporal.class_memory_s == 7.0
    assert loaded.config.train == Config().train


@pytest.mark.parametrize("core", ["conv_lstm", "lstm", "gru", "attention", "object_lstm"])
@pytest.mark.parametrize("head", ["anchor_free", "classic"])
def test_weights_under_the_old_keys_are_loaded(core: str, head: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    temporal = {"name": core, "channels": 16, "skip": "concat"}
    config = Config.model_validate(SETTINGS | {"temporal": temporal, "head": head})
    model = DetectorNet(config, ("cat", "dog"), canvas_hw=(32, 64), grid=8).eval()
    path = tmp_path / "best.pt"
    weights = model.state_dict()
    average = {"n_averaged": torch.tensor(3)} | {f"module.{k}": v for k, v in weights.items()}
    training = {"model": weights, "ema": average}
    save_checkpoint(path, model, weights, metrics={}, training=training)
    old = {name: under_the_old_key(name, value, core) for name, value in weights.items()}
    assert any(key != name for name, (key, _) in old.items())
    loaded = load_checkpoint(
        rewrite(
            path,
            weights=dict(old.values()),
            training={
                "model": dict(old.values()),
                "ema": {"n_averaged": torch.tensor(3)}
                | {f"module.{key}": value for key, value in old.values()},
            },
        )
    )
    frames = torch.randint(0, 256, (1, 3, 3, 32, 64), dtype=torch.uint8)
    with torch.no_grad():
        assert torch.equal(loaded.model(frames)[0], model(frames)[0])
    for name, wanted in training.items():
        assert loaded.training[name].keys() == wanted.keys()
        assert all(torch.equal(loaded.training[name][key], wanted[key]) for key in wanted)


def under_the_old_key(name: str, value: torch.Tensor, core: str) -> tuple[str, torch.Tensor]:
    """Return a weight as releases before 2026-11-25 saved it."""
    if core in {"lstm", "gru"} and name.startswith("temporal.from_"):
        value = value.flatten(1) if value.dim() == 4 else value
    for old, new in RENAMED_WEIGHTS.items():
        if name.startswith(new):
            return old + name.removeprefix(new), value
    return name, value


@pytest.mark.parametrize("kept", [0, 1, 100, 0.5, 0.99])
def test_a_truncated_checkpoint_is_an_error(saved: Path, kept: float) -> None:
    data = saved.read_bytes()
    saved.write_bytes(data[: int(kept * len(data)) if kept < 1 else int(kept)])
    with pytest.raises(ModelError, match=r"best\.pt: not a checkpoint, or cut short"):
        load_checkpoint(saved)


@pytest.mark.parametrize("kept", [0, 4, 0.5, 0.99])
def test_a_truncated_shipped_model_is_an_error(
    model: DetectorNet, tmp_path: Path, kept: float
) -> None:
    path = tmp_path / "birds.safetensors"
    save_shipped(path, model, metrics={})
    data = path.read_bytes()
    path.write_bytes(data[: int(kept * len(data)) if kept < 1 else int(kept)])
    with pytest.raises(ModelError, match=r"birds\.safetensors: not a model file"):
        load_checkpoint(path)


class Payload:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


@pytest.mark.parametrize("way", ["torch", "pickle", "inside"])
def test_a_hostile_checkpoint_runs_no_code(saved: Path, way: str) -> None:
    harm = saved.parent / "harm"
    payload = Payload(f"touch {harm}")
    if way == "torch":
        torch.save(payload, saved)
    elif way == "pickle":
        saved.write_bytes(pickle.dumps(payload))
    else:
        rewrite(saved, metrics={"map50": payload})
    with pytest.raises(ModelError) as caught:
        load_checkpoint(saved)
    assert not harm.exists()
    expected = "not a checkpoint" if way == "pickle" else "it was not loaded"
    assert expected in caught.value.problem
    assert "\n" not in caught.value.problem


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"format": 99}, "format 99, this version reads 1"),
        ({"format": None}, "not a checkpoint of lstmcli"),
        ({"weights": None}, "damaged"),
        ({"weights": {}}, "damaged"),
        ({"weights": {"mean": torch.zeros(1)}}, "damaged"),
        ({"weights": [1, 2]}, "damaged"),
        ({"classes": ["cat", "dog", "bird"]}, "damaged"),
        ({"classes": None}, "damaged"),
        ({"classes": 3}, "damaged"),
        ({"canvas_hw": [32]}, "damaged"),
        ({"canvas_hw": "wide"}, "damaged"),
        ({"grid": "fine"}, "damaged"),
        ({"grid": 0}, "damaged"),
        ({"grid": -8}, "damaged"),
        ({"config": None}, "damaged"),
        ({"config": [1]}, "damaged"),
        ({"config": {"backbone": 3}}, "damaged"),
        ({"config": {"backbone": {"name": "tiny"}, "colour": 1}}, "no setting 'colour'"),
        ({"config": {"backbone": {"name": "tinier"}}}, "no backbone named 'tinier'"),
        ({"config": {"backbone": {"name": "tiny"}, "temporal": "conv_gru"}}, "damaged"),
        ({"metrics": 3}, "damaged"),
        ({"training": 3}, "damaged"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_an_error(
    saved: Path, changes: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ModelError) as caught:
        load_checkpoint(rewrite(saved, **changes))
    assert problem in caught.value.problem
    assert "\n" not in caught.value.problem
    assert len(caught.value.problem) < 400
    assert caught.value.hint


@pytest.mark.parametrize("value", [[1, 2], "text", 3, torch.zeros(2), {"a": 1}])
def test_a_file_of_torch_without_a_checkpoint_is_an_error(saved: Path, value: Any) -> None:
    torch.save(value, saved)
    with pytest.raises(ModelError, match="not a checkpoint of lstmcli"):
        load_checkpoint(saved)


@pytest.mark.parametrize("header", [None, "[]", "3", "{", '{"format": 1}'])
def test_a_third_party_model_file_is_an_error(tmp_path: Path, header: str | None) -> None:
    path = tmp_path / "other.safetensors"
    metadata = None if header is None else {"lstmcli": header}
    save_file({"a": torch.zeros(2)}, path, metadata=metadata)
    with pytest.raises(ModelError, match=r"other\.safetensors"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("nothing.pt", "there is no such checkpoint, run or shipped model"),
        ("empty", r"no best\.pt in this folder"),
        ("text.pt", "not a checkpoint"),
    ],
)
def test_a_path_without_a_model_is_an_error(tmp_path: Path, name: str, problem: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.pt").write_text("hello", encoding="utf-8")
    with pytest.raises(ModelError, match=problem):
        load_checkpoint(tmp_path / name)


def test_a_full_disk_leaves_the_older_checkpoint(
    saved: Path, model: DetectorNet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a file and its folder cannot be written: see tests/core/test_files.py."""

    def half(path: Path, content: object) -> None:
        with path.open("wb") as file:
            file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(OutputError, match="cannot be written"):
        save_checkpoint(saved, model, model.state_dict(), metrics={})
    assert [path.name for path in saved.parent.iterdir()] == ["best.pt"]
    monkeypatch.undo()
    assert load_checkpoint(saved).metrics["epoch"] == 3


def test_a_folder_that_cannot_be_written_is_told(model: DetectorNet, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        save_checkpoint(tmp_path / "no" / "best.pt", model, model.state_dict(), metrics={})
    with pytest.raises(OutputError, match="cannot be written"):
        save_shipped(tmp_path / "no" / "best.safetensors", model, metrics={})


def test_a_checkpoint_holds_plain_values(saved: Path) -> None:
    values = torch.load(saved, weights_only=True)
    assert set(values) == {
        "format",
        "config",
        "classes",
        "canvas_hw",
        "grid",
        "metrics",
        "weights",
        "training",
    }
    metadata = {key: value for key, value in values.items() if key != "weights"}
    assert json.loads(json.dumps(metadata)) == metadata
