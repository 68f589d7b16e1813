"""The batch that a machine trains fastest with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric

from lstmcli.core.config import Config
from lstmcli.core.system import available_memory, held_memory
from lstmcli.dataset.clips import ClipBatch
from lstmcli.models.detector import DetectorNet
from lstmcli.training import batch_size
from lstmcli.training.batch_size import best_batch, measured_batch

SIDE, LENGTH = 32, 2


@pytest.fixture
def config() -> Config:
    return Config.model_validate(
        {
            "backbone": "tiny",
            "neck": {"channels": 8},
            "temporal": "lstm",
            "clips": {"length": LENGTH},
        }
    )


def draw(batch: int, memory: bool) -> ClipBatch:
    slots, steps = (batch, LENGTH) if memory else (batch * LENGTH, 1)
    count = slots * steps
    return ClipBatch(
        frames=torch.randint(0, 256, (slots, steps, 3, SIDE, SIDE), dtype=torch.uint8),
        previous_frames=torch.zeros(0),
        starts=torch.ones(slots, dtype=torch.bool),
        boxes=torch.tensor([[4.0, 4, 20, 20]]).expand(count, 1, 4).clone(),
        labels=torch.zeros(count, 1, dtype=torch.int64),
        valid=torch.ones(count, 1, dtype=torch.bool),
        ignore=torch.zeros(count, 1, dtype=torch.bool),
        scores=torch.ones(count, 1),
        annotated_frames=torch.ones(count, dtype=torch.bool),
    )


@pytest.mark.parametrize(
    ("rates", "best"),
    [
        ({}, 4),
        ({4: 10.0}, 4),
        ({4: 10.0, 8: 15.0, 16: 15.2}, 8),
        ({4: 10.0, 8: 10.3}, 4),
        ({4: 10.0, 8: 18.0, 16: 30.0}, 16),
    ],
)
def test_a_larger_batch_must_be_faster(rates: dict[int, float], best: int) -> None:
    assert best_batch(rates) == best


def measured(network: DetectorNet, config: Config, draw: Callable[[int, bool], ClipBatch]) -> int:
    """Return the batch that is the fastest on the CPU."""
    fabric = Fabric(accelerator="cpu")
    return measured_batch(fabric, network, draw, train=config.train, loss=config.loss)


@pytest.mark.parametrize("stage1_fraction", [0.0, 0.5])
def test_measuring_changes_neither_network_nor_random_state(
    stage1_fraction: float, config: Config
) -> None:
    config = config.model_copy(
        update={"train": config.train.model_copy(update={"stage1_fraction": stage1_fraction})}
    )
    network = DetectorNet(config, ("a",), canvas_hw=(SIDE, SIDE), grid=8)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    stages: list[bool] = []

    def watched(batch: int, memory: bool) -> ClipBatch:
        stages.append(memory)
        return draw(batch, memory)

    chance = torch.get_rng_state()
    found = measured(network, config, watched)
    assert found in (4, 8, 16, 32, 64, 128)
    assert torch.equal(torch.get_rng_state(), chance)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert set(stages) == {stage1_fraction == 0}  # the stage that takes the most memory


Steps = Callable[..., float]


def faked(monkeypatch: pytest.MonkeyPatch, step_s: Callable[[int], float]) -> list[int]:
    tried: list[int] = []

    def fake(fabric: Any, network: Any, draw: Any, batch: int, **sections: Any) -> float:
        tried.append(batch)
        return step_s(batch)

    monkeypatch.setattr(batch_size, "_step_s", fake)
    return tried


def test_a_batch_that_does_not_fit_ends_the_search(
    monkeypatch: pytest.MonkeyPatch, config: Config
) -> None:
    def step_s(batch: int) -> float:
        if batch >= 16:
            raise torch.OutOfMemoryError("no room")
        return 0.1

    tried = faked(monkeypatch, step_s)
    network = DetectorNet(config, ("a",), canvas_hw=(SIDE, SIDE), grid=8)
    assert measured(network, config, draw) == 8
    assert tried == [4, 8, 16]


def test_slow_steps_and_little_memory_end_the_search(
    monkeypatch: pytest.MonkeyPatch, config: Config
) -> None:
    network = DetectorNet(config, ("a",), canvas_hw=(SIDE, SIDE), grid=8)
    tried = faked(monkeypatch, lambda batch: 10.0)
    assert measured(network, config, draw) == 4
    assert tried == [4]
    tried = faked(monkeypatch, lambda batch: 0.1)
    held = iter([0, 10, 30, 70])
    monkeypatch.setattr(batch_size, "held_memory", lambda: next(held))
    monkeypatch.setattr(batch_size, "available_memory", lambda: 50.0)
    assert measured(network, config, draw) == 8
    assert tried == [4, 8]  # sixteen would take 60 of the 30 that a step may have


def test_the_system_reports_its_memory() -> None:
    assert available_memory() > 1e6
    assert held_memory() > 1e6
