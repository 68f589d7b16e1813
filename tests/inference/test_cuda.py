"""CUDA: on a GPU with `-m gpu`, else on a pretended one (see `pretended_cuda`)."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import MakeDataset, MakeVideo
from pretended_cuda import DeviceTensor, PretendedGraph, pretended_cuda
from test_runtimes import CANVAS_HW, follow, in_full_precision, lively
from test_train import settings
from torch import Tensor

from lstmcli.core.config import AugmentConfig
from lstmcli.core.devices import choose_device
from lstmcli.dataset.clips import ClipDataset
from lstmcli.inference.autotune import SCORE_TOLERANCE, agree, moving_frames
from lstmcli.inference.batching import micro_batch
from lstmcli.inference.exportable import ExportableStep
from lstmcli.inference.loading import load_runtime
from lstmcli.inference.runtimes import pytorch as torch_engine
from lstmcli.inference.runtimes.eager import EagerRuntime
from lstmcli.inference.runtimes.pytorch import TorchRuntime
from lstmcli.models.checkpoint import load_checkpoint, save_checkpoint
from lstmcli.models.detector import DetectorNet
from lstmcli.models.temporal import TEMPORAL_CORES
from lstmcli.training.loop import targets_of
from lstmcli.workflows.detect import DetectOptions, detect
from lstmcli.workflows.train import TrainOptions, train


@pytest.fixture(params=["pretended", pytest.param("real", marks=pytest.mark.gpu)])
def cuda(request: pytest.FixtureRequest) -> Iterator[str]:
    """Return the name of the device, `pretended` or `real`."""
    if request.param == "real":
        if not torch.cuda.is_available():
            pytest.skip("torch finds no CUDA device here")
        yield "real"
    else:
        with pretended_cuda():
            yield "pretended"


FRAMES = 8
"""Half precision is slow on a CPU, and a state that went astray shows in the second frame."""


@cache
def _lively(core: str) -> DetectorNet:
    return lively(core)


def fresh(core: str = "conv_lstm") -> DetectorNet:
    """Return a network of its own, as `lively` makes it."""
    return copy.deepcopy(_lively(core))


def on_cuda(model: DetectorNet) -> TorchRuntime:
    return torch_engine.make(
        ExportableStep(model).requires_grad_(False), model.metadata, device="cuda"
    )


def agreeing(found: list[Any], wanted: list[Any]) -> None:
    for frame, (one, two) in enumerate(zip(found, wanted, strict=True)):
        assert agree(one, two), f"frame {frame}"


@pytest.mark.parametrize("core", TEMPORAL_CORES)
def test_a_whole_video_has_the_output_of_the_cpu(core: str, cuda: str) -> None:
    model, frames = fresh(core), moving_frames(CANVAS_HW, FRAMES)
    wanted = follow(in_full_precision(model), frames)
    engine = on_cuda(model)
    agreeing(follow(engine, frames), wanted)
    assert engine._graph is not None
    graph = engine._graph._graph
    assert graph is not None, "the step could not be captured"
    if cuda == "pretended":
        assert isinstance(graph, PretendedGraph)
        assert graph.replays == FRAMES


def test_a_cuda_graph_has_the_output_of_single_kernels(cuda: str) -> None:
    model, frames = fresh(), moving_frames(CANVAS_HW, FRAMES)
    engine = on_cuda(model)
    by_graph = follow(engine, frames)
    engine._graph = None
    agreeing(by_graph, follow(engine, frames))


def test_a_network_that_cannot_be_captured_runs_and_says_why(
    cuda: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, frames = fresh(), moving_frames(CANVAS_HW, FRAMES)
    save_checkpoint(tmp_path / "best.pt", model, model.state_dict(), metrics={})
    whole = ExportableStep.of_many

    def waits(step: ExportableStep, *inputs: Tensor) -> tuple[Tensor, ...]:
        inputs[0].float().mean().cpu()
        return whole(step, *inputs)

    monkeypatch.setattr(ExportableStep, "of_many", waits)
    notes: list[str] = []
    engine = load_runtime(tmp_path / "best.pt", device="cuda", note=notes.append)
    assert len(notes) == 1
    assert "no CUDA graph" in notes[0]
    agreeing(follow(engine, frames), follow(in_full_precision(model), frames))


def test_half_precision_is_computed_in(cuda: str) -> None:
    engine = on_cuda(fresh())
    seen: list[torch.dtype] = []
    engine._step.model.backbone.register_forward_hook(
        lambda *found: seen.extend(part.dtype for part in found[2])
    )
    engine._graph = None
    engine.step(*moving_frames(CANVAS_HW, 2), None)
    assert set(seen) == {torch.float16}


def test_an_old_state_stays_valid_next_to_a_graph(cuda: str) -> None:
    engine = on_cuda(fresh())
    frames = moving_frames(CANVAS_HW, 6)
    _, _, early = engine.step(frames[1], frames[0], None)
    first = engine.step(frames[2], frames[1], early)
    follow(engine, frames)
    again = engine.step(frames[2], frames[1], early)
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])


@pytest.mark.parametrize("core", TEMPORAL_CORES)
def test_streams_in_one_batch_get_what_they_get_alone(core: str, cuda: str) -> None:
    model, streams = fresh(core), 3
    pictures = moving_frames(CANVAS_HW, FRAMES + streams)
    videos = [pictures[stream : stream + FRAMES] for stream in range(streams)]
    joined = micro_batch(on_cuda(model), streams)
    assert type(joined).__name__ == "MicroBatcher"
    with ThreadPoolExecutor(streams) as pool:
        together = list(pool.map(lambda video: follow(joined, video), videos))
    alone = in_full_precision(model)
    for video, outputs in zip(videos, together, strict=True):
        agreeing(outputs, follow(alone, video))


@pytest.mark.parametrize("memory", [True, False])
def test_a_network_in_training_is_validated_on_cuda(memory: bool, cuda: str) -> None:
    model, frames = fresh(), moving_frames(CANVAS_HW, FRAMES)
    on_cpu = EagerRuntime(fresh(), memory=memory)
    on_cpu._mixed = False
    wanted = follow(on_cpu, frames)
    network = EagerRuntime(model.requires_grad_(False), device="cuda", memory=memory)
    agreeing(follow(network, frames), wanted)


def test_the_loss_is_computed_where_the_network_is(
    cuda: str, make_dataset: MakeDataset, tmp_path: Path
) -> None:
    """Up to the gradients, which the pretended device does not know."""
    dataset = make_dataset(tmp_path / "dataset", crop=64)
    model = fresh().train().requires_grad_(False)
    config = model.config.model_copy(update={"augment": AugmentConfig()})
    batch = ClipDataset(
        dataset, "train", config.clips, config.augment, batch=2, steps=1, seed=0, motion_lag_s=0.2
    )[0]

    @torch.inference_mode()
    def losses(device: str) -> dict[str, float]:
        network = copy.deepcopy(model).to(device)
        torch.manual_seed(0)
        raw, _ = network(
            batch.frames.to(device),
            batch.previous_frames.to(device),
            starts=batch.starts.to(device),
            memory=False,
        )
        targets = targets_of(batch, torch.device(device))
        weights = torch.ones(2).to(device)
        parts = network.head.loss(raw.flatten(0, 1), targets, config.loss, class_weights=weights)
        return {name: float(value.cpu().numpy()) for name, value in parts.items()}

    wanted = losses("cpu")
    assert min(wanted.values()) > 0
    assert losses("cuda") == pytest.approx(wanted, rel=1e-2)


@pytest.mark.parametrize("jobs", [1, 2])
def test_videos_are_detected_in_as_on_the_cpu(
    jobs: int, cuda: str, make_video: MakeVideo, tmp_path: Path
) -> None:
    """The whole command: with two jobs, the steps of both streams are one batch."""
    model = fresh()
    save_checkpoint(tmp_path / "best.pt", model, model.state_dict(), metrics={})
    videos = [str(make_video(tmp_path / f"{name}.mp4", frames=6)) for name in "ab"]

    def detections(device: str) -> list[list[dict[str, Any]]]:
        out = tmp_path / device
        report = detect(
            videos,
            DetectOptions(
                model=tmp_path / "best.pt",
                out=out,
                threshold=0.05,
                track=False,
                device=device,
                engine="torch",
                jobs=jobs,
            ),
        )
        assert [done.frames for done in report.done] == [6, 6]
        texts = [(out / f"{name}.detections.jsonl").read_text(encoding="utf-8") for name in "ab"]
        return [json.loads(line)["detections"] for text in texts for line in text.splitlines()]

    found, wanted = detections("cuda"), detections("cpu")
    assert sum(map(len, wanted)) > 12
    # rounding may lift or drop one at the threshold, not many
    assert sum(map(len, found)) == pytest.approx(sum(map(len, wanted)), rel=0.1)
    best = [[max(one, key=lambda box: box["score"]) for one in lines] for lines in (found, wanted)]
    for one, two in zip(*best, strict=True):
        assert one["score"] == pytest.approx(two["score"], abs=SCORE_TOLERANCE)
        assert one["box"] == pytest.approx(two["box"], abs=2)


@pytest.mark.gpu
def test_a_training_on_a_gpu_goes_on_where_it_was_and_its_model_runs_on_a_cpu(
    make_dataset: MakeDataset, tmp_path: Path
) -> None:
    make_dataset(tmp_path / "dataset")
    config = settings(train={"batch_size": "auto", "num_workers": 2, "precision": "auto"})
    run = tmp_path / "run"
    train(tmp_path / "dataset", config=config, out=run, options=TrainOptions(epochs=2))
    on = TrainOptions(epochs=4)
    trained = train(tmp_path / "dataset", config=config, out=run, options=on, resume=True)
    losses = [row["loss"] for row in trained.history]
    assert len(losses) == 4
    assert losses[-1] < losses[0]
    frames = moving_frames(CANVAS_HW, FRAMES)
    outputs = follow(EagerRuntime(load_checkpoint(run / "best.pt").model), frames)
    assert all(np.isfinite(scores).all() for _, scores in outputs)


def test_auto_means_cuda(cuda: str) -> None:
    assert choose_device("auto") == "cuda"
    assert choose_device("cuda") == "cuda"
    if cuda == "pretended":
        assert choose_device("auto", count=2) == "cpu"


class TestThePretendedDevice:
    """It would prove nothing if it let pass what a device refuses."""

    @pytest.fixture(autouse=True)
    def device(self) -> Iterator[None]:
        with pretended_cuda(), torch.no_grad():
            yield

    def test_devices_do_not_mix(self) -> None:
        with pytest.raises(RuntimeError, match="two devices"):
            torch.zeros(2, device="cuda") + torch.ones(2)

    def test_autocast_casts_as_on_cuda(self) -> None:
        tensor = torch.ones(2, 2, device="cuda")
        with torch.autocast("cuda", torch.float16):
            assert (tensor @ tensor).dtype == torch.float16
            assert (tensor @ tensor).softmax(-1).dtype == torch.float32

    def test_numbers_must_be_fetched(self) -> None:
        tensor = torch.arange(6.0, device="cuda:0").view(2, 3)
        assert isinstance(tensor, DeviceTensor)
        assert str(tensor.device) == "cuda:0"
        np.testing.assert_array_equal(tensor[1, ..., None].cpu().numpy(), [[3], [4], [5]])

    @pytest.mark.parametrize(
        "work",
        [
            lambda tensor: tensor.sum().item(),
            lambda tensor: tensor.nonzero(),
            lambda tensor: tensor.cpu(),
            lambda tensor: tensor.copy_(torch.zeros(3)),
            lambda tensor: torch.tensor([1.0], device="cuda"),
        ],
    )
    def test_a_capture_refuses_what_waits(self, work: Any) -> None:
        tensor = torch.ones(3, device="cuda")
        with pytest.raises(RuntimeError, match="captured"), torch.cuda.graph(PretendedGraph()):
            work(tensor)

    def test_a_replay_reads_and_writes_the_memory_of_the_capture(self) -> None:
        fixed = torch.ones(3, device="cuda")
        graph = PretendedGraph()
        with torch.cuda.graph(graph):
            output = (fixed * 2).view(3, 1)
        fixed.copy_(torch.full((3,), 5.0, device="cuda"))
        np.testing.assert_array_equal(output.cpu().numpy().ravel(), [2, 2, 2])
        graph.replay()
        np.testing.assert_array_equal(output.cpu().numpy().ravel(), [10, 10, 10])
