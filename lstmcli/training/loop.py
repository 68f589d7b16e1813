"""Training loop: truncated backpropagation through time over clips.

The state carries over from clip to clip of a stream slot, but gradients stop at a clip's edge (as
in RVT, 2212.05598).
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from lightning_fabric import Fabric
from torch import Tensor

from lstmcli.core.config import LossConfig, TrainConfig
from lstmcli.core.errors import TrainingError
from lstmcli.models.detector import DetectorNet
from lstmcli.models.losses import Targets
from lstmcli.models.temporal import State
from lstmcli.training.optim import set_lr
from lstmcli.training.schedule import TrainingBudget, lr_factor, stage_progress


class Batch(Protocol):
    """The input of a step; see `lstmcli.dataset.clips.ClipBatch` for shapes."""

    @property
    def frames(self) -> Tensor: ...  # noqa: D102
    @property
    def previous_frames(self) -> Tensor: ...  # noqa: D102
    @property
    def starts(self) -> Tensor: ...  # noqa: D102
    @property
    def boxes(self) -> Tensor: ...  # noqa: D102
    @property
    def labels(self) -> Tensor: ...  # noqa: D102
    @property
    def valid(self) -> Tensor: ...  # noqa: D102
    @property
    def ignore(self) -> Tensor: ...  # noqa: D102
    @property
    def scores(self) -> Tensor: ...  # noqa: D102
    @property
    def annotated_frames(self) -> Tensor: ...  # noqa: D102


@dataclass(slots=True)
class EpochStats:
    """Sums over the steps of an epoch so far; a resumed epoch continues them."""

    steps: int = 0
    frames: int = 0
    seconds: float = 0.0
    data_wait_s: float = 0.0
    losses: dict[str, float] = field(default_factory=dict)

    def means(self) -> dict[str, float]:
        """Return the mean of every part of the loss."""
        return {name: value / max(1, self.steps) for name, value in self.losses.items()}


@dataclass(frozen=True, slots=True)
class StepResult:
    """One finished step.

    Args:
        stats: of the epoch, including this step.
        state: the recurrent state after the step, detached.
        lr_factor: of the learning rates.
    """

    stats: EpochStats
    state: State | None
    lr_factor: float


def targets_of(batch: Batch, device: torch.device) -> Targets:
    """Return the ground truth of a batch on a device."""
    return Targets(
        batch.boxes, batch.labels, batch.valid, batch.ignore, batch.scores, batch.annotated_frames
    ).to(device)


def detached(state: State) -> State:
    """Return the state without its gradient history."""
    return tuple(part.detach() for part in state)


def train_steps(
    fabric: Fabric,
    network: DetectorNet,
    model: Any,
    optimizer: torch.optim.Optimizer,
    batches: Iterator[Batch],
    *,
    train: TrainConfig,
    loss: LossConfig,
    epoch: int,
    budget: TrainingBudget,
    steps_before: int,
    memory: bool,
    stats: EpochStats,
    state: State | None = None,
    class_weights: Tensor | None = None,
    stage1_end: float = 1.0,
) -> Iterator[StepResult]:
    """Take one optimisation step for every batch; yield after each.

    Args:
        fabric: places tensors, sets the precision, averages gradients between processes.
        network: the detector.
        model: the network after `fabric.setup`.
        optimizer: likewise.
        batches: this process's part of every batch, in order.
        train: schedule, learning rates and seed.
        loss: weights and label assignment.
        epoch: for messages.
        budget: progress of the whole training.
        steps_before: steps before this epoch.
        memory: False trains the frame detector alone (stage 1).
        stats: sums of the epoch so far; changed in place.
        state: carried from before, None at the beginning of an epoch.
        class_weights: [classes], mean 1, or None.
        stage1_end: see `stage_progress`.

    Raises:
        TrainingError: the loss is not finite.
    """
    model.train()
    core_is_trained = memory and network.has_temporal_core
    if core_is_trained and _features_are_frozen(network, train):
        network.backbone.eval()
        network.neck.eval()
    features_factor = train.stage2_backbone_lr_scale if core_is_trained else 1.0
    stage_factor = train.stage2_lr_scale if core_is_trained and train.stage1_fraction > 0 else 1.0
    requested = time.monotonic()
    for batch in batches:
        data_wait = time.monotonic() - requested
        # dropout is the same in a resumed run, and different in every process
        step_seed = train.seed * 1_000_003 + steps_before + stats.steps
        torch.manual_seed(step_seed * fabric.world_size + fabric.global_rank)
        progress = budget.progress(steps_before + stats.steps)
        if network.has_temporal_core:
            progress = stage_progress(train, progress, memory=memory, stage1_end=stage1_end)
        factor = lr_factor(train, progress) * stage_factor
        set_lr(optimizer, factor, features_factor=features_factor)
        parts, state = _losses(
            fabric, network, model, batch, loss, state, memory=memory, class_weights=class_weights
        )
        total = torch.stack(list(parts.values())).sum()
        if not math.isfinite(float(total.detach())):
            raise TrainingError(
                f"the loss became {float(total.detach())} in epoch {epoch}, step {stats.steps + 1}",
                hint="lower train.lr, lengthen train.warmup or lower train.max_grad_norm",
            )
        optimizer.zero_grad(set_to_none=True)
        fabric.backward(total)
        fabric.clip_gradients(
            model, optimizer, max_norm=train.max_grad_norm, error_if_nonfinite=False
        )
        optimizer.step()
        now = time.monotonic()
        stats.steps += 1
        stats.frames += batch.frames.shape[0] * batch.frames.shape[1] * fabric.world_size
        stats.seconds += now - requested
        stats.data_wait_s += data_wait
        _add_losses(stats.losses, parts, total)
        requested = now
        yield StepResult(stats, state, factor)


def _losses(
    fabric: Fabric,
    network: DetectorNet,
    model: Any,
    batch: Batch,
    config: LossConfig,
    state: State | None,
    *,
    memory: bool,
    class_weights: Tensor | None,
) -> tuple[dict[str, Tensor], State | None]:
    """Run a batch forward; return the parts of its loss and the detached state."""
    previous_frames = batch.previous_frames.to(fabric.device, non_blocking=True)
    raw, after = model(
        batch.frames.to(fabric.device, non_blocking=True),
        previous_frames if previous_frames.numel() else None,
        state if memory else None,
        starts=batch.starts.to(fabric.device, non_blocking=True),
        memory=memory,
    )
    raw = raw.flatten(0, 1)
    targets = targets_of(batch, fabric.device)
    parts = network.head.loss(
        raw,
        targets,
        config,
        class_weights=class_weights,
        normaliser=_shared_count(fabric, network, raw, targets, config),
    )
    return parts, detached(after) if memory else None


def set_trainable(network: DetectorNet, config: TrainConfig, *, memory: bool) -> None:
    """Set `requires_grad` of exactly those parameters that take part in a stage of the training.

    Processes wait for the gradient of every parameter that requires one, so none may be unused.

    Args:
        network: its settings may freeze the backbone.
        config: may freeze backbone and neck in stage 2.
        memory: False in stage 1.
    """
    network.requires_grad_(True)
    if not memory:
        for part in (network.temporal, network.reduce):
            for parameter in part.parameters():
                parameter.requires_grad_(False)
        if network.skip == "concat":
            network.fuse.requires_grad_(False)
    elif _features_are_frozen(network, config):
        network.neck.requires_grad_(False)
        network.backbone.requires_grad_(False)
    if network.config.backbone.freeze:
        network.backbone.requires_grad_(False)


def _features_are_frozen(network: DetectorNet, config: TrainConfig) -> bool:
    return config.stage2_backbone_lr_scale == 0 and network.has_temporal_core


def _shared_count(
    fabric: Fabric, network: DetectorNet, raw: Tensor, targets: Targets, config: LossConfig
) -> Tensor | None:
    """Return the mean count of positives of all processes, so that 2 x 4 clips equal 1 x 8."""
    if fabric.world_size == 1:
        return None
    own = network.head.count_positives(raw, targets, config)
    shared = fabric.all_reduce(own, reduce_op="mean")
    assert isinstance(shared, Tensor)
    # clamped after averaging, so that a process without objects counts as none
    return shared.clamp_min(1 / fabric.world_size)


def _add_losses(sums: dict[str, float], parts: Mapping[str, Tensor], total: Tensor) -> None:
    for name, value in {"loss": total, **parts}.items():
        sums[name] = sums.get(name, 0.0) + float(value.detach())


def balanced_weights(counts: Sequence[int], power: float) -> Tensor:
    """Return a weight for each class, frequency ** -power with mean 1, [classes]."""
    frequency = torch.tensor(counts, dtype=torch.float32).clamp_min(1)
    weights = frequency.pow(-power)
    return weights / weights.mean()
