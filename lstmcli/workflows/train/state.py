"""State of a training: options, result, counters and mutable objects."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor

from lstmcli.core.config import Config
from lstmcli.core.progress import Progress
from lstmcli.dataset.manifest import Dataset
from lstmcli.models.detector import DetectorNet
from lstmcli.models.temporal import State
from lstmcli.training.distributed import Interruption
from lstmcli.training.loop import EpochStats
from lstmcli.training.schedule import TrainingBudget

BUDGET_EPOCHS = 6
"""Validations in a time budget; more would take time from the training."""
RUN_FILES = ("best.pt", "last.pt", "metrics.csv", "curves.png", "config.yaml")
"""In the order in which they are removed: config.yaml, by which a run is known, is the last."""
CHECKPOINTS = RUN_FILES[:2]


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """Options of a training besides the configuration.

    Args:
        epochs: overrides the configuration's; None with a budget: as many as fit.
        time_budget_s: end within it, validation and saving included.
        init: a checkpoint, run or shipped model to start the weights from; `none`: untrained; None:
            `general` where the preset has its shape.
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
    """Result of a training.

    Args:
        run: the folder.
        best: the metrics of the best epoch.
        epochs: finished in all.
        interrupted: ended by Ctrl-C; `--resume` goes on.
        seconds: spent on training and validation.
        history: the metrics of every epoch, as in `metrics.csv`.
    """

    run: Path
    best: Mapping[str, Any]
    epochs: int
    interrupted: bool
    seconds: float
    history: tuple[Mapping[str, Any], ...] = ()


@dataclass(slots=True)
class Counters:
    """Plain values that a resumed run continues from; every field is saved.

    Args:
        epoch: finished epochs.
        steps: optimisation steps in them.
        history: the metrics of every epoch.
        best: the metrics of the best one.
        since_best: epochs since then.
        stage1_done: the frame detector is trained; the recurrent core is trained from here on.
        validation_s: duration of the last validation and saving.
        validate_frames: frames of a validation; 0: not decided yet.
        epoch_stats: sums of the unfinished epoch.
    """

    epoch: int = 0
    steps: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Any] = field(default_factory=dict)
    since_best: int = 0
    stage1_done: bool = False
    validation_s: float = 0.0
    validate_frames: int = 0
    epoch_stats: EpochStats = field(default_factory=EpochStats)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; unknown metrics (None) are left out."""
        values = asdict(self)
        values["history"] = [known_metrics(row) for row in self.history]
        values["best"] = known_metrics(self.best)
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Counters:
        """Return the counters of `to_dict`."""
        counters = cls(**{part.name: values[part.name] for part in fields(cls)})
        counters.history = [dict(row) for row in counters.history]
        counters.best = dict(counters.best)
        counters.epoch_stats = EpochStats(**copy.deepcopy(values["epoch_stats"]))
        return counters


@dataclass(slots=True)
class TrainerState:
    """All mutable state of a training, in one process.

    Args:
        staging: where the files lie until the first checkpoint, while an older run is in `folder`.
        is_anew: whether the older one has the same settings: its best.pt stays until there is one.
    """

    folder: Path
    config: Config
    options: TrainOptions
    dataset: Dataset
    fabric: Fabric
    progress: Progress
    network: DetectorNet
    optimizer: torch.optim.Optimizer
    ema: Any
    budget: TrainingBudget
    class_weights: Tensor | None
    batch: int
    epochs: int | None
    counters: Counters = field(default_factory=Counters)
    model: Any = None
    trains_memory: bool | None = None
    state: State | None = None
    saved_at: float = 0.0
    interruption: Interruption = field(default_factory=Interruption)
    staging: Path | None = None
    is_anew: bool = False

    @property
    def files(self) -> Path:
        """The folder in which the files of the run lie now."""
        is_staged = self.staging is not None and (self.staging / "config.yaml").is_file()
        return self.staging if self.staging is not None and is_staged else self.folder

    def to_dict(self) -> dict[str, Any]:
        """Return the state of a resumable run as plain containers; collective over processes."""
        return {
            "model": on_cpu(self.network.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "ema": None if self.ema is None else on_cpu(self.ema.state_dict()),
            "state": self._gathered_state(),
            "counters": self.counters.to_dict(),
            "batch": self.batch,
            "spent_s": self.budget.spent_s,
            "options": {
                name: getattr(self.options, name) for name in ("epochs", "time_budget_s", "init")
            },
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Restore the state of `to_dict`; network and budget were built from it."""
        load_optimizer(self.optimizer, saved["optimizer"])
        if self.ema is not None and saved["ema"] is not None:
            self.ema.load_state_dict(saved["ema"])
        if saved["state"] is not None:
            world, rank = self.fabric.world_size, self.fabric.global_rank
            self.state = tuple(part[rank::world].to(self.fabric.device) for part in saved["state"])
        self.counters = Counters.from_dict(saved["counters"])

    def _gathered_state(self) -> list[Tensor] | None:
        """Return the recurrent state of all stream slots in their order, on the CPU."""
        if self.state is None:
            return None
        whole = []
        for part in self.state:
            if self.fabric.world_size > 1:
                gathered = [torch.empty_like(part) for _ in range(self.fabric.world_size)]
                torch.distributed.all_gather(gathered, part.contiguous())
                part = torch.stack(gathered, 1).flatten(0, 1)  # slot s belongs to process s % world
            whole.append(part.cpu())
        return whole


def on_cpu(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return copies of the weights on the CPU."""
    return {name: value.detach().cpu().clone() for name, value in weights.items()}


def known_metrics(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metrics that are known."""
    return {name: value for name, value in row.items() if value is not None}


def load_optimizer(optimizer: torch.optim.Optimizer, saved: Mapping[str, Any]) -> None:
    """Load an optimizer's state; averages take the shape of their parameter (`lstm`, `gru`)."""
    optimizer.load_state_dict(dict(saved))
    for parameter, values in optimizer.state.items():
        for name, value in values.items():
            if isinstance(value, Tensor) and value.numel() == parameter.numel() > 1:
                values[name] = value.view_as(parameter)


def upgrade_training(saved: Mapping[str, Any]) -> dict[str, Any]:
    """Return the training state of a `last.pt` in today's form (from before 2026-11-25 too)."""
    if "counters" in saved or not saved:
        return dict(saved)
    values = dict(saved)
    stats = dict(values.pop("part"))
    stats["data_wait_s"] = stats.pop("waited_s")
    counters = {
        "history": [_with_data_wait(row) for row in values.pop("history")],
        "best": _with_data_wait(values.pop("best")),
        "stage1_done": values.pop("frames_are_done"),
        "validate_frames": values.pop("validate_frames", 0),
        "epoch_stats": stats,
    }
    for name in ("epoch", "steps", "since_best", "validation_s"):
        counters[name] = values.pop(name)
    values["ema"] = values.pop("average")
    return values | {"counters": counters}


def _with_data_wait(row: Mapping[str, Any]) -> dict[str, Any]:
    return {("data_wait" if name == "waited" else name): value for name, value in row.items()}
