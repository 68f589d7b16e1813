"""What a training is: its options, its outcome and its moving parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from lstmcli.core.config import Config
from lstmcli.core.progress import Progress
from lstmcli.dataset.manifest import Dataset
from lstmcli.models.detector import DetectorNet
from lstmcli.models.temporal import State
from lstmcli.training.distributed import Interruption
from lstmcli.training.loop import (
    EpochProgress,
    TrainingBudget,
)

BUDGET_EPOCHS = 6
"""Validations in a time budget; more would take time from the training."""
RUN_FILES = ("best.pt", "last.pt", "config.yaml", "metrics.csv", "curves.png")


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """What a user can choose besides the configuration.

    Args:
        epochs: overrides the configuration's; None with a budget: as many as fit.
        time_budget_s: end within it, validation and saving included.
        init: a checkpoint, run or shipped model to start the weights from.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        devices: processes on this machine that share every batch.
        nodes: machines.
    """

    epochs: int | None = None
    time_budget_s: float | None = None
    init: str | None = None
    device: str = "auto"
    devices: int = 1
    nodes: int = 1


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training left.

    Args:
        run: the folder.
        best: the numbers of the best epoch.
        epochs: finished in all.
        interrupted: ended by Ctrl-C; `--resume` goes on.
        seconds: spent on training and validation.
        history: the numbers of every epoch, as in `metrics.csv`.
    """

    run: Path
    best: Mapping[str, Any]
    epochs: int
    interrupted: bool
    seconds: float
    history: tuple[Mapping[str, Any], ...] = ()


@dataclass(slots=True)
class TrainerState:
    """The moving parts of a training, in one process."""

    folder: Path
    config: Config
    options: TrainOptions
    dataset: Dataset
    fabric: Fabric
    progress: Progress
    network: DetectorNet
    optimizer: torch.optim.Optimizer
    average: Any
    clock: TrainingBudget
    class_weights: torch.Tensor | None
    batch: int
    epochs: int | None
    epoch: int = 0
    steps: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Any] = field(default_factory=dict)
    since_best: int = 0
    frames_are_done: bool = False
    validation_s: float = 0.0
    validate_frames: int = 0
    part: EpochProgress = field(default_factory=EpochProgress)
    model: Any = None
    trains_memory: bool | None = None
    state: State | None = None
    saved_at: float = 0.0
    interruption: Interruption = field(default_factory=Interruption)
