"""Optimizers and schedules by name, and the running average of the weights."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from lstmcli.core.config import Config, TrainConfig
from lstmcli.core.errors import ConfigError
from lstmcli.models.detector import DetectorNet
from lstmcli.training.loop import balanced_weights
from lstmcli.training.optim import (
    OPTIMIZERS,
    build_ema,
    build_optimizer,
    set_lr,
)
from lstmcli.training.schedule import SCHEDULES, TrainingBudget, lr_factor, stage_progress


@pytest.fixture
def detector() -> DetectorNet:
    """A small network with a memory."""
    values: dict[str, Any] = {"backbone": "tiny", "neck": {"channels": 8}, "temporal": "lstm"}
    return DetectorNet(Config.model_validate(values), ("a",), canvas_hw=(32, 32), grid=8)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_goes_downhill(name: str) -> None:
    """On the distance of two numbers from (3, -1)."""
    model: Any = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        model.weight.zero_()
    goal = torch.tensor([[3.0, -1.0]])
    optimizer = build_optimizer(TrainConfig(optimizer=name, lr=0.05, weight_decay=0.0), model)
    for _ in range(100):
        loss = (model.weight - goal).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.8 * 10


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_norms_and_biases_are_not_decayed_and_every_weight_is_trained_once(
    name: str, detector: DetectorNet
) -> None:
    optimizer = build_optimizer(TrainConfig(optimizer=name, weight_decay=0.1), detector)
    decay = {
        id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]
    }
    named = dict(detector.named_parameters())
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(named)
    for parameter_name, parameter in named.items():
        assert decay[id(parameter)] == (0.1 if parameter.ndim > 1 else 0.0), parameter_name


def test_a_frozen_backbone_is_not_given_to_the_optimizer(detector: DetectorNet) -> None:
    detector.backbone.requires_grad_(False)
    optimizer = build_optimizer(TrainConfig(), detector)
    given = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert given.isdisjoint(id(p) for p in detector.backbone.parameters())


def test_the_backbone_and_the_features_have_rates_of_their_own(detector: DetectorNet) -> None:
    optimizer = build_optimizer(TrainConfig(lr=1.0, backbone_lr_scale=0.1), detector)
    set_lr(optimizer, 0.5, features_factor=0.2)
    rate = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    for name, parameter in detector.named_parameters():
        expected = {"backbone": 0.1 * 0.5 * 0.2, "neck": 0.5 * 0.2}.get(name.split(".")[0], 0.5)
        assert rate[id(parameter)] == pytest.approx(expected), name


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_warms_up_to_one_and_never_rises_again(name: str) -> None:
    config = TrainConfig(schedule=name, warmup=0.1)
    places = [place / 200 for place in range(201)]
    factors = [lr_factor(config, place) for place in places]
    assert all(0 < factor <= 1 for factor in factors)
    assert factors[:20] == sorted(factors[:20])
    assert factors[0] == pytest.approx(1e-3)
    assert lr_factor(config, 0.05) == pytest.approx(0.5)
    assert factors[20] == pytest.approx(1.0)
    assert factors[20:] == sorted(factors[20:], reverse=True)
    assert factors[-1] == pytest.approx(1.0 if name == "constant" else 0.01)


def test_no_warmup_begins_at_full_rate() -> None:
    assert lr_factor(TrainConfig(schedule="cosine", warmup=0.0), 0.0) == 1.0


def test_frame_detector_and_memory_have_a_schedule_each() -> None:
    config = TrainConfig(stage1_fraction=0.6)
    frames = [stage_progress(config, done, memory=False) for done in (0.0, 0.3, 0.6, 0.7)]
    assert frames == pytest.approx([0.0, 0.5, 1.0, 1.0])
    memory = [stage_progress(config, done, memory=True) for done in (0.6, 0.8, 1.0)]
    assert memory == pytest.approx([0.0, 0.5, 1.0])


@pytest.mark.parametrize("done", [0.0, 0.3, 1.0])
def test_one_stage_has_the_whole_training(done: float) -> None:
    assert stage_progress(TrainConfig(stage1_fraction=0.0), done, memory=True) == done
    assert stage_progress(TrainConfig(stage1_fraction=0.0), done, memory=False) == done


@pytest.mark.parametrize(
    ("setting", "problem", "hint"),
    [
        ({"optimizer": "adan"}, "no optimizer named 'adan'", "'adam'"),
        ({"schedule": "cosin"}, "no schedule named 'cosin'", "'cosine'"),
    ],
)
def test_an_unknown_name_is_an_error(
    setting: dict[str, str], problem: str, hint: str, detector: DetectorNet
) -> None:
    config = TrainConfig.model_validate(setting)
    with pytest.raises(ConfigError, match=problem) as caught:
        build_optimizer(config, detector)
    assert hint in caught.value.hint


def test_the_average_follows_weights_and_buffers() -> None:
    """By hand: after one update the mean is 0.1 old + 0.9 new, whatever the decay."""
    model = nn.BatchNorm1d(1)
    average = build_ema(model, 0.99)
    average.update_parameters(model)  # the first one copies
    with torch.no_grad():
        model.weight.fill_(2.0)
        assert model.running_mean is not None
        model.running_mean.fill_(10.0)
        assert model.num_batches_tracked is not None
        model.num_batches_tracked.fill_(7)
    average.update_parameters(model)
    keep = min(0.99, (1 + 1) / (10 + 1))
    mean: Any = average.module
    assert float(mean.weight.detach()) == pytest.approx(keep * 1 + (1 - keep) * 2)
    assert float(mean.running_mean) == pytest.approx((1 - keep) * 10)
    assert int(mean.num_batches_tracked) == 7


def test_classes_weigh_by_how_rare_they_are() -> None:
    """By hand: frequencies 1, 4 to the power -0.5 are 1, 0.5; their mean is 0.75."""
    weights = balanced_weights([1, 4], 0.5)
    torch.testing.assert_close(weights, torch.tensor([1 / 0.75, 0.5 / 0.75]))
    assert balanced_weights([0, 9], 0.0).tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("steps", "budget_s", "now", "done"),
    [
        (10, None, 99.0, 0.5),
        (None, 20.0, 5.0, 0.25),
        (10, 20.0, 5.0, 0.5),
        (10, 20.0, 15.0, 0.75),
        (None, 20.0, 50.0, 1.0),
    ],
)
def test_progress_is_the_larger_of_steps_and_seconds(
    steps: int | None,
    budget_s: float | None,
    now: float,
    done: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Stopped:
        now = 0.0

        def monotonic(self) -> float:
            return self.now

    stopped = Stopped()
    monkeypatch.setattr("lstmcli.training.schedule.time", stopped)
    budget = TrainingBudget(total_steps=steps, budget_s=budget_s, spent_s=2.0)
    stopped.now = now - 2.0
    assert budget.spent_s == now
    assert math.isclose(budget.progress(5), done)
    if budget_s:
        budget.agree(budget_s)  # the clock of the first process counts for all of them
        assert budget.progress(5) == 1.0
