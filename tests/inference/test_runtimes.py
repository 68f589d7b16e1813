"""Engines: the same network in another runtime gives the same output, frame after frame."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lstmcli.core.config_file import load_config
from lstmcli.core.errors import ConfigError, ModelError
from lstmcli.core.metadata import ModelMetadata
from lstmcli.core.types import Picture, pixels_of, planes_of
from lstmcli.inference import autotune as autotune
from lstmcli.inference import conversion, exporting, installed, loading, quantize
from lstmcli.inference.autotune import (
    agree,
    benchmark_runtimes,
    box_difference,
    cache_get,
    cache_put,
    moving_frames,
    pick_thread_count,
)
from lstmcli.inference.exportable import ExportableStep
from lstmcli.inference.installed import is_installed
from lstmcli.inference.loading import load_runtime
from lstmcli.inference.predictor import Runtime
from lstmcli.inference.runtimes import RUNTIMES
from lstmcli.inference.runtimes import openvino as openvino_engine
from lstmcli.inference.runtimes import pytorch as torch_engine
from lstmcli.inference.runtimes.eager import EagerRuntime
from lstmcli.inference.runtimes.pytorch import TorchRuntime
from lstmcli.models.backbones import BACKBONES
from lstmcli.models.checkpoint import save_checkpoint
from lstmcli.models.detector import DetectorNet, fold_norms
from lstmcli.models.temporal import TEMPORAL_CORES

CANVAS_HW = (64, 96)
FRAMES = 24
INSTALLED = [
    pytest.param(name, marks=pytest.mark.skipif(not there, reason=f"no {name} here"))
    for name, there in ((name, is_installed(name)) for name in RUNTIMES)
]
SLOW_TO_CONVERT = [
    pytest.param(core, marks=[] if core == "conv_lstm" else [pytest.mark.slow])
    for core in TEMPORAL_CORES
]


def lively(core: str = "conv_lstm", *settings: str) -> DetectorNet:
    """Return a network whose output differs from cell to cell and from frame to frame."""
    torch.manual_seed(0)
    config = load_config(
        "small",
        [
            "backbone.name=tiny",
            "backbone.width=0.5",
            "neck.channels=16",
            f"temporal.name={core}",
            *settings,
        ],
    )
    model = DetectorNet(config, ("bird", "drone"), canvas_hw=CANVAS_HW, grid=16)
    model.train()  # a few frames give the norms something to know
    frames = torch.from_numpy(np.stack(moving_frames(CANVAS_HW, 8))).permute(0, 3, 1, 2)
    with torch.no_grad():
        for layer in (model.head.box_pred, model.head.cls_pred):
            layer.weight.normal_(std=0.5)
        model.head.box_pred.bias.zero_()
        if hasattr(model, "fuse"):
            model.fuse.weight.add_(torch.randn_like(model.fuse.weight) * 0.2)
        for _ in range(20):
            model(frames[None], frames.roll(1, 0)[None])
    return model.eval()


def in_full_precision(model: DetectorNet) -> EagerRuntime:
    network = EagerRuntime(model)
    network._mixed = False
    return network


def follow(network: Runtime, frames: list[Picture]) -> list[tuple[Any, Any]]:
    """Return what a network outputs for frames that it is shown one after the other."""
    state, previous_frames, outputs = None, frames[0], []
    for frame in frames:
        boxes, scores, state = network.step(frame, previous_frames, state)
        outputs.append((boxes, scores))
        previous_frames = frame
    return outputs


def run_by(name: str, model: DetectorNet, folder: Path) -> Runtime:
    """Return a network as `load_runtime` would run a checkpoint."""
    if name == "torch":
        return torch_engine.make(ExportableStep(model), model.metadata)
    return exported_by(name, model, folder)


def metadata_of(model: DetectorNet) -> ModelMetadata:
    return replace(model.metadata, threshold=0.42, licence='CC "BY" <4.0> & ÄÖ')


def exported_by(name: str, model: DetectorNet, folder: Path) -> Runtime:
    path = folder / f"network{RUNTIMES[name].suffix}"
    if not path.exists():
        exporting.write_export(model, path, metadata=metadata_of(model))
    return RUNTIMES[name].read(path, device="cpu", threads=1)


@pytest.fixture(scope="module")
def conv_lstm() -> DetectorNet:
    return lively()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder in which the networks of `conv_lstm` are exported once."""
    return tmp_path_factory.mktemp("exported")


