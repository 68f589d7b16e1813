"""Optimizers, schedules and the running average of the weights, each chosen by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from lstmcli.core.config import TrainConfig
from lstmcli.core.errors import choose
from lstmcli.models.detector import DetectorNet

Tensors = tuple[Tensor, ...] | list[Tensor]


def _adam(groups: list[dict[str, object]], lr: float) -> torch.optim.Optimizer:
    return torch.optim.Adam(groups, lr=lr)


def _adamw(groups: list[dict[str, object]], lr: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups, lr=lr)


def _adagrad(groups: list[dict[str, object]], lr: float) -> torch.optim.Optimizer:
    return torch.optim.Adagrad(groups, lr=lr)


def _sgd(groups: list[dict[str, object]], lr: float) -> torch.optim.Optimizer:
    return torch.optim.SGD(groups, lr=lr, momentum=0.9, nesterov=True)


OPTIMIZERS: Mapping[str, Callable[[list[dict[str, object]], float], torch.optim.Optimizer]] = {
    "adam": _adam,
    "adamw": _adamw,
    "adagrad": _adagrad,
    "sgd": _sgd,
}


def _cosine(done: float) -> float:
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))


def _linear(done: float) -> float:
    return 1 - 0.99 * done


def _step(done: float) -> float:
    return 1.0 if done < 0.6 else 0.1 if done < 0.85 else 0.01


def _constant(done: float) -> float:
    return 1.0


SCHEDULES: Mapping[str, Callable[[float], float]] = {
    "cosine": _cosine,
    "linear": _linear,
    "step": _step,
    "constant": _constant,
}


def lr_factor(config: TrainConfig, done: float) -> float:
    """Return what the learning rate is multiplied by when `done` (0..1) of a stage is over."""
    schedule = choose(SCHEDULES, config.schedule, "schedule")
    if done < config.warmup:
        return max(done / config.warmup, 1e-3)
    return schedule(min(1.0, (done - config.warmup) / max(1e-9, 1 - config.warmup)))


def stage_progress(
    config: TrainConfig, done: float, *, memory: bool, frames_end: float = 1.0
) -> float:
    """Return how much of its own stage is over when `done` (0..1) of a training in two is.

    Each stage has a schedule of its own: the memory begins with untrained weights, and would learn
    little at the end of the frame detector's.

    Args:
        config: says at which share of the training the memory's stage begins.
        done: share of the whole training.
        memory: which stage it is.
        frames_end: share after which the frame stage did end: earlier where a resumed run was
            lengthened.
    """
    if memory:
        begin = min(config.stage1_fraction, frames_end)
        return max(0.0, done - begin) / (1 - begin)
    return min(1.0, done / config.stage1_fraction) if config.stage1_fraction else done


def build_optimizer(config: TrainConfig, model: DetectorNet) -> torch.optim.Optimizer:
    """Make the optimizer; norms and biases are not decayed, the backbone has its own rate.

    Every group holds `base`, its learning rate before the schedule, and `of_frames`, whether it
    belongs to the frame detector's features (backbone and neck).

    Raises:
        ConfigError: there is no optimizer or schedule of that name; the hint holds the nearest one.
    """
    choose(SCHEDULES, config.schedule, "schedule")
    groups: dict[tuple[str, bool], list[Tensor]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        part = name.split(".")[0]
        room = part if part in {"backbone", "neck"} else "rest"
        groups.setdefault((room, parameter.ndim > 1), []).append(parameter)
    described: list[dict[str, object]] = []
    for (room, decays), parameters in groups.items():
        base = config.lr * (config.backbone_lr_scale if room == "backbone" else 1.0)
        described.append(
            {
                "params": parameters,
                "weight_decay": config.weight_decay if decays else 0.0,
                "base": base,
                "of_frames": room != "rest",
            }
        )
    return choose(OPTIMIZERS, config.optimizer, "optimizer")(described, config.lr)


def set_lr(optimizer: torch.optim.Optimizer, factor: float, *, frames_factor: float = 1.0) -> None:
    """Set every group's learning rate to its base times the factors."""
    for group in optimizer.param_groups:
        own = frames_factor if group["of_frames"] else 1.0
        group["lr"] = group["base"] * factor * own


def build_ema(model: nn.Module, decay: float) -> AveragedModel:
    """Return an exponential moving average of weights and buffers.

    The decay grows from 0.1 to its value, min(decay, (1 + n) / (10 + n)), so that the average is
    of use from the first epoch (as in TensorFlow's ExponentialMovingAverage).
    """

    @torch.no_grad()
    def update(averaged: Tensors, current: Tensors, count: Tensor | int) -> None:
        n = int(count)
        keep = min(decay, (1 + n) / (10 + n))
        for mean, value in zip(averaged, current, strict=True):
            if mean.is_floating_point():
                mean.lerp_(value.to(mean.dtype), 1 - keep)
            else:
                mean.copy_(value)

    return AveragedModel(model, multi_avg_fn=update, use_buffers=True)
