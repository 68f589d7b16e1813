"""Epoch after epoch, until the last one, the budget or Ctrl-C; all processes decide alike."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Subset

from lstmcli.core.config import Config
from lstmcli.dataset.clips import ClipBatch, ClipDataset, single_frames
from lstmcli.dataset.manifest import Dataset
from lstmcli.models.checkpoint import load_checkpoint
from lstmcli.training.distributed import quiet_worker
from lstmcli.training.loop import (
    EpochProgress,
    set_trainable,
    train_steps,
)
from lstmcli.workflows.train.checkpointing import keep_records, save_last
from lstmcli.workflows.train.state import BUDGET_EPOCHS, Trained, TrainerState
from lstmcli.workflows.train.validation import validate

SAVE_EVERY_S = 300.0


def fit(run: TrainerState) -> Trained:
    """Train epoch after epoch; end cleanly at the last one, the budget, or Ctrl-C."""
    interrupted = False
    if run.class_weights is not None:
        run.class_weights = run.class_weights.to(run.fabric.device)
    run.saved_at = time.monotonic()
    try:
        with run.interruption:
            while not _is_over(run):
                if not _train_epoch(run):
                    break
                _close_epoch(run)
    except KeyboardInterrupt:
        interrupted = True
        save_last(run)
    history = tuple(run.history)
    return Trained(run.folder, run.best, run.epoch, interrupted, run.clock.spent_s, history)


def _is_over(run: TrainerState) -> bool:
    if run.epochs is not None and run.epoch >= run.epochs:
        return True
    patience = run.config.train.patience
    if patience and run.since_best >= patience:
        run.progress.note(f"no better epoch for {patience}; the best one is kept")
        return True
    return run.epoch > 0 and run.part.steps == 0 and _agree(run).budget_is_spent


@dataclass(frozen=True, slots=True)
class _Agreement:
    """What all processes do after a step: all the same, or they would wait for each other."""

    stop: bool
    budget_is_spent: bool
    epoch_is_over: bool
    save: bool


def _agree(run: TrainerState, *, epoch_s: float = float("inf")) -> _Agreement:
    """Decide what happens next: any process may stop, the first one's clock decides the rest.

    Args:
        run: the training.
        epoch_s: seconds that the epoch may take.
    """
    budget = run.options.time_budget_s
    if budget is not None:  # validating and saving must still fit in
        step_s = run.part.seconds / max(1, run.part.steps)
        reserve = max(run.validation_s * 1.25 + 5, 0.04 * budget) + step_s
        run.clock.budget_s = max(1.0, budget - reserve)
    spent_s = run.clock.spent_s
    votes = [
        float(run.interruption.asked),
        float(budget is not None and spent_s >= (run.clock.budget_s or 0.0)),
        float(run.part.seconds > epoch_s),
        float(time.monotonic() - run.saved_at > SAVE_EVERY_S),
        spent_s,
    ]
    if run.fabric.world_size > 1:
        if not run.fabric.is_global_zero:
            votes[1:] = [0.0] * (len(votes) - 1)
        shared = torch.tensor(votes, dtype=torch.float64, device=run.fabric.device)
        torch.distributed.all_reduce(shared)
        votes = shared.tolist()
        run.clock.agree(votes[-1])
    return _Agreement(*(vote > 0 for vote in votes[:-1]))


def _train_epoch(run: TrainerState) -> bool:
    """Take the steps of one epoch; False if there was no time for any."""
    config, budget = run.config, run.options.time_budget_s
    _agree(run)
    # as it was decided when the epoch began, also where a resumed run goes on in its middle
    frames_are_over = run.clock.done(run.steps) >= config.train.stage1_fraction
    # the memory's stage does not end when a resumed run is lengthened
    memory = run.network.has_temporal_core and (run.frames_are_done or frames_are_over)
    if memory and not run.frames_are_done:
        _close_frame_stage(run)
    _enter_stage(run, memory=memory)
    steps = steps_per_epoch(run.dataset, config, run.batch)
    label = f"epoch {run.epoch + 1}" + (f"/{run.epochs}" if run.epochs else "")
    for _ in run.progress.track(
        _steps(run, memory=memory, steps=steps),
        total=steps - run.part.steps,
        label=label if memory else label + " (frames)",
    ):
        agreed = _agree(run, epoch_s=budget / BUDGET_EPOCHS if budget else float("inf"))
        if agreed.stop:
            raise KeyboardInterrupt
        if agreed.budget_is_spent or agreed.epoch_is_over:
            break
        frames_are_over = run.clock.done(run.steps + run.part.steps) >= config.train.stage1_fraction
        if budget and run.network.has_temporal_core and not memory and frames_are_over:
            break
        if agreed.save:
            save_last(run)
    return run.part.steps > 0


def _close_frame_stage(run: TrainerState) -> None:
    """Let the memory begin on the best frame detector so far, or on the average where none is.

    A frame detector that is trained on may learn its videos by heart; the memory need not suffer.
    """
    run.frames_are_done = True
    best = run.folder / "best.pt"
    if run.best.get("map50") and best.is_file():
        weights = load_checkpoint(best).model.state_dict()
        run.network.load_state_dict(weights)
        if run.average is not None:
            run.average.module.load_state_dict(weights)
    elif run.average is not None and run.epoch > 0:
        run.network.load_state_dict(run.average.module.state_dict())
    if run.network.skip != "concat":
        # with an untrained core in its way, the frame detector is no model to keep
        run.best, run.since_best = {}, 0


def _enter_stage(run: TrainerState, *, memory: bool) -> None:
    """Hand the network to the fabric with the parameters that learn in this stage."""
    if run.trains_memory == memory:
        return
    run.trains_memory = memory
    run.model = None
    gc.collect()  # what joined the processes before must let go of the parameters
    set_trainable(run.network, run.config, memory=memory)
    run.model = run.fabric.setup_module(run.network)


def _steps(run: TrainerState, *, memory: bool, steps: int) -> Iterator[None]:
    """Take steps; after each, weights, average, state and counts belong together."""
    for step in train_steps(
        run.fabric,
        run.model,
        run.optimizer,
        _batches(run, memory=memory, steps=steps),
        config=run.config,
        epoch=run.epoch + 1,
        clock=run.clock,
        steps_before=run.steps,
        memory=memory,
        progress=run.part,
        state=run.state,
        class_weights=run.class_weights,
        frames_end=_frames_end(run),
    ):
        run.state = step.state
        if run.average is not None:
            run.average.update_parameters(run.network)
        yield


def _frames_end(run: TrainerState) -> float:
    """Return after what share of the training, as long as it is now, the frame stage ended."""
    frames = [row for row in run.history if row["stage"] == "frames"]
    if not (run.frames_are_done and frames):
        return 1.0
    return run.clock.share(int(frames[-1]["step"]), float(frames[-1]["seconds"]))


def steps_per_epoch(dataset: Dataset, config: Config, batch: int) -> int:
    """Return how many batches an epoch has: every labelled frame once, or what is configured."""
    clips = config.train.clips_per_epoch
    if not clips:
        labelled = sum(
            int(np.isin(video.frames, video.labels.annotated_frames).sum())
            for video in dataset.split("train")
        )
        clips = max(-(-labelled // config.clips.length), config.train.min_clips_per_epoch)
    return max(1, -(-clips // batch))


def _batches(run: TrainerState, *, memory: bool, steps: int) -> Iterator[ClipBatch]:
    """Yield this process's batches of the epoch, from where a resumed one stopped."""
    config = run.config
    clips = config.clips if memory else single_frames(config.clips)
    lanes = run.batch if memory else run.batch * config.clips.length
    source = ClipDataset(
        run.dataset,
        "train",
        clips,
        config.augment,
        batch=lanes,
        steps=steps,
        seed=config.train.seed,
        motion_lag_s=config.input.motion_lag_s,
        rank=run.fabric.global_rank,
        world=run.fabric.world_size,
    )
    source.epoch = run.epoch
    loader = DataLoader(
        Subset(source, range(run.part.steps, steps)),
        batch_size=None,
        num_workers=config.train.num_workers,
        prefetch_factor=4 if config.train.num_workers else None,
        worker_init_fn=quiet_worker,
        pin_memory=run.fabric.device.type == "cuda",
    )
    yield from islice(loader, steps - run.part.steps)