@pytest.fixture
def checkpoint(conv_lstm: DetectorNet, tmp_path: Path) -> Path:
    path = tmp_path / "best.pt"
    save_checkpoint(path, conv_lstm, conv_lstm.state_dict(), metrics={})
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("LSTMCLI_ENGINE", raising=False)
    monkeypatch.setattr("os.getloadavg", lambda: (0.0, 0.0, 0.0), raising=False)
    return tmp_path / "cache" / "lstmcli"


@pytest.mark.parametrize("core", SLOW_TO_CONVERT)
@pytest.mark.parametrize("name", INSTALLED)
def test_a_whole_video_has_the_output_of_torch(
    name: str, core: str, conv_lstm: DetectorNet, folder: Path, tmp_path: Path
) -> None:
    """Reference: torch in float32, not folded. Tolerances: bfloat16, where the chip has it."""
    model, out = (conv_lstm, folder) if core == "conv_lstm" else (lively(core), tmp_path)
    frames = moving_frames(CANVAS_HW, FRAMES)
    wanted = follow(in_full_precision(model), frames)
    found = follow(run_by(name, model, out), frames)
    scores = np.stack([scores for _, scores in wanted])
    assert scores.max() > 0.2
    assert scores.std(axis=0).max() > 0.01
    for frame, (one, two) in enumerate(zip(found, wanted, strict=True)):
        assert agree(one, two), f"frame {frame}"


@pytest.mark.parametrize("name", INSTALLED)
def test_a_core_over_all_levels_has_the_output_of_torch(name: str, tmp_path: Path) -> None:
    model = lively(
        "aligned_lstm",
        "temporal.levels=all",
        "temporal.pool=1",
        "temporal.channels=8",
        "head.name=multi_scale",
        "backbone.name=dense",
        "backbone.width=0.25",
    )
    frames = moving_frames(CANVAS_HW, FRAMES)
    wanted = follow(in_full_precision(model), frames)
    found = follow(run_by(name, model, tmp_path), frames)
    assert np.stack([scores for _, scores in wanted]).std(axis=0).max() > 0.01
    for frame, (one, two) in enumerate(zip(found, wanted, strict=True)):
        assert agree(one, two), f"frame {frame}"


def test_the_export_of_torch_has_the_output_of_torch(conv_lstm: DetectorNet, folder: Path) -> None:
    frames = moving_frames(CANVAS_HW, FRAMES)
    found = follow(exported_by("torch", conv_lstm, folder), frames)
    wanted = follow(in_full_precision(conv_lstm), frames)
    assert all(agree(one, two) for one, two in zip(found, wanted, strict=True))


@pytest.mark.parametrize("name", INSTALLED)
def test_the_memory_is_used_and_a_video_begins_anew(
    name: str, conv_lstm: DetectorNet, folder: Path
) -> None:
    network = run_by(name, conv_lstm, folder)
    frames = moving_frames(CANVAS_HW, 6)
    first = follow(network, frames)
    again = follow(network, frames)
    for (boxes, scores), (more_boxes, more_scores) in zip(first, again, strict=True):
        np.testing.assert_array_equal(boxes, more_boxes)
        np.testing.assert_array_equal(scores, more_scores)
    alone = network.step(frames[-1], frames[-2], None)
    assert np.abs(alone[1] - first[-1][1]).max() > 0.01


