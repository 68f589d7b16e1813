"""Epochs of a training; all processes take the same decisions."""

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

from lstmcli.core.config import ClipConfig, TrainConfig
from lstmcli.dataset.clips import ClipBatch, ClipDataset, single_frames
from lstmcli.dataset.manifest import Dataset
from lstmcli.models.checkpoint import load_checkpoint
from lstmcli.training.distributed import quiet_worker
from lstmcli.training.loop import EpochStats, set_trainable, train_steps
from lstmcli.workflows.train.checkpointing import keep_records, keep_start, save_last
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
            if run.options.init and not run.counters.best and run.counters.steps == 0:
                _score_start(run)
            while not _is_over(run):
                if not _train_epoch(run):
                    break
                _close_epoch(run)
    except KeyboardInterrupt:
        interrupted = True
        save_last(run)
    history = tuple(run.counters.history)
    return Trained(
        run.folder, run.counters.best, run.counters.epoch, interrupted, run.budget.spent_s, history
    )


def _is_over(run: TrainerState) -> bool:
    if run.epochs is not None and run.counters.epoch >= run.epochs:
        return True
    patience = run.config.train.patience
    if patience and run.counters.since_best >= patience:
        run.progress.note(f"no better epoch for {patience}; the best one is kept")
        return True
    return (
        run.counters.epoch > 0
        and run.counters.epoch_stats.steps == 0
        and _agree(run).budget_is_spent
    )


@dataclass(frozen=True, slots=True)
class _Agreement:
    """The decision after a step, the same in all processes, or they would wait for each other."""

    stop: bool
    budget_is_spent: bool
    epoch_is_over: bool
    save: bool


def _agree(run: TrainerState, *, epoch_s: float = float("inf")) -> _Agreement:
    """Agree on the next action: any process may stop, the clock of rank 0 decides the rest.

    Args:
        run: the training.
        epoch_s: seconds that the epoch may take.
    """
    budget = run.options.time_budget_s
    if budget is not None:  # validating and saving must still fit in
        step_s = run.counters.epoch_stats.seconds / max(1, run.counters.epoch_stats.steps)
        reserve = max(run.counters.validation_s * 1.25 + 5, 0.04 * budget) + step_s
        run.budget.budget_s = max(1.0, budget - reserve)
    spent_s = run.budget.spent_s
    votes = [
        float(run.interruption.requested),
        float(budget is not None and spent_s >= (run.budget.budget_s or 0.0)),
        float(run.counters.epoch_stats.seconds > epoch_s),
        float(time.monotonic() - run.saved_at > SAVE_EVERY_S),
        spent_s,
    ]
    if run.fabric.world_size > 1:
        if not run.fabric.is_global_zero:
            votes[1:] = [0.0] * (len(votes) - 1)
        shared = torch.tensor(votes, dtype=torch.float64, device=run.fabric.device)
        torch.distributed.all_reduce(shared)
        votes = shared.tolist()
        run.budget.agree(votes[-1])
    return _Agreement(*(vote > 0 for vote in votes[:-1]))


def _train_epoch(run: TrainerState) -> bool:
    """Take the steps of one epoch; False if there was no time for any."""
    config, budget = run.config, run.options.time_budget_s
    _agree(run)
    # as decided when the epoch began, also where a resumed run goes on in its middle
    stage1_is_over = run.budget.progress(run.counters.steps) >= config.train.stage1_fraction
    # stage 2 does not end when a resumed run is lengthened
    memory = run.network.has_temporal_core and (run.counters.stage1_done or stage1_is_over)
    if memory and not run.counters.stage1_done:
        _close_stage1(run)
    _enter_stage(run, memory=memory)
    steps = steps_per_epoch(run.dataset, config.train, config.clips, run.batch)
    label = f"epoch {run.counters.epoch + 1}" + (f"/{run.epochs}" if run.epochs else "")
    for _ in run.progress.track(
        _steps(run, memory=memory, steps=steps),
        total=max(0, steps - run.counters.epoch_stats.steps),
        label=label if memory else label + " (frames)",
    ):
        agreed = _agree(run, epoch_s=budget / BUDGET_EPOCHS if budget else float("inf"))
        if agreed.stop:
            raise KeyboardInterrupt
        if agreed.budget_is_spent or agreed.epoch_is_over:
            break
        stage1_is_over = (
            run.budget.progress(run.counters.steps + run.counters.epoch_stats.steps)
            >= config.train.stage1_fraction
        )
        if budget and run.network.has_temporal_core and not memory and stage1_is_over:
            break
        if agreed.save:
            save_last(run)
    return run.counters.epoch_stats.steps > 0