def _close_epoch(run: TrainerState) -> None:
    """Validate, write the records, keep the best. Until then, the epoch is not over."""
    fabric = run.fabric
    began = time.monotonic()
    part = _shared_losses(run)
    outcome: dict[str, Any] = {}
    if fabric.is_global_zero:
        try:
            outcome = {"metrics": validate(run)}
        except KeyboardInterrupt:
            outcome = {"interrupted": True}
    if fabric.world_size > 1:
        outcome = fabric.broadcast(outcome)
    if "interrupted" in outcome:
        raise KeyboardInterrupt
    metrics = outcome["metrics"]
    run.epoch += 1
    run.steps += part.steps
    run.part, run.state = EpochProgress(), None
    row = {
        "epoch": run.epoch,
        "stage": "clips" if run.trains_memory else "frames",
        "step": run.steps,
        **{f"loss/{k}" if k != "loss" else k: v for k, v in part.means().items()},
        "lr": run.optimizer.param_groups[-1]["lr"],
        **metrics,
        "frames_per_second": part.frames / max(part.seconds, 1e-9),
        "data_wait": part.waited_s / max(part.seconds, 1e-9),
        "seconds": run.clock.spent_s,
    }
    run.history.append(row)
    score, before = metrics["map50"], run.best.get("map50") or 0.0
    # of epochs that find nothing, or that nobody judged, the latest is kept
    keep = (score or 0.0) >= before
    better = keep and (not run.best or score is None or score > 0)
    run.since_best = 0 if better else run.since_best + 1
    if keep:
        run.best = dict(row)
    if fabric.is_global_zero:
        keep_records(run, keep=keep, better=better and score is not None)
    run.validation_s = time.monotonic() - began
    save_last(run)
    run.validation_s = time.monotonic() - began  # saving takes its time too


def _shared_losses(run: TrainerState) -> EpochProgress:
    """Return the epoch's sums, the losses as the mean of all processes."""
    if run.fabric.world_size == 1:
        return run.part
    sums = torch.tensor(list(run.part.losses.values()), device=run.fabric.device)
    shared = run.fabric.all_reduce(sums, reduce_op="mean")
    assert isinstance(shared, torch.Tensor)
    return replace(run.part, losses=dict(zip(run.part.losses, shared.tolist(), strict=True)))
