"""benchmark: every stage has its time, every engine its row, and the JSON says the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmcli.cli.app import main
from lstmcli.core.config_file import load_config
from lstmcli.core.errors import ConfigError, MediaError
from lstmcli.core.metadata import ModelMetadata
from lstmcli.core.types import Picture
from lstmcli.models.checkpoint import save_checkpoint
from lstmcli.models.detector import DetectorNet
from lstmcli.workflows import benchmark as room
from lstmcli.workflows.benchmark import STAGES, benchmark


class Sleeper:
    """A network that finds nothing and takes its time."""

    metadata, device = ModelMetadata(("bird",), (64, 96)), "cpu"

    def __init__(self, engine: str, clock: list[float], seconds: float) -> None:
        self.engine, self._clock, self._seconds = engine, clock, seconds

    def step(self, frame: Picture, previous_frame: Picture, state: Any) -> tuple[Any, Any, Any]:
        self._clock[0] += self._seconds
        return np.zeros((1, 4), np.float32), np.zeros((1, 1), np.float32), None


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Give a clock that only networks move: torch takes 20 ms, openvino 5; onnx is absent."""
    now = [0.0]

    def load(model: Any, *, device: str, engine: str, picture_hw: Any) -> Sleeper:
        if engine == "onnx":
            raise ConfigError("onnx: onnxruntime is not installed here", hint="")
        return Sleeper(engine, now, {"torch": 0.02, "openvino": 0.005}[engine])

    monkeypatch.setattr(room, "load_runtime", load)
    monkeypatch.setattr(room.time, "perf_counter", lambda: now[0])
    return now


def test_engines_are_compared_and_the_quickest_runs_the_stages(
    clock: list[float], make_video: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "_transcode", lambda *given: 100.0)
    monkeypatch.setattr(room, "_detect_fps", lambda *given, every=None: 40.0 if every else 50.0)
    video = make_video(tmp_path / "a.mp4", frames=8)
    measured = benchmark("x", video, frames=20)
    assert [(row.engine, row.ms) for row in measured.engines] == [
        ("torch", pytest.approx(20.0)),
        ("openvino", pytest.approx(5.0)),
        ("onnx", None),
    ]
    assert measured.engines[2].problem == "onnx: onnxruntime is not installed here"
    assert measured.engine == "openvino"
    assert tuple(measured.stages) == STAGES
    assert measured.stages["network"] == pytest.approx(5.0)
    assert measured.stages["boxes"] == pytest.approx(0.0, abs=1e-9)
    assert (measured.detect_fps, measured.detect_all_fps) == (50.0, 40.0)
    assert (measured.frames, measured.size_hw) == (8, (64, 96))
    assert measured.memory_mb > 10


def test_a_named_engine_must_be_installed(clock: list[float]) -> None:
    with pytest.raises(ConfigError, match="onnxruntime is not installed"):
        benchmark("x", engines=["torch", "onnx"], frames=10)


def test_too_few_frames_are_an_error(clock: list[float]) -> None:
    with pytest.raises(ConfigError, match="5 frames"):
        benchmark("x", frames=5)


def test_a_file_without_video_is_an_error(clock: list[float], tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"nothing")
    with pytest.raises(MediaError, match=r"a\.mp4"):
        benchmark("x", tmp_path / "a.mp4")


def test_the_command_prints_tables_and_writes_json(
    make_video: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    config = load_config("small", ["backbone.name=tiny", "neck.channels=16"])
    model = DetectorNet(config, ("bird",), canvas_hw=(64, 96), grid=16)
    save_checkpoint(Path("m.pt"), model, model.state_dict(), metrics={})
    make_video(tmp_path / "a.mp4", frames=8)
    arguments = ["benchmark", "m.pt", "a.mp4", "--engine", "torch", "--json", "b.json"]
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "--frames", "8", "--device", "cpu"])
    said = capsys.readouterr()
    assert not stop.value.code, said.err
    values = json.loads(Path("b.json").read_text())
    assert values["engines"][0]["engine"] == "torch"
    assert values["engines"][0]["frames_per_second"] > 0
    assert set(values["stages"]) == set(STAGES)
    assert all(ms >= 0 for ms in values["stages"].values())
    assert values["transcode_fps"] > 0
    assert values["detect_fps"] > 0
    for word in (*STAGES, "torch", "decoding and encoding", "memory"):
        assert word in said.out
    with pytest.raises(SystemExit):
        main(arguments)
    assert "b.json exists" in capsys.readouterr().err


def test_a_video_with_train_is_misuse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["benchmark", "small", str(tmp_path / "a.mp4"), "--train", str(tmp_path)])
    assert stop.value.code == 2
    assert "omit VIDEO" in capsys.readouterr().err


def test_training_is_measured_epoch_by_epoch(
    make_dataset: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = make_dataset(tmp_path / "dataset").folder
    preset = tmp_path / "little.yaml"
    preset.write_text(
        "backbone: {name: tiny}\nneck: {channels: 8}\ntemporal: {name: lstm}\n"
        "clips: {length: 2, full_frame: true}\n"
        "train: {batch_size: 2, num_workers: 0, clips_per_epoch: 8, stage1_fraction: 0.5}\n"
    )
    out = tmp_path / "speed.json"
    command = ["benchmark", str(preset), "--train", str(dataset), "--train-time", "8s"]
    with pytest.raises(SystemExit) as stop:
        main([*command, "--device", "cpu", "--json", str(out)])
    assert not stop.value.code
    rows = json.loads(out.read_text())["epochs"]
    # how many epochs fit depends on the machine; test_train has the order of the stages
    assert rows
    assert rows[0]["stage"] == "frames"
    assert {row["stage"] for row in rows} <= {"frames", "clips"}
    assert all(row["frames_per_second"] > 0 and 0 <= row["data_wait"] <= 1 for row in rows)
    said = capsys.readouterr().out
    assert "frames/s" in said
    assert "waiting for data" in said
    assert not list(tmp_path.glob("*.part"))