def _close_stage1(run: TrainerState) -> None:
    """Load the best frame detector so far, or the average where there is none, for stage 2.

    A frame detector that is trained on may overfit; the recurrent core need not start from that.
    """
    run.counters.stage1_done = True
    best = run.files / "best.pt"
    if run.counters.best.get("map50") and best.is_file():
        weights = load_checkpoint(best).model.state_dict()
        run.network.load_state_dict(weights)
        if run.ema is not None:
            run.ema.module.load_state_dict(weights)
    elif run.ema is not None and run.counters.epoch > 0:
        run.network.load_state_dict(run.ema.module.state_dict())
    if run.network.skip != "concat":
        # without a skip connection the frame detector is no usable model with an untrained core
        run.counters.best, run.counters.since_best = {}, 0


def _enter_stage(run: TrainerState, *, memory: bool) -> None:
    """Set the network up with the parameters that are trained in this stage."""
    if run.trains_memory == memory:
        return
    run.trains_memory = memory
    run.model = None
    gc.collect()  # the previous process group's buckets must release the parameters
    set_trainable(run.network, run.config.train, memory=memory)
    run.model = run.fabric.setup_module(run.network)


def _steps(run: TrainerState, *, memory: bool, steps: int) -> Iterator[None]:
    """Take steps; after each, weights, average, state and counters are consistent."""
    for step in train_steps(
        run.fabric,
        run.network,
        run.model,
        run.optimizer,
        _batches(run, memory=memory, steps=steps),
        train=run.config.train,
        loss=run.config.loss,
        epoch=run.counters.epoch + 1,
        budget=run.budget,
        steps_before=run.counters.steps,
        memory=memory,
        stats=run.counters.epoch_stats,
        state=run.state,
        class_weights=run.class_weights,
        stage1_end=_stage1_end(run),
    ):
        run.state = step.state
        if run.ema is not None:
            run.ema.update_parameters(run.network)
        yield


def _stage1_end(run: TrainerState) -> float:
    """Return the progress, of the training as long as it is now, at which stage 1 ended."""
    frames = [row for row in run.counters.history if row["stage"] == "frames"]
    if not (run.counters.stage1_done and frames):
        return 1.0
    return run.budget.share(int(frames[-1]["step"]), float(frames[-1]["seconds"]))