@pytest.mark.parametrize("name", INSTALLED)
def test_concurrent_streams_are_independent(
    name: str, conv_lstm: DetectorNet, folder: Path
) -> None:
    network = run_by(name, conv_lstm, folder)
    frames = moving_frames(CANVAS_HW, 8)
    clips = [frames, frames[::-1], frames]
    alone = [follow(network, clip) for clip in clips]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda clip: follow(network, clip), clips))
    for one, two in zip(alone, together, strict=True):
        for (_, scores), (_, more_scores) in zip(one, two, strict=True):
            np.testing.assert_array_equal(scores, more_scores)


@pytest.mark.parametrize("name", INSTALLED)
def test_a_picture_may_be_stored_as_planes(name: str, conv_lstm: DetectorNet, folder: Path) -> None:
    network = run_by(name, conv_lstm, folder)
    frames = [pixels_of(frame) for frame in moving_frames(CANVAS_HW, 3)]
    planes = [planes_of(frame).transpose(1, 2, 0) for frame in frames]
    assert planes[0].strides != frames[0].strides
    for one, two in zip(follow(network, frames), follow(network, planes), strict=True):
        np.testing.assert_array_equal(one[1], two[1])


@pytest.mark.parametrize("name", INSTALLED)
def test_an_old_state_stays_valid(name: str, conv_lstm: DetectorNet, folder: Path) -> None:
    network = run_by(name, conv_lstm, folder)
    frames = moving_frames(CANVAS_HW, 5)
    _, _, state = network.step(frames[0], frames[0], None)
    wanted = network.step(frames[1], frames[0], state)[1]
    later = state
    for frame in frames[2:]:
        later = network.step(frame, frames[0], later)[2]
    np.testing.assert_array_equal(network.step(frames[1], frames[0], state)[1], wanted)


@pytest.mark.parametrize("name", INSTALLED)
def test_an_export_says_how_it_is_used(name: str, conv_lstm: DetectorNet, folder: Path) -> None:
    exported_by(name, conv_lstm, folder)
    network = load_runtime(folder / f"network{RUNTIMES[name].suffix}")
    assert network.metadata == metadata_of(conv_lstm)
    assert (network.engine, network.device) == (name, "cpu")
    assert not list(folder.glob("*.part*"))


@pytest.mark.parametrize("name", INSTALLED)
def test_an_export_names_no_path_of_its_maker(
    name: str, conv_lstm: DetectorNet, folder: Path
) -> None:
    exported_by(name, conv_lstm, folder)
    package = str(Path(loading.__file__).parents[2]).encode()
    for path in folder.glob(f"network{RUNTIMES[name].suffix}"):
        assert package not in path.read_bytes()


