"""The state of a training survives saving, and that of earlier releases is read."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import torch
from torch import nn

from lstmcli.training.loop import EpochStats
from lstmcli.workflows.train.state import Counters, load_optimizer, upgrade_training

COUNTERS = Counters(
    epoch=2,
    steps=40,
    history=[{"epoch": 1, "loss": 2.5, "data_wait": 0.1}, {"epoch": 2, "loss": 1.5}],
    best={"epoch": 2, "loss": 1.5},
    since_best=1,
    stage1_done=True,
    validation_s=3.5,
    validate_frames=120,
    epoch_stats=EpochStats(7, 56, 4.0, 0.5, {"loss": 9.0, "box": 3.0}),
)


def test_counters_are_restored_as_they_were_saved() -> None:
    assert Counters.from_dict(COUNTERS.to_dict()) == COUNTERS
    assert set(COUNTERS.to_dict()) == {part.name for part in fields(Counters)}


def test_unknown_metrics_are_not_saved() -> None:
    counters = Counters(history=[{"epoch": 1, "map50": None}], best={"map50": None, "epoch": 1})
    saved = counters.to_dict()
    assert (saved["history"], saved["best"]) == ([{"epoch": 1}], {"epoch": 1})


def test_restored_counters_share_nothing_with_the_checkpoint() -> None:
    saved = COUNTERS.to_dict()
    counters = Counters.from_dict(saved)
    counters.history.append({"epoch": 3})
    counters.best["epoch"] = 3
    counters.epoch_stats.losses["loss"] = 0.0
    assert saved == COUNTERS.to_dict()


def test_the_training_state_of_an_earlier_release_is_read() -> None:
    old: dict[str, Any] = {
        "model": {"a": 1},
        "optimizer": {"b": 2},
        "average": {"c": 3},
        "epoch": 2,
        "steps": 40,
        "part": {
            "steps": 7,
            "frames": 56,
            "seconds": 4.0,
            "waited_s": 0.5,
            "losses": {"loss": 9.0, "box": 3.0},
        },
        "state": None,
        "history": [{"epoch": 1, "loss": 2.5, "waited": 0.1}, {"epoch": 2, "loss": 1.5}],
        "best": {"epoch": 2, "loss": 1.5},
        "since_best": 1,
        "frames_are_done": True,
        "validation_s": 3.5,
        "validate_frames": 120,
        "batch": 8,
        "spent_s": 99.0,
        "options": {"epochs": 4, "time_budget_s": None, "init": None},
    }
    upgraded = upgrade_training(old)
    assert Counters.from_dict(upgraded.pop("counters")) == COUNTERS
    unchanged = {name: old[name] for name in ("model", "optimizer", "state", "batch", "spent_s")}
    assert upgraded == unchanged | {"ema": old["average"], "options": old["options"]}
    assert upgrade_training({}) == {}
    today = {"counters": COUNTERS.to_dict()}
    assert upgrade_training(today) == today


def test_moments_of_a_matrix_fit_the_convolution_that_took_its_place() -> None:
    """`lstm` and `gru` were linear layers before they became 1x1 convolutions."""
    linear, convolution = nn.Linear(3, 4), nn.Conv2d(3, 4, 1)
    before, after = (torch.optim.AdamW(layer.parameters()) for layer in (linear, convolution))
    linear(torch.ones(2, 3)).sum().backward()
    before.step()
    load_optimizer(after, before.state_dict())
    moment = after.state[convolution.weight]["exp_avg"]
    assert moment.shape == convolution.weight.shape
    assert torch.equal(moment[:, :, 0, 0], before.state[linear.weight]["exp_avg"])
    convolution(torch.ones(2, 3, 1, 1)).sum().backward()
    after.step()
