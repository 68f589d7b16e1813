"""What a `last.pt` must hold before a training goes on with it: the file may be damaged."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor, nn

from lstmcli.core.errors import ModelError
from lstmcli.training.loop import EpochStats

_COUNTS = ("epoch", "steps", "since_best", "validate_frames")


def check_training(
    saved: Mapping[str, Any],
    place: str,
    *,
    network: nn.Module,
    ema: nn.Module | None,
    optimizer: torch.optim.Optimizer,
) -> None:
    """Refuse a training state that does not fit the network or is not made of numbers.

    Args:
        saved: what `TrainerState.to_dict` made, or a damaged copy of it.
        place: names the file in the error.
        network: as it will be trained.
        ema: its moving average, None without one.
        optimizer: fresh, for the same network.

    Raises:
        ModelError: something is missing or of the wrong form.
    """
    try:
        _check_weights(saved["model"], network.state_dict(), "model")
        if ema is not None and saved["ema"] is not None:
            _check_weights(saved["ema"], ema.state_dict(), "ema")
        _check_optimizer(saved["optimizer"], optimizer)
        _check_counters(saved["counters"])
        state = saved["state"]
        _demand(
            state is None or all(isinstance(part, Tensor) and part.dim() > 0 for part in state),
            "state",
        )
        _demand(_is_number(saved["spent_s"]) and saved["spent_s"] >= 0, "spent_s")
        _demand(type(saved["batch"]) is int and 0 < saved["batch"] < 1_000_000, "batch")
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ModelError(
            f"{place}: the training state is damaged ({type(error).__name__}: {error})",
            hint="use --init to start from its weights",
        ) from None


def check_options(saved: Mapping[str, Any], place: str) -> dict[str, Any]:
    """Return the saved options of a training.

    Raises:
        ModelError: they are missing or of the wrong form.
    """
    options = saved.get("options")
    names = {"epochs": int, "time_budget_s": float, "init": str}
    good = isinstance(options, dict) and all(
        options.get(name) is None
        or isinstance(options[name], kind)
        or (kind is float and _is_number(options[name]))
        for name, kind in names.items()
    )
    if not good or not isinstance(options, dict):
        raise ModelError(
            f"{place}: the training state is damaged (options)",
            hint="use --init to start from its weights",
        )
    for name in ("epochs", "time_budget_s"):
        value = options.get(name)
        if value is not None and not 0 < value < 1e9:
            raise ModelError(
                f"{place}: the training state is damaged ({name} is {value})",
                hint="use --init to start from its weights",
            )
    return {name: options.get(name) for name in names}


def _demand(holds: bool, what: str) -> None:
    if not holds:
        raise ValueError(what)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _check_weights(found: Mapping[str, Any], wanted: Mapping[str, Tensor], what: str) -> None:
    _demand(set(found) == set(wanted), f"the names of the weights of {what}")
    for name, value in wanted.items():
        other = found[name]
        same = isinstance(other, Tensor) and other.numel() == value.numel()
        _demand(same and other.is_floating_point() == value.is_floating_point(), f"{what}.{name}")


def _check_optimizer(found: Mapping[str, Any], optimizer: torch.optim.Optimizer) -> None:
    groups = found["param_groups"]
    _demand(len(groups) == len(optimizer.param_groups), "the groups of the optimizer")
    parameters: dict[int, Tensor] = {}
    for group, fresh in zip(groups, optimizer.param_groups, strict=True):
        _demand(set(group) == set(fresh), "the keys of a group of the optimizer")
        numbers = group["params"]
        good = isinstance(numbers, list) and all(type(number) is int for number in numbers)
        _demand(good and len(numbers) == len(fresh["params"]), "the parameters of a group")
        parameters |= dict(zip(group["params"], fresh["params"], strict=True))
        for key, value in fresh.items():
            if key == "params":
                continue
            other = group[key]
            if isinstance(value, bool) or value is None:
                _demand(other is value, f"{key} of the optimizer")
            elif isinstance(value, int | float):
                _demand(_is_number(other), f"{key} of the optimizer")
            elif isinstance(value, tuple):
                good = isinstance(other, tuple | list) and len(other) == len(value)
                _demand(good and all(map(_is_number, other)), f"{key} of the optimizer")
    _demand(set(found["state"]) <= set(parameters), "a parameter that the optimizer does not know")
    names = {frozenset(values) for values in found["state"].values()}
    _demand(len(names) <= 1, "the averages of the optimizer")
    for key, values in found["state"].items():
        for name, value in values.items():
            size = parameters[key].numel()
            is_count = name == "step" and (_is_number(value) or _is_scalar(value))
            is_average = isinstance(value, Tensor) and value.numel() == size
            good = is_count if name == "step" else is_average and value.is_floating_point()
            _demand(good, f"{name} of the optimizer")


def _is_scalar(value: object) -> bool:
    return isinstance(value, Tensor) and value.numel() == 1 and bool(value.isfinite().all())


def _check_counters(found: Mapping[str, Any]) -> None:
    for name in _COUNTS:
        _demand(type(found[name]) is int and 0 <= found[name] < 1 << 53, name)
    _demand(isinstance(found["stage1_done"], bool), "stage1_done")
    _demand(_is_number(found["validation_s"]) and found["validation_s"] >= 0, "validation_s")
    _demand(isinstance(found["history"], list), "history")
    for row in (*found["history"], *([found["best"]] if found["best"] else [])):
        _demand(isinstance(row, dict) and all(map(_is_metric, row.items())), "a row of metrics")
        _demand({"epoch", "stage", "step", "loss", "lr", "seconds"} <= set(row), "a row of metrics")
        numbers = ("epoch", "step", "loss", "lr", "seconds", "frames_per_second", "data_wait")
        known = ("map50", "map50_any_class", "recall", "precision")
        for name in (*numbers, *known):
            _demand(name not in row or _is_number(row[name]), f"{name} of an epoch")
        _demand(isinstance(row["stage"], str), "the stage of an epoch")
    _demand(isinstance(found["best"], dict), "best")
    stats = found["epoch_stats"]
    _demand(set(stats) == {part.name for part in fields(EpochStats)}, "epoch_stats")
    losses = stats["losses"]
    _demand(isinstance(losses, dict) and all(map(_is_metric, losses.items())), "losses")
    _demand(all(map(_is_number, losses.values())), "losses")
    for name in ("steps", "frames"):
        _demand(type(stats[name]) is int and 0 <= stats[name] < 1 << 53, f"epoch_stats.{name}")
    _demand("loss" in losses or stats["steps"] == 0, "the losses of the steps")
    for name in ("seconds", "data_wait_s"):
        _demand(_is_number(stats[name]) and stats[name] >= 0, f"epoch_stats.{name}")


def _is_metric(item: tuple[object, object]) -> bool:
    name, value = item
    return isinstance(name, str) and (value is None or isinstance(value, bool | int | float | str))