@pytest.mark.parametrize("name", INSTALLED)
def test_a_damaged_export_is_an_error_of_one_line(
    name: str, conv_lstm: DetectorNet, folder: Path, tmp_path: Path
) -> None:
    exported_by(name, conv_lstm, folder)
    suffix = RUNTIMES[name].suffix
    path = tmp_path / f"cut{suffix}"
    content = (folder / f"network{suffix}").read_bytes()
    path.write_bytes(content[: len(content) // 2])
    path.with_suffix(".bin").write_bytes(b"")
    with pytest.raises(ModelError, match=f"cut{suffix}"):
        load_runtime(path)


def test_openvino_misses_its_weights(conv_lstm: DetectorNet, tmp_path: Path) -> None:
    path = tmp_path / "x.xml"
    path.write_text("<net/>")
    with pytest.raises(ModelError, match=r"x\.bin are missing"):
        openvino_engine.read(path)


@pytest.mark.parametrize("name", BACKBONES)
def test_folding_the_norms_changes_nothing(name: str) -> None:
    """Reference: the network as it was trained, in evaluation mode."""
    torch.manual_seed(0)
    config = load_config("small", [f"backbone.name={name}", "backbone.width=1"])
    model = DetectorNet(config, ("bird",), canvas_hw=(64, 64), grid=16)
    frames = torch.randint(0, 256, (1, 1, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(std=0.1)
                module.running_var.uniform_(0.5, 2.0)
                module.weight.uniform_(0.5, 1.5)
        model.eval()
        folded = fold_norms(model)
        left = sum(isinstance(m, torch.nn.BatchNorm2d) for m in folded.modules())
        there = sum(isinstance(m, torch.nn.BatchNorm2d) for m in model.modules())
        assert left < there / 4
        wanted, _ = model(frames)
        found, _ = folded(frames)
        # The order of float32 sums changes; a raw output is of the size of 1.
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)


def test_a_network_without_memory_or_motion_has_no_such_inputs() -> None:
    step = ExportableStep(lively("none", "input.motion_lag_s=0"))
    assert step.input_names == ("frame",)
    assert step.output_names == ("boxes", "scores")
    network = TorchRuntime(
        step, lively("none").metadata, first=step.first, input_names=step.input_names
    )
    frames = moving_frames(CANVAS_HW, 2)
    assert network.step(frames[0], frames[1], None)[0].shape == (24, 4)


def test_metadata_survives_text_and_refuses_others(conv_lstm: DetectorNet) -> None:
    metadata = conv_lstm.metadata
    assert ModelMetadata.from_texts(metadata.as_texts(), "x") == metadata
    with pytest.raises(ModelError, match="not exported by lstmcli"):
        ModelMetadata.from_texts({}, "x")
    with pytest.raises(ModelError, match="format 99"):
        ModelMetadata.from_texts(metadata.as_texts() | {"format": "99"}, "x")
    with pytest.raises(ModelError, match="invalid model metadata"):
        ModelMetadata.from_texts(metadata.as_texts() | {"input_hw": "3"}, "x")


# --- the choice -------------------------------------------------------------------------------


class Pretended:
    """A network that takes a given time and gives a given score."""

    def __init__(self, name: str, score: float = 0.5) -> None:
        self.engine, self.score = name, score
        self.metadata = ModelMetadata(("bird",), CANVAS_HW)

    def step(self, frame: Picture, previous_frames: Picture, state: Any) -> tuple[Any, Any, Any]:
        return np.array([[0, 0, 9, 9]], np.float32), np.array([[self.score]], np.float32), None


def candidates(**scores: float) -> dict[str, Callable[[], Any]]:
    return {name: (lambda n=name, s=s: Pretended(n, s)) for name, s in scores.items()}


def test_an_engine_that_disagrees_is_left_out() -> None:
    trial, network = benchmark_runtimes(candidates(torch=0.5, openvino=0.9))
    assert trial.best == network.engine == "torch"
    assert "openvino is left out (its output differs from that of torch)" in trial.sentence()


def test_an_engine_that_fails_is_left_out_in_one_line() -> None:
    def fail() -> Any:
        raise RuntimeError("unknown operation\nand a long story")

    trial, network = benchmark_runtimes({**candidates(torch=0.5), "openvino": fail})
    assert network.engine == "torch"
    assert trial.failures == {"openvino": "unknown operation"}
    assert "\n" not in trial.sentence()


def test_the_quickest_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    speeds = {"torch": 0.02, "openvino": 0.01}
    clock = [0.0]
    monkeypatch.setattr(autotune.time, "perf_counter", lambda: clock[0])

    class Ticking(Pretended):
        def step(
            self, frame: Picture, previous_frames: Picture, state: Any
        ) -> tuple[Any, Any, Any]:
            clock[0] += speeds[self.engine]
            return super().step(frame, previous_frames, state)

    trial, network = benchmark_runtimes({name: (lambda n=name: Ticking(n)) for name in speeds})
    assert network.engine == "openvino"
    assert trial.ms == pytest.approx({"torch": 20.0, "openvino": 10.0})


def test_boxes_are_compared_by_their_size() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 100, 100]], np.float32)
    moved = boxes + np.float32(1)
    np.testing.assert_allclose(box_difference(moved, boxes), [0.1, 0.01])
    sure, unsure = np.full((2, 1), 0.9, np.float32), np.full((2, 1), 0.01, np.float32)
    assert not agree((moved, sure), (boxes, sure))
    assert agree((moved, unsure), (boxes, unsure))
    assert not agree((boxes, sure), (boxes, np.full((2, 1), np.nan, np.float32)))


