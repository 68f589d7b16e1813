"""Optimizers by name, their parameter groups, and the moving average of the weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from lstmcli.core.config import TrainConfig
from lstmcli.core.errors import choose
from lstmcli.models.detector import DetectorNet
from lstmcli.training.schedule import SCHEDULES

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


def build_optimizer(config: TrainConfig, model: DetectorNet) -> torch.optim.Optimizer:
    """Make the optimizer; norms and biases have no weight decay, the backbone its own rate.

    Every group holds `base`, its learning rate before the schedule, and `of_frames`, whether it
    belongs to backbone or neck.

    Raises:
        ConfigError: there is no optimizer or schedule of that name; the hint holds the nearest one.
    """
    choose(SCHEDULES, config.schedule, "schedule")
    groups: dict[tuple[str, bool], list[Tensor]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        part = name.split(".")[0]
        module = part if part in {"backbone", "neck"} else "rest"
        groups.setdefault((module, parameter.ndim > 1), []).append(parameter)
    described: list[dict[str, object]] = []
    for (module, decays), parameters in groups.items():
        base = config.lr * (config.backbone_lr_scale if module == "backbone" else 1.0)
        described.append(
            {
                "params": parameters,
                "weight_decay": config.weight_decay if decays else 0.0,
                "base": base,
                "of_frames": module != "rest",
            }
        )
    return choose(OPTIMIZERS, config.optimizer, "optimizer")(described, config.lr)


def set_lr(
    optimizer: torch.optim.Optimizer, factor: float, *, features_factor: float = 1.0
) -> None:
    """Set every group's learning rate to its base times the factors.

    Args:
        optimizer: of `build_optimizer`.
        factor: of all groups.
        features_factor: of backbone and neck besides.
    """
    for group in optimizer.param_groups:
        own = features_factor if group["of_frames"] else 1.0
        group["lr"] = group["base"] * factor * own


def build_ema(model: nn.Module, decay: float) -> AveragedModel:
    """Return an exponential moving average of weights and buffers.

    The decay grows from 0.1 to its value, min(decay, (1 + n) / (10 + n)), so that the average
    follows the weights from the first epoch (as in TensorFlow's ExponentialMovingAverage).
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
