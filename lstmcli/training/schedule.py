"""Progress of the training, and learning-rate schedules."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping

from lstmcli.core.config import TrainConfig
from lstmcli.core.errors import choose


def _cosine(progress: float) -> float:
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress))


def _linear(progress: float) -> float:
    return 1 - 0.99 * progress


def _step(progress: float) -> float:
    return 1.0 if progress < 0.6 else 0.1 if progress < 0.85 else 0.01


def _constant(progress: float) -> float:
    return 1.0


SCHEDULES: Mapping[str, Callable[[float], float]] = {
    "cosine": _cosine,
    "linear": _linear,
    "step": _step,
    "constant": _constant,
}


def lr_factor(config: TrainConfig, progress: float) -> float:
    """Return the factor of the learning rate at a stage's progress (0..1), warm-up included."""
    schedule = choose(SCHEDULES, config.schedule, "schedule")
    if progress < config.warmup:
        return max(progress / config.warmup, 1e-3)
    return schedule(min(1.0, (progress - config.warmup) / max(1e-9, 1 - config.warmup)))


def stage_progress(
    config: TrainConfig, progress: float, *, memory: bool, stage1_end: float = 1.0
) -> float:
    """Return the progress of the current stage, 0..1, from that of the whole training.

    Each stage has a schedule of its own: stage 2 begins with untrained weights of the core, which
    would hardly be trained at the end of the first stage's schedule.

    Args:
        config: stage 2 begins at `stage1_fraction`.
        progress: of the whole training, 0..1.
        memory: whether it is stage 2.
        stage1_end: progress at which stage 1 did end: earlier where a resumed run was lengthened.
    """
    if memory:
        begin = min(config.stage1_fraction, stage1_end)
        return max(0.0, progress - begin) / (1 - begin)
    return min(1.0, progress / config.stage1_fraction) if config.stage1_fraction else progress


class TrainingBudget:
    """The progress of the training, by steps or by the time budget, whichever is further.

    Args:
        total_steps: steps of the whole training, None where only the budget ends it.
        budget_s: seconds of training, None where only the steps end it.
        spent_s: seconds before a resumption.
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
        """Seconds of training so far, without pauses between interruption and resumption."""
        return time.monotonic() - self._began

    def progress(self, steps: int) -> float:
        """Return the finished share of the training, 0..1, after so many steps."""
        return self.share(steps, self.spent_s if self._agreed_s is None else self._agreed_s)

    def share(self, steps: int, spent_s: float) -> float:
        """Return the share of the training, 0..1, of a number of steps and seconds."""
        by_steps = steps / self.total_steps if self.total_steps else 0.0
        by_time = spent_s / self.budget_s if self.budget_s else 0.0
        return min(1.0, max(by_steps, by_time))

    def agree(self, spent_s: float) -> None:
        """Use another process's clock until the next agreement."""
        self._agreed_s = spent_s