def test_a_choice_is_cached(cache: Path) -> None:
    assert cache_get("x") is None
    cache_put("x", "openvino")
    cache_put("y", "torch")
    assert (cache_get("x"), cache_get("y")) == ("openvino", "torch")
    assert json.loads((cache / "engines.json").read_text()) == {"x": "openvino", "y": "torch"}
    (cache / "engines.json").write_text("{")
    assert cache_get("x") is None


def test_a_choice_of_a_busy_machine_is_dropped_when_it_is_idle(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = [100.0]
    monkeypatch.setattr("os.getloadavg", lambda: (load[0], 0.0, 0.0), raising=False)
    autotune.cache_put("model", "torch")
    assert autotune.cache_get("model") == "torch"
    load[0] = 0.0
    assert autotune.cache_get("model") is None
    autotune.cache_put("model", "openvino")
    load[0] = 100.0
    assert autotune.cache_get("model") == "openvino"


def test_a_cache_that_cannot_be_written_is_no_failure(cache: Path) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text("a file where the folder should be")
    cache_put("x", "torch")
    assert cache_get("x") is None


def test_auto_benchmarks_once(
    checkpoint: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    notes: list[str] = []
    network = load_runtime(checkpoint, device="cpu", note=notes.append)
    assert len(notes) == 2
    assert "benchmarking torch and openvino" in notes[0]
    assert f"using {network.engine}" in notes[1]
    monkeypatch.setattr(loading, "benchmark_runtimes", None)
    assert load_runtime(checkpoint, device="cpu", note=notes.append).engine == network.engine
    assert len(notes) == 2
    kept = list((cache / "engines").glob("*.xml"))
    assert len(kept) == 1


@pytest.mark.parametrize(("ms", "cores", "chosen"), [(2.0, 2, 1), (2.0, 8, 7), (20.0, 8, 8)])
def test_a_fast_network_leaves_a_core_free(
    ms: float, cores: int, chosen: int, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[int] = []

    def load(threads: int) -> Any:
        loaded.append(threads)
        return EagerRuntime(lively("none"))

    monkeypatch.setattr(autotune, "_time", lambda network, frames: (ms, []))
    assert pick_thread_count("a network", cores, load) == chosen
    assert pick_thread_count("a network", cores, load) == chosen
    assert loaded == [cores], "it is measured once"


def test_one_core_is_not_shared(cache: Path) -> None:
    assert pick_thread_count("a network", 1, lambda threads: pytest.fail("nothing to choose")) == 1


@pytest.mark.parametrize("cores", [1, 4])
def test_leave_core_free_loads_with_fewer_threads(
    cores: int, checkpoint: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    taken: list[int] = []
    read = openvino_engine.read

    def watched(path: Path, *, device: str, threads: int) -> Runtime:
        taken.append(threads)
        return read(path, device=device, threads=1)

    monkeypatch.setitem(RUNTIMES, "openvino", replace(RUNTIMES["openvino"], read=watched))
    monkeypatch.setattr(loading, "thread_count", lambda: cores)
    monkeypatch.setattr(autotune, "_time", lambda network, frames: (1.0, []))
    load_runtime(checkpoint, device="cpu", engine="openvino", leave_core_free=True)
    assert taken == ([1] if cores == 1 else [4, 3])
    load_runtime(checkpoint, device="cpu", engine="openvino", leave_core_free=True)
    load_runtime(checkpoint, device="cpu", engine="openvino")
    assert taken[-2:] == [max(1, cores - 1), 0]


def test_a_kept_conversion_that_is_damaged_is_made_again(
    checkpoint: Path,
    cache: Path,
    conv_lstm: DetectorNet,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("onnxruntime")
    exported_by("onnx", conv_lstm, folder)
    good = (folder / "network.onnx").read_bytes()
    monkeypatch.setattr(conversion, "publish_export", lambda path, write: path.write_bytes(good))
    load_runtime(checkpoint, device="cpu", engine="onnx")
    (kept,) = (cache / "engines").glob("*.onnx")
    kept.write_bytes(good[:100])
    assert load_runtime(checkpoint, device="cpu", engine="onnx").engine == "onnx"
    assert kept.read_bytes() == good


def test_an_environment_variable_replaces_auto(
    checkpoint: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LSTMCLI_ENGINE", "torch")
    assert load_runtime(checkpoint).engine == "torch"
    assert not cache.exists()


def test_an_unknown_engine_has_a_near_name(checkpoint: Path) -> None:
    with pytest.raises(ConfigError, match="opnvino") as failure:
        load_runtime(checkpoint, engine="opnvino")
    assert "openvino" in failure.value.hint


def test_a_missing_engine_is_an_error_that_names_its_extra(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(installed, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="openvino is not installed") as failure:
        load_runtime(checkpoint, engine="openvino")
    assert "lstmcli[openvino]" in failure.value.hint
    assert load_runtime(checkpoint, device="cpu").engine == "torch"


def test_an_export_is_run_by_its_own_engine_only(conv_lstm: DetectorNet, folder: Path) -> None:
    exported_by("onnx", conv_lstm, folder)
    with pytest.raises(ConfigError, match=r"network\.onnx cannot be run by torch"):
        load_runtime(folder / "network.onnx", engine="torch", device="cpu")


def test_old_conversions_are_deleted(tmp_path: Path) -> None:
    for age in range(autotune.KEPT_FILES + 3):
        for suffix in (".xml", ".bin"):
            (tmp_path / f"{age:02}{suffix}").touch()
        os.utime(tmp_path / f"{age:02}.xml", (age, age))
    autotune.prune_cache(tmp_path, ".xml")
    left = sorted(path.name for path in tmp_path.iterdir())
    assert len(left) == 2 * autotune.KEPT_FILES
    assert left[0] == "03.bin"


def test_read_only_frames_are_taken_without_a_warning(conv_lstm: DetectorNet) -> None:
    frame = moving_frames(CANVAS_HW, 1)[0]
    frame.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        torch_engine.make(ExportableStep(conv_lstm), conv_lstm.metadata).step(frame, frame, None)


def test_int8_is_close_and_in_the_metadata(conv_lstm: DetectorNet, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    frames = moving_frames(CANVAS_HW, 10)

    def feed(network: Any) -> Iterator[dict[str, Any]]:
        for frame in frames:
            inputs = network.inputs(frame, frame, None)
            yield quantize.as_arrays(inputs)

    metadata = conv_lstm.metadata
    path = tmp_path / "small.onnx"
    assert exporting.write_export(conv_lstm, path, metadata=metadata, feed=feed).precision == "int8"
    network = load_runtime(path, device="cpu")
    assert network.metadata == replace(metadata, precision="int8")
    found, wanted = follow(network, frames), follow(in_full_precision(conv_lstm), frames)
    errors = [np.abs(one[1] - two[1]).mean() for one, two in zip(found, wanted, strict=True)]
    assert max(errors) < 0.05
    with pytest.raises(ConfigError, match="torch format has no 8-bit"):
        exporting.write_export(conv_lstm, tmp_path / "x.lstmcli", metadata=metadata, feed=feed)