def steps_per_epoch(dataset: Dataset, config: TrainConfig, sampling: ClipConfig, batch: int) -> int:
    """Return the number of batches per epoch: every annotated frame once, or as configured."""
    clips = config.clips_per_epoch
    if not clips:
        annotated = sum(
            int(np.isin(video.frames, video.labels.annotated_frames).sum())
            for video in dataset.split("train")
        )
        clips = max(-(-annotated // sampling.length), config.min_clips_per_epoch)
    return max(1, -(-clips // batch))


def _batches(run: TrainerState, *, memory: bool, steps: int) -> Iterator[ClipBatch]:
    """Yield this process's batches of the epoch, from where a resumed one continues."""
    config = run.config
    clips = config.clips if memory else single_frames(config.clips)
    slots = run.batch if memory else run.batch * config.clips.length
    source = ClipDataset(
        run.dataset,
        "train",
        clips,
        config.augment,
        batch=slots,
        steps=steps,
        seed=config.train.seed,
        motion_lag_s=config.input.motion_lag_s,
        rank=run.fabric.global_rank,
        world_size=run.fabric.world_size,
    )
    source.epoch = run.counters.epoch
    loader = DataLoader(
        Subset(source, range(run.counters.epoch_stats.steps, steps)),
        batch_size=None,
        num_workers=config.train.num_workers,
        prefetch_factor=4 if config.train.num_workers else None,
        worker_init_fn=quiet_worker,
        pin_memory=run.fabric.device.type == "cuda",
    )
    # of a dataset that has shrunk, an epoch may be over before it goes on
    yield from islice(loader, max(0, steps - run.counters.epoch_stats.steps))


def _score_start(run: TrainerState) -> None:
    """Validate the weights that fine-tuning starts from: they are the best until an epoch is.

    A few clips of one place often make a model worse for another; then the start is what remains.
    """
    began = time.monotonic()
    metrics = _validated(run)
    run.counters.validation_s = time.monotonic() - began
    if not metrics["map50"]:  # nothing of it fits these classes, or there is no validation split
        return
    run.counters.best = {"epoch": 0, "stage": "start", "step": 0, **metrics}
    if run.fabric.is_global_zero:
        keep_start(run)


def _validated(run: TrainerState) -> dict[str, Any]:
    """Return the metrics of the weights as they are, in every process."""
    outcome: dict[str, Any] = {}
    if run.fabric.is_global_zero:
        try:
            outcome = {"metrics": validate(run)}
        except KeyboardInterrupt:
            outcome = {"interrupted": True}
    if run.fabric.world_size > 1:
        outcome = run.fabric.broadcast(outcome)
    if "interrupted" in outcome:
        raise KeyboardInterrupt
    metrics: dict[str, Any] = outcome["metrics"]
    return metrics


def _close_epoch(run: TrainerState) -> None:
    """Validate, write the records, keep the best; only then is the epoch finished."""
    fabric = run.fabric
    began = time.monotonic()
    stats = _shared_losses(run)
    metrics = _validated(run)
    run.counters.epoch += 1
    run.counters.steps += stats.steps
    run.counters.epoch_stats, run.state = EpochStats(), None
    row = {
        "epoch": run.counters.epoch,
        "stage": "clips" if run.trains_memory else "frames",
        "step": run.counters.steps,
        **{f"loss/{k}" if k != "loss" else k: v for k, v in stats.means().items()},
        "lr": run.optimizer.param_groups[-1]["lr"],
        **metrics,
        "frames_per_second": stats.frames / max(stats.seconds, 1e-9),
        "data_wait": stats.data_wait_s / max(stats.seconds, 1e-9),
        "seconds": run.budget.spent_s,
    }
    run.counters.history.append(row)
    score, before = metrics["map50"], run.counters.best.get("map50") or 0.0
    # of epochs without detections or without validation, the latest is kept
    keep = (score or 0.0) >= before
    better = keep and (not run.counters.best or score is None or score > 0)
    run.counters.since_best = 0 if better else run.counters.since_best + 1
    if keep:
        run.counters.best = dict(row)
    if fabric.is_global_zero:
        keep_records(run, keep=keep, better=better and score is not None)
    run.counters.validation_s = time.monotonic() - began
    save_last(run)
    run.counters.validation_s = time.monotonic() - began  # with the time of saving


def _shared_losses(run: TrainerState) -> EpochStats:
    """Return the epoch's sums, the losses as the mean of all processes."""
    if run.fabric.world_size == 1:
        return run.counters.epoch_stats
    sums = torch.tensor(list(run.counters.epoch_stats.losses.values()), device=run.fabric.device)
    shared = run.fabric.all_reduce(sums, reduce_op="mean")
    assert isinstance(shared, torch.Tensor)
    return replace(
        run.counters.epoch_stats,
        losses=dict(zip(run.counters.epoch_stats.losses, shared.tolist(), strict=True)),
    )
