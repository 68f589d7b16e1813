"""Dataset + preset -> a run folder with checkpoints."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from torch.utils.data import DataLoader, Subset

from lstmcli.core.config import Config, config_from, dump_yaml
from lstmcli.core.errors import ConfigError, DataError, ModelError, OutputError
from lstmcli.core.memory import keep_freed_memory
from lstmcli.core.progress import Progress, SilentProgress
from lstmcli.core.structures import Annotations
from lstmcli.data.clips import ClipBatch, ClipSource, single_frames
from lstmcli.data.manifest import Dataset, PreparedVideo
from lstmcli.metrics.scoring import FrameResult, score
from lstmcli.models.checkpoint import Checkpoint, find_checkpoint, load_checkpoint, save_checkpoint
from lstmcli.models.detector import Detector
from lstmcli.models.predictor import Predictor, TorchNetwork, choose_device, has_fast_bf16
from lstmcli.models.temporal import State
from lstmcli.training.loop import (
    Clock,
    EpochProgress,
    balanced_weights,
    train_steps,
)
from lstmcli.training.optim import build_optimizer, running_average
from lstmcli.training.records import draw_curves, write_metrics

BUDGET_EPOCHS = 6
"""Validations in a time budget; more would take time from the training."""
SAVE_EVERY_S = 300.0
VALIDATION_THRESHOLD = 0.3


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
    """

    run: Path
    best: Mapping[str, Any]
    epochs: int
    interrupted: bool
    seconds: float


@dataclass(slots=True)
class _Run:
    """The moving parts of a training, in one process."""

    folder: Path
    config: Config
    options: TrainOptions
    dataset: Dataset
    fabric: Fabric
    progress: Progress
    network: Detector
    model: Any
    optimizer: torch.optim.Optimizer
    average: Any
    clock: Clock
    class_weights: torch.Tensor | None
    batch: int
    epochs: int | None
    epoch: int = 0
    steps: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Any] = field(default_factory=dict)
    since_best: int = 0
    validation_s: float = 0.0
    part: EpochProgress = field(default_factory=EpochProgress)
    state: State | None = None
    saved_at: float = 0.0


def next_run(folder: Path, name: str) -> Path:
    """Return the first of `name`, `name-2`, `name-3` ... that does not exist in a folder."""
    candidate = folder / name
    number = 2
    while candidate.exists():
        candidate = folder / f"{name}-{number}"
        number += 1
    return candidate


def train(
    dataset: Path | str,
    *,
    config: Config,
    out: Path,
    options: TrainOptions | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Trained:
    """Fit a detector and keep its best and last state.

    Args:
        dataset: what `prepare` wrote.
        config: all settings; ignored when resuming, where the run's own are taken.
        out: the run's folder.
        options: see `TrainOptions`.
        resume: go on with the run in `out`, to the same result as without the break.
        overwrite: replace a run that is there.
        progress: who looks on.

    Raises:
        ConfigError, DataError, ModelError: what was asked for cannot be had.
        OutputError: the run exists, or cannot be written.
        TrainingError: the loss diverged.
    """
    options = options or TrainOptions()
    progress = progress or SilentProgress()
    prepared = Dataset.load(dataset)
    last: Checkpoint | None = None
    if resume:
        last = _last_of(out)
        config = last.config
        options = _options_of(last, options)
    elif out.exists() and any(out.iterdir()) and not overwrite:
        raise OutputError(f"{out}: exists already", hint="choose another --out or add --overwrite")
    device = choose_device(options.device)
    keep_freed_memory()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out}: {error.strerror}", hint="choose another --out") from None
    fabric = _fabric(config, options, device)

    def work(fabric: Fabric) -> Trained:
        run = _begin(fabric, config, options, prepared, out, progress, last)
        return _fit(run)

    if options.devices * options.nodes == 1:
        return work(fabric)
    result: Trained = fabric.launch(work)
    return result


