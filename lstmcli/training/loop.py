"""The loop: clips in, weights changed, the state carried, detached and reset.

Truncated backpropagation through time: the state goes on from clip to clip of a lane but gradients
stop at a clip's edge (as RVT, 2212.05598, trains its recurrent detector).
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

from lstmcli.core.config import Config
from lstmcli.core.errors import TrainingError
from lstmcli.models.detector import DetectorNet
from lstmcli.models.losses import Targets
from lstmcli.models.temporal import State
from lstmcli.training.optim import lr_factor, set_lr, stage_progress


class Batch(Protocol):
    """What a step looks at; see `lstmcli.dataset.clips.ClipBatch` for shapes."""

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
    def annotated_frames(self) -> Tensor: ...  # noqa: D102


class TrainingBudget:
    """How much of the training is over, by steps or by the time budget, whichever is further.

    Args:
        total_steps: steps of the whole training, None where only the budget ends it.
        budget_s: seconds for training, None where only the steps end it.
        spent_s: seconds that earlier parts of a resumed run took.
    """

    def __init__(
        self, *, total_steps: int | None, budget_s: float | None, spent_s: float = 0.0
    ) -> None:
        assert total_steps or budget_s
        self.total_steps, self.budget_s = total_steps, budget_s
        self._began = time.monotonic() - spent_s
        self._agreed_s: float | None = None

    @property
    def spent_s(self) -> float:
        """Seconds since the training began, without pauses between interruption and resumption."""
        return time.monotonic() - self._began

    def done(self, steps: int) -> float:
        """Return the finished share of the training, 0..1, after that many steps."""
        return self.share(steps, self.spent_s if self._agreed_s is None else self._agreed_s)

    def share(self, steps: int, spent_s: float) -> float:
        """Return what share of the training, 0..1, so many steps and seconds are."""
        by_steps = steps / self.total_steps if self.total_steps else 0.0
        by_time = spent_s / self.budget_s if self.budget_s else 0.0
        return min(1.0, max(by_steps, by_time))

    def agree(self, spent_s: float) -> None:
        """Go by another process's clock from now on, until the next agreement."""
        self._agreed_s = spent_s


@dataclass(slots=True)
class EpochProgress:
    """Sums over the steps of an epoch so far; a resumed epoch goes on with them."""

    steps: int = 0
    frames: int = 0
    seconds: float = 0.0
    waited_s: float = 0.0
    losses: dict[str, float] = field(default_factory=dict)

    def means(self) -> dict[str, float]:
        """Return the mean of every part of the loss."""
        return {name: value / max(1, self.steps) for name, value in self.losses.items()}


@dataclass(frozen=True, slots=True)
class StepDone:
    """One finished step.

    Args:
        progress: of the epoch, including this step.
        state: the carried state after the step, detached.
        rate_factor: what the learning rates were multiplied by.
    """

    progress: EpochProgress
    state: State | None
    lr_factor: float


def targets_of(batch: Batch, device: torch.device) -> Targets:
    """Return the truth of a batch on a device."""
    return Targets(batch.boxes, batch.labels, batch.valid, batch.ignore, batch.annotated_frames).to(
        device
    )


def detached(state: State) -> State:
    """Return the same state without its history."""
    return tuple(part.detach() for part in state)


