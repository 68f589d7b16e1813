"""Search for the fastest batch size by timing a few steps of each size."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from lightning_fabric import Fabric

from lstmcli.core.config import LossConfig, TrainConfig
from lstmcli.core.system import available_memory, held_memory
from lstmcli.models.detector import DetectorNet
from lstmcli.training.loop import Batch, EpochStats, set_trainable, train_steps
from lstmcli.training.optim import build_optimizer
from lstmcli.training.schedule import TrainingBudget

SMALLEST, LARGEST = 4, 128
"""Range of the search in clips; each batch is twice the one before."""
MIN_SPEEDUP = 1.05
"""Minimum speed-up over a smaller batch that justifies the memory."""
MEMORY_SHARE = 0.6
"""Share of the free memory for a step; the rest is for validation and other programs."""
LONGEST_STEP_S = 5.0
STEPS = 3


def measured_batch(
    fabric: Fabric,
    network: DetectorNet,
    draw: Callable[[int, bool], Batch],
    *,
    train: TrainConfig,
    loss: LossConfig,
) -> int:
    """Return the fastest batch size in clips that fits into the memory.

    Powers of two are tried from small to large, on a copy of the network, in the stage that takes
    the most memory, until the memory ends or a larger batch is not faster.

    Args:
        fabric: of one process.
        network: on its device; unchanged.
        draw: returns a batch of so many clips; of single frames, as many as the clips have, where
            the second argument is False.
        train: the settings of the training.
        loss: of the loss.
    """
    rates: dict[int, float] = {}
    random = torch.get_rng_state()
    held, free = _held_memory(fabric.device), _free_memory(fabric.device)
    batch = SMALLEST
    while batch <= LARGEST:
        try:
            step_s = _step_s(fabric, network, draw, batch, train=train, loss=loss)
        except (torch.OutOfMemoryError, MemoryError):
            break
        finally:
            if fabric.device.type == "cuda":
                torch.cuda.empty_cache()
        rates[batch] = batch / step_s
        taken = _held_memory(fabric.device) - held  # freed memory stays with the process
        # twice the batch takes twice the memory, and the time
        if step_s > LONGEST_STEP_S or 2 * taken > MEMORY_SHARE * free or not _is_faster(rates):
            break
        batch *= 2
    torch.set_rng_state(random)
    return best_batch(rates)


def _is_faster(rates: Mapping[int, float]) -> bool:
    """Whether the largest batch so far is faster than all smaller ones."""
    *smaller, largest = rates.values()
    return not smaller or largest > MIN_SPEEDUP * max(smaller)


def best_batch(rates: Mapping[int, float]) -> int:
    """Return the smallest batch whose rate is about the highest; the least where none ran.

    Args:
        rates: clips a second by batch.
    """
    if not rates:
        return SMALLEST
    fastest = max(rates.values())
    return min(batch for batch, rate in rates.items() if MIN_SPEEDUP * rate >= fastest)


def _step_s(
    fabric: Fabric,
    network: DetectorNet,
    draw: Callable[[int, bool], Batch],
    batch: int,
    *,
    train: TrainConfig,
    loss: LossConfig,
) -> float:
    """Return the seconds of a step, the best of some."""
    memory = network.has_temporal_core and train.stage1_fraction == 0
    trial = copy.deepcopy(network)
    set_trainable(trial, train, memory=memory)
    optimizer: Any = fabric.setup_optimizers(build_optimizer(train, trial))
    model = fabric.setup_module(trial)
    drawn = draw(batch, memory)
    times: list[float] = []

    def batches() -> Iterator[Batch]:
        for _ in range(STEPS):
            yield drawn

    began = time.perf_counter()
    for _ in train_steps(
        fabric,
        trial,
        model,
        optimizer,
        batches(),
        train=train,
        loss=loss,
        epoch=0,
        budget=TrainingBudget(total_steps=STEPS, budget_s=None),
        steps_before=0,
        memory=memory,
        stats=EpochStats(),
    ):
        times.append(time.perf_counter() - began)  # reading the loss has synchronised the device
        if times[-1] > LONGEST_STEP_S:
            break
        began = time.perf_counter()
    return min(times)


def _free_memory(device: torch.device) -> float:
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    return available_memory()


def _held_memory(device: torch.device) -> int:
    """Return the bytes that this process holds, on a CUDA device at the most."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return held_memory()