def _fabric(config: Config, options: TrainOptions, device: str) -> Fabric:
    kind = "cuda" if device.startswith("cuda") else "cpu"
    precision: Any = "32-true"
    if config.train.precision == "bf16" or (
        config.train.precision == "auto" and (has_fast_bf16() if kind == "cpu" else True)
    ):
        precision = "bf16-mixed"
    if options.devices * options.nodes == 1:
        index: Any = [int(device.split(":")[1])] if ":" in device else 1
        return Fabric(accelerator=kind, devices=index, precision=precision)
    strategy = DDPStrategy(
        start_method="fork" if options.nodes == 1 else "popen",
        find_unused_parameters=True,  # the frame stage leaves the memory out
        process_group_backend="nccl" if kind == "cuda" else "gloo",
    )
    return Fabric(
        accelerator=kind,
        devices=options.devices,
        num_nodes=options.nodes,
        strategy=strategy,
        precision=precision,
    )


def _last_of(out: Path) -> Checkpoint:
    path = out / "last.pt"
    if not path.is_file():
        raise ModelError(f"{out}: no last.pt, there is nothing to resume", hint="check the folder")
    last = load_checkpoint(path)
    if not last.training:
        raise ModelError(f"{path}: holds no training state", hint="use --init to start from it")
    return last


def _options_of(last: Checkpoint, options: TrainOptions) -> TrainOptions:
    saved = dict(last.training["options"])
    if options.epochs is not None:
        saved["epochs"] = options.epochs
    if options.time_budget_s is not None:
        saved["time_budget_s"] = options.time_budget_s
    saved |= {"device": options.device, "devices": options.devices, "nodes": options.nodes}
    return TrainOptions(**saved)


def _begin(
    fabric: Fabric,
    config: Config,
    options: TrainOptions,
    dataset: Dataset,
    out: Path,
    progress: Progress,
    last: Checkpoint | None,
) -> _Run:
    """Build everything, then put back what a resumed run left."""
    torch.manual_seed(config.train.seed)
    network = (
        last.model
        if last
        else Detector(config, dataset.classes, canvas_hw=dataset.canvas_hw, grid=dataset.grid)
    )
    if network.classes != dataset.classes:
        raise DataError(
            f"{dataset.folder}: classes {', '.join(dataset.classes)}; the run has "
            f"{', '.join(network.classes)}",
            hint="resume with the dataset that the run was started with",
        )
    if last is not None:
        network.load_state_dict(last.training["model"])
    elif options.init:
        _start_from(network, options.init, progress)
    network.to(memory_format=torch.channels_last)
    optimizer = build_optimizer(config.train, network)
    average = running_average(network, config.train.ema) if config.train.ema else None
    model, optimizer = fabric.setup(network, optimizer)
    if average is not None:
        average.to(fabric.device)
    batch = _batch_size(config, fabric)
    if batch % fabric.world_size:
        raise ConfigError(
            f"train.batch is {batch}, {fabric.world_size} processes cannot share it evenly",
            hint=f"use a multiple of {fabric.world_size}",
        )
    epochs = options.epochs or (None if options.time_budget_s else config.train.epochs)
    steps = steps_per_epoch(dataset, config, batch)
    saved = dict(last.training) if last else {}
    run = _Run(
        folder=out,
        config=config,
        options=options,
        dataset=dataset,
        fabric=fabric,
        progress=progress,
        network=network,
        model=model,
        optimizer=optimizer,
        average=average,
        clock=Clock(
            total_steps=epochs * steps if epochs else None,
            budget_s=options.time_budget_s,
            spent_s=float(saved.get("spent_s", 0.0)),
        ),
        class_weights=_class_weights(dataset, config),
        batch=batch,
        epochs=epochs,
    )
    if last is not None:
        _put_back(run, saved)
    elif fabric.is_global_zero:
        (out / "config.yaml").write_text(
            dump_yaml(config.model_dump(mode="json") | {"run": _facts(run)}), encoding="utf-8"
        )
    return run


def _facts(run: _Run) -> dict[str, Any]:
    options = run.options
    return {
        "dataset": str(run.dataset.folder),
        "classes": list(run.dataset.classes),
        "canvas_hw": list(run.dataset.canvas_hw),
        "grid": run.dataset.grid,
        "epochs": run.epochs,
        "time_budget_s": options.time_budget_s,
        "init": options.init,
        "devices": options.devices,
        "nodes": options.nodes,
        "batch": run.batch,
        "torch": str(torch.__version__),
    }