def train_steps(
    fabric: Fabric,
    model: Any,
    optimizer: torch.optim.Optimizer,
    batches: Iterator[Batch],
    *,
    config: Config,
    epoch: int,
    clock: TrainingBudget,
    steps_before: int,
    memory: bool,
    progress: EpochProgress,
    state: State | None = None,
    class_weights: Tensor | None = None,
    frames_end: float = 1.0,
) -> Iterator[StepDone]:
    """Take one optimisation step for every batch; yield after each.

    Args:
        fabric: places tensors, sets the precision, averages gradients between processes.
        model: the detector as `fabric.setup` returned it.
        optimizer: likewise.
        batches: this process's part of every batch, in order.
        config: the settings.
        epoch: for messages.
        clock: gives the schedule its position.
        steps_before: steps that were taken before this epoch.
        memory: False trains the frame detector alone.
        progress: sums so far; changed in place.
        state: carried from before, None at the beginning of an epoch.
        class_weights: [classes], mean 1, or None.
        frames_end: see `stage_progress`.

    Raises:
        TrainingError: the loss is not a number any more.
    """
    network: DetectorNet = model.module if hasattr(model, "module") else model
    model.train()
    if memory and _features_rest(network, config):
        network.backbone.eval()
        network.neck.eval()
    frames_factor = (
        config.train.stage2_backbone_lr_scale if memory and network.has_temporal_core else 1.0
    )
    second_stage = memory and network.has_temporal_core and config.train.stage1_fraction > 0
    stage_factor = config.train.stage2_lr_scale if second_stage else 1.0
    asked = time.monotonic()
    for batch in batches:
        data_wait = time.monotonic() - asked
        # dropout draws the same in a resumed run, and differently in every process
        step_seed = config.train.seed * 1_000_003 + steps_before + progress.steps
        torch.manual_seed(step_seed * fabric.world_size + fabric.global_rank)
        done = clock.done(steps_before + progress.steps)
        if network.has_temporal_core:
            done = stage_progress(config.train, done, memory=memory, frames_end=frames_end)
        factor = lr_factor(config.train, done) * stage_factor
        set_lr(optimizer, factor, frames_factor=frames_factor)
        frames = batch.frames.to(fabric.device, non_blocking=True)
        previous_frames = batch.previous_frames.to(fabric.device, non_blocking=True)
        raw, state = model(
            frames,
            previous_frames if previous_frames.numel() else None,
            state if memory else None,
            starts=batch.starts.to(fabric.device, non_blocking=True),
            memory=memory,
        )
        state = detached(state) if memory else None
        raw = raw.flatten(0, 1)
        targets = targets_of(batch, fabric.device)
        parts = network.head.loss(
            raw,
            targets,
            config.loss,
            class_weights=class_weights,
            normaliser=_shared_count(fabric, network, raw, targets, config),
        )
        total = torch.stack(list(parts.values())).sum()
        if not math.isfinite(float(total.detach())):
            raise TrainingError(
                f"the loss became {float(total.detach())} in epoch {epoch}, "
                f"step {progress.steps + 1}",
                hint="lower train.lr, lengthen train.warmup or lower train.max_grad_norm",
            )
        optimizer.zero_grad(set_to_none=True)
        fabric.backward(total)
        fabric.clip_gradients(
            model, optimizer, max_norm=config.train.max_grad_norm, error_if_nonfinite=False
        )
        optimizer.step()
        now = time.monotonic()
        progress.steps += 1
        progress.frames += frames.shape[0] * frames.shape[1] * fabric.world_size
        progress.seconds += now - asked
        progress.waited_s += data_wait
        _add_losses(progress.losses, parts, total)
        asked = now
        yield StepDone(progress, state, factor)


def set_trainable(network: DetectorNet, config: Config, *, memory: bool) -> None:
    """Let exactly those parameters learn that take part in a stage of the training.

    Processes wait for the gradient of every parameter that learns, so none may be left out.

    Args:
        network: whose parameters are switched.
        config: may freeze the backbone, or the features while the memory is trained.
        memory: False in the frame stage.
    """
    network.requires_grad_(True)
    if not memory:
        for part in (network.temporal, network.narrow):
            for parameter in part.parameters():
                parameter.requires_grad_(False)
        if network.skip == "concat":
            network.join.requires_grad_(False)
    elif _features_rest(network, config):
        network.neck.requires_grad_(False)
        network.backbone.requires_grad_(False)
    if config.backbone.freeze:
        network.backbone.requires_grad_(False)


def _features_rest(network: DetectorNet, config: Config) -> bool:
    return config.train.stage2_backbone_lr_scale == 0 and network.has_temporal_core


def _shared_count(
    fabric: Fabric, network: DetectorNet, raw: Tensor, targets: Targets, config: Config
) -> Tensor | None:
    """Return the mean count of positive cells of all processes, so that 2 x 4 clips equal 1 x 8."""
    if fabric.world_size == 1:
        return None
    own = network.head.count_positives(raw, targets, config.loss)
    shared = fabric.all_reduce(own, reduce_op="mean")
    assert isinstance(shared, Tensor)
    # mended after averaging, so that a process without objects counts as none
    return shared.clamp_min(1 / fabric.world_size)


def _add_losses(sums: dict[str, float], parts: Mapping[str, Tensor], total: Tensor) -> None:
    for name, value in {"loss": total, **parts}.items():
        sums[name] = sums.get(name, 0.0) + float(value.detach())


def balanced_weights(counts: Sequence[int], power: float) -> Tensor:
    """Return a weight for each class, frequency ** -power with mean 1, [classes]."""
    frequency = torch.tensor(counts, dtype=torch.float32).clamp_min(1)
    weights = frequency.pow(-power)
    return weights / weights.mean()