def _start_from(network: Detector, init: str, progress: Progress) -> None:
    """Copy the weights that fit by name and shape; say what did not."""
    source = load_checkpoint(init)
    own = network.state_dict()
    fitting = {
        name: value
        for name, value in source.model.state_dict().items()
        if name in own and own[name].shape == value.shape
    }
    if len(fitting) < len(own) / 3:
        raise ModelError(
            f"{find_checkpoint(init)}: {len(fitting)} of {len(own)} tensors fit this preset",
            hint="use the preset that it was trained with",
        )
    network.load_state_dict(fitting, strict=False)
    progress.note(f"started from {init}: {len(fitting)} of {len(own)} tensors fit")


def _batch_size(config: Config, fabric: Fabric) -> int:
    if config.train.batch != "auto":
        return config.train.batch
    return 32 * fabric.world_size if fabric.device.type == "cuda" else 8


def steps_per_epoch(dataset: Dataset, config: Config, batch: int) -> int:
    """Return how many batches an epoch has: every labelled frame once, or what is configured."""
    clips = config.train.clips_per_epoch
    if not clips:
        labelled = sum(
            int(np.isin(video.frames, video.labels.looked_at).sum())
            for video in dataset.split("train")
        )
        clips = -(-labelled // config.clips.length)
    return max(1, -(-clips // batch))


def _class_weights(dataset: Dataset, config: Config) -> torch.Tensor | None:
    if config.loss.class_balance == 0 or config.clips.balance:
        return None  # drawn evenly already
    counts = np.zeros(len(dataset.classes), np.int64)
    for video in dataset.split("train"):
        counts += np.bincount(
            video.labels.labels[~video.labels.ignore], minlength=len(dataset.classes)
        )
    return balanced_weights(counts.tolist(), config.loss.class_balance)


def _fit(run: _Run) -> Trained:
    """Train epoch after epoch; end cleanly at the last one, the budget, or Ctrl-C."""
    interrupted = False
    if run.class_weights is not None:
        run.class_weights = run.class_weights.to(run.fabric.device)
    run.saved_at = time.monotonic()
    try:
        while not _is_over(run):
            if not _train_epoch(run):
                break
            _close_epoch(run)
    except KeyboardInterrupt:
        interrupted = True
        _save_last(run)
    return Trained(run.folder, run.best, run.epoch, interrupted, run.clock.spent_s)


def _is_over(run: _Run) -> bool:
    if run.epochs is not None and run.epoch >= run.epochs:
        return True
    patience = run.config.train.patience
    if patience and run.since_best >= patience:
        run.progress.note(f"no better epoch for {patience}; the best one is kept")
        return True
    return run.epoch > 0 and run.part.steps == 0 and _budget_is_spent(run)


def _budget_is_spent(run: _Run) -> bool:
    """Say whether validating and saving is all that still fits in the budget."""
    budget = run.options.time_budget_s
    if budget is None:
        return False
    reserve = max(run.validation_s * 1.25 + 5, 0.04 * budget)
    run.clock.budget_s = max(1.0, budget - reserve)
    over = torch.tensor(float(run.clock.spent_s >= run.clock.budget_s))
    if run.fabric.world_size > 1:  # all processes must stop at the same step
        shared = run.fabric.all_reduce(over.to(run.fabric.device), reduce_op="mean")
        over = shared if isinstance(shared, torch.Tensor) else over
    return bool(over > 0)


def _train_epoch(run: _Run) -> bool:
    """Take the steps of one epoch; False if there was no time for any."""
    config = run.config
    done = run.clock.done(run.steps + run.part.steps)
    memory = done >= config.train.frame_stage
    steps = steps_per_epoch(run.dataset, config, run.batch)
    budget = run.options.time_budget_s
    epoch_s = budget / BUDGET_EPOCHS if budget else float("inf")
    batches = _batches(run, memory=memory, steps=steps)
    label = f"epoch {run.epoch + 1}" + (f"/{run.epochs}" if run.epochs else "")
    began = time.monotonic()
    for step in run.progress.track(
        train_steps(
            run.fabric,
            run.model,
            run.optimizer,
            batches,
            config=config,
            epoch=run.epoch + 1,
            clock=run.clock,
            steps_before=run.steps,
            memory=memory,
            progress=run.part,
            state=run.state,
            class_weights=run.class_weights,
        ),
        total=steps - run.part.steps,
        label=label if memory else label + " (frames)",
    ):
        run.state = step.state
        if run.average is not None:
            run.average.update_parameters(run.network)
        if _budget_is_spent(run) or time.monotonic() - began > epoch_s:
            break
        frames_are_over = run.clock.done(run.steps + run.part.steps) >= config.train.frame_stage
        if budget and not memory and frames_are_over:
            break
        if time.monotonic() - run.saved_at > SAVE_EVERY_S:
            _save_last(run)
    return run.part.steps > 0


def _batches(run: _Run, *, memory: bool, steps: int) -> Iterator[ClipBatch]:
    """Yield this process's batches of the epoch, from where a resumed one stopped."""
    config = run.config
    clips = config.clips if memory else single_frames(config.clips)
    lanes = run.batch if memory else run.batch * config.clips.length
    source = ClipSource(
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
        num_workers=config.train.workers,
        prefetch_factor=4 if config.train.workers else None,
        worker_init_fn=_one_thread,
        pin_memory=run.fabric.device.type == "cuda",
    )
    yield from islice(loader, steps - run.part.steps)


def _one_thread(worker: int) -> None:
    torch.set_num_threads(1)


def _close_epoch(run: _Run) -> None:
    """Validate, write the records, keep the best."""
    part = run.part
    run.epoch += 1
    run.steps += part.steps
    run.part, run.state = EpochProgress(), None
    began = time.monotonic()
    if run.fabric.is_global_zero:
        metrics = _validate(run)
        row = {
            "epoch": run.epoch,
            "step": run.steps,
            **{f"loss/{k}" if k != "loss" else k: v for k, v in part.means().items()},
            "lr": run.optimizer.param_groups[-1]["lr"],
            **metrics,
            "frames_per_second": part.frames / max(part.seconds, 1e-9),
            "waited": part.waited_s / max(part.seconds, 1e-9),
            "seconds": run.clock.spent_s,
        }
        run.history.append(row)
        better = (metrics["map50"] or 0.0) >= (run.best.get("map50") or 0.0)
        run.since_best = 0 if better else run.since_best + 1
        if better:
            run.best = dict(row)
            save_checkpoint(run.folder / "best.pt", run.network, _weights(run), metrics=_plain(row))
        write_metrics(run.folder / "metrics.csv", run.history)
        draw_curves(run.folder / "curves.png", run.history)
        run.progress.note(_sentence(row, better))
    run.validation_s = time.monotonic() - began
    if run.fabric.world_size > 1:
        run.since_best = int(run.fabric.broadcast(run.since_best))
        run.fabric.barrier()
    _save_last(run)


def _sentence(row: Mapping[str, Any], better: bool) -> str:
    def shown(name: str) -> str:
        value = row.get(name)
        return "-" if value is None else f"{value:.3f}"

    return (
        f"epoch {row['epoch']}: loss {row['loss']:.3f}, map50 {shown('map50')}, any class "
        f"{shown('map50_any_class')}, recall {shown('recall')}, precision {shown('precision')}, "
        f"{row['frames_per_second']:.0f} frames/s, waited {100 * row['waited']:.0f} %"
        + (", best so far" if better else "")
    )


def _weights(run: _Run) -> dict[str, torch.Tensor]:
    """Return the weights that are used: the running average where there is one."""
    source = run.network if run.average is None else run.average.module
    return {name: value.detach().cpu().clone() for name, value in source.state_dict().items()}


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None}


def _validate(run: _Run) -> dict[str, Any]:
    """Return the scores on part of every validation video, streamed as detect does."""
    source = run.network if run.average is None else run.average.module
    was_training = source.training
    splits = {video.split for video in run.dataset.videos}
    names = {"map50": None, "map50_any_class": None, "precision": None, "recall": None}
    if "val" not in splits:
        return dict(names)
    config = run.config
    done = run.clock.done(run.steps)
    network = TorchNetwork(source, device=str(run.fabric.device))
    predictor = Predictor(
        network,
        multi_label=True,
        memory=done >= config.train.frame_stage or not run.network.has_memory,
    )
    videos = run.dataset.split("val")
    results: list[FrameResult] = []
    share = max(1, config.train.validate_frames // len(videos))
    for video in run.progress.track(videos, total=len(videos), label="validate"):
        results += list(_stream(run.dataset, video, predictor, share))
    source.train(was_training)
    if not results:
        return dict(names)
    scores = score(results, run.dataset.classes, threshold=VALIDATION_THRESHOLD)
    return {name: getattr(scores, name) for name in names}


def _stream(
    dataset: Dataset, video: PreparedVideo, predictor: Predictor, share: int
) -> Iterator[FrameResult]:
    store = dataset.open(video)
    predictor.start(video.size_hw)
    for place in range(0, len(video.frames), max(1, len(video.frames) // share)):
        frame, time_s = int(video.frames[place]), float(video.times[place])
        found = predictor.step(store.picture(place), time_s)
        truth: Annotations | None = video.labels.at(frame)
        if truth is not None:
            yield FrameResult(video.name, frame, time_s, video.size_hw, truth, found)


def _save_last(run: _Run) -> None:
    """Write `last.pt` with all that a resumed run needs."""
    run.saved_at = time.monotonic()
    if not run.fabric.is_global_zero:
        return
    training: dict[str, Any] = {
        "model": {k: v.detach().cpu().clone() for k, v in run.network.state_dict().items()},
        "optimizer": run.optimizer.state_dict(),
        "average": None
        if run.average is None
        else {k: v.detach().cpu().clone() for k, v in run.average.state_dict().items()},
        "epoch": run.epoch,
        "steps": run.steps,
        "part": {
            "steps": run.part.steps,
            "frames": run.part.frames,
            "seconds": run.part.seconds,
            "waited_s": run.part.waited_s,
            "losses": dict(run.part.losses),
        },
        "state": None if run.state is None else [part.cpu() for part in run.state],
        "random": torch.get_rng_state(),
        "history": [_plain(row) for row in run.history],
        "best": _plain(run.best),
        "since_best": run.since_best,
        "validation_s": run.validation_s,
        "spent_s": run.clock.spent_s,
        "options": {
            name: getattr(run.options, name) for name in ("epochs", "time_budget_s", "init")
        },
    }
    save_checkpoint(
        run.folder / "last.pt",
        run.network,
        _weights(run),
        metrics=_plain(run.history[-1]) if run.history else {},
        training=training,
    )


def _put_back(run: _Run, saved: Mapping[str, Any]) -> None:
    """Set everything to where the interrupted run stood."""
    run.optimizer.load_state_dict(saved["optimizer"])
    if run.average is not None and saved["average"] is not None:
        run.average.load_state_dict(saved["average"])
    run.epoch, run.steps = int(saved["epoch"]), int(saved["steps"])
    run.part = EpochProgress(**saved["part"])
    state = saved["state"]
    if state is not None:
        world, rank = run.fabric.world_size, run.fabric.global_rank
        if world == 1:
            run.state = tuple(part.to(run.fabric.device) for part in state)
        elif rank == 0:
            run.progress.note("the carried state starts anew: it is kept for one process only")
    torch.set_rng_state(saved["random"])
    run.history = [dict(row) for row in saved["history"]]
    run.best = dict(saved["best"])
    run.since_best = int(saved["since_best"])
    run.validation_s = float(saved["validation_s"])


def read_run_config(run: Path) -> Config:
    """Return the settings of a run from its config.yaml, for repeating it.

    Raises:
        ConfigError: the file is missing or was changed beyond recognition.
    """
    from lstmcli.core.config import parse_yaml

    path = run / "config.yaml"
    try:
        values = parse_yaml(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", hint="give a run's folder") from None
    values.pop("run", None)
    return config_from(values, str(path))
