"""Dataset + preset -> a run folder with checkpoints."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch.utils.data import DataLoader, Subset

from lstmcli.core.config import Config, dump_yaml
from lstmcli.core.errors import ConfigError, DataError, LstmcliError, ModelError, OutputError
from lstmcli.core.memory import keep_freed_memory
from lstmcli.core.progress import Progress, SilentProgress
from lstmcli.core.structures import Annotations
from lstmcli.data.clips import ClipBatch, ClipSource, single_frames
from lstmcli.data.manifest import Dataset, PreparedVideo
from lstmcli.metrics.comparison import compare
from lstmcli.metrics.counting import overall
from lstmcli.metrics.matching import one_per_place
from lstmcli.metrics.results import FrameResult
from lstmcli.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from lstmcli.models.detector import Detector
from lstmcli.models.devices import choose_device, has_fast_bf16
from lstmcli.models.finding import find_checkpoint
from lstmcli.models.predictor import Predictor
from lstmcli.models.temporal import State
from lstmcli.models.torch_network import TorchNetwork
from lstmcli.training.loop import (
    Clock,
    EpochProgress,
    balanced_weights,
    choose_learners,
    train_steps,
)
from lstmcli.training.optim import build_optimizer, running_average
from lstmcli.training.processes import Interruption, build_fabric, quiet_worker, run_in_processes
from lstmcli.training.records import draw_curves, write_metrics

BUDGET_EPOCHS = 6
"""Validations in a time budget; more would take time from the training."""
VALIDATION_SHARE = 0.15
"""Of a time budget that validations may take together; fewer frames are looked at for that."""
SAVE_EVERY_S = 300.0
VALIDATION_THRESHOLD = 0.3
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
    frames_are_done: bool = False
    validation_s: float = 0.0
    validate_frames: int = 0
    part: EpochProgress = field(default_factory=EpochProgress)
    model: Any = None
    trains_memory: bool | None = None
    state: State | None = None
    saved_at: float = 0.0
    interruption: Interruption = field(default_factory=Interruption)


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
    began = time.monotonic()
    options = options or TrainOptions()
    progress = progress or SilentProgress()
    prepared = Dataset.load(dataset)
    last: Checkpoint | None = None
    if resume:
        last = _last_of(out)
        config = last.config
        options = _options_of(last, options)
    device = choose_device(options.device, count=options.devices)
    keep_freed_memory()
    batch = _batch_size(config, options, device)
    half = config.train.precision == "bf16" or (
        config.train.precision == "auto" and (device != "cpu" or has_fast_bf16())
    )
    fabric = build_fabric(device=device, devices=options.devices, nodes=options.nodes, half=half)
    is_new = False if resume else _make_folder(out, overwrite=overwrite)

    def work(fabric: Fabric) -> Trained:
        watched = progress if fabric.is_global_zero else SilentProgress()
        run = _begin(fabric, config, options, prepared, out, watched, last, batch, began)
        return _fit(run)

    try:
        return run_in_processes(fabric, work)
    except LstmcliError:
        if is_new and not (out / "last.pt").exists():  # nothing was gained; the name is free again
            for name in RUN_FILES:
                (out / name).unlink(missing_ok=True)
            out.rmdir()
        raise


def _make_folder(out: Path, *, overwrite: bool) -> bool:
    """Make the run's folder, emptied of an older run; return whether it is new.

    Raises:
        OutputError: it holds something, or cannot be made.
    """
    try:
        is_new = not out.exists()
        if not is_new and any(out.iterdir()) and not overwrite:
            raise OutputError(
                f"{out}: exists already", hint="choose another --out or add --overwrite"
            )
        out.mkdir(parents=True, exist_ok=True)
        for name in RUN_FILES:
            (out / name).unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{out}: {error.strerror}", hint="choose another --out") from None
    return is_new


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
    batch: int,
    began: float,
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
    network.to(fabric.device).to(memory_format=torch.channels_last)
    average = running_average(network, config.train.ema) if config.train.ema else None
    optimizer: Any = fabric.setup_optimizers(build_optimizer(config.train, network))
    if average is not None:
        average.to(fabric.device)
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
        optimizer=optimizer,
        average=average,
        clock=Clock(
            total_steps=epochs * steps if epochs else None,
            budget_s=options.time_budget_s,
            spent_s=float(saved.get("spent_s", 0.0)) + time.monotonic() - began,
        ),
        class_weights=_class_weights(dataset, config),
        batch=batch,
        epochs=epochs,
    )
    if last is not None:
        _put_back(run, saved)
    elif fabric.is_global_zero:
        _write_config(run)
    return run


def _write_config(run: _Run) -> None:
    text = dump_yaml(run.config.model_dump(mode="json") | {"run": _facts(run)})
    path = run.folder / "config.yaml"
    temporary = path.with_suffix(".part")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise OutputError(f"{path}: {error.strerror}", hint="choose another --out") from None


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


def _batch_size(config: Config, options: TrainOptions, device: str) -> int:
    """Return the lanes of the global batch.

    Raises:
        ConfigError: the processes cannot share it evenly.
    """
    world = options.devices * options.nodes
    batch = config.train.batch
    if batch == "auto":
        return 32 * world if device.startswith("cuda") else 8 * world
    if batch % world:
        raise ConfigError(
            f"train.batch is {batch}, {world} processes cannot share it evenly",
            hint=f"use a multiple of {world}",
        )
    return batch


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
        with run.interruption:
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
    return run.epoch > 0 and run.part.steps == 0 and _agree(run).budget_is_spent


@dataclass(frozen=True, slots=True)
class _Agreement:
    """What all processes do after a step: all the same, or they would wait for each other."""

    stop: bool
    budget_is_spent: bool
    epoch_is_over: bool
    save: bool


def _agree(run: _Run, *, epoch_s: float = float("inf")) -> _Agreement:
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


def _train_epoch(run: _Run) -> bool:
    """Take the steps of one epoch; False if there was no time for any."""
    config, budget = run.config, run.options.time_budget_s
    _agree(run)
    # as it was decided when the epoch began, also where a resumed run goes on in its middle
    memory = run.network.has_core and run.clock.done(run.steps) >= config.train.frame_stage
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
        frames_are_over = run.clock.done(run.steps + run.part.steps) >= config.train.frame_stage
        if budget and run.network.has_core and not memory and frames_are_over:
            break
        if agreed.save:
            _save_last(run)
    return run.part.steps > 0


def _close_frame_stage(run: _Run) -> None:
    """Let the memory begin on the averaged frame detector, the one that was validated."""
    run.frames_are_done = True
    # What is kept is a detector with a trained core: a lucky epoch of the frame stage, judged on
    # part of the videos, would throw it away.
    run.best, run.since_best = {}, 0
    if run.average is not None and run.epoch > 0:
        run.network.load_state_dict(run.average.module.state_dict())


def _enter_stage(run: _Run, *, memory: bool) -> None:
    """Hand the network to the fabric with the parameters that learn in this stage."""
    if run.trains_memory == memory:
        return
    run.trains_memory = memory
    run.model = None
    gc.collect()  # what joined the processes before must let go of the parameters
    choose_learners(run.network, run.config, memory=memory)
    run.model = run.fabric.setup_module(run.network)


def _steps(run: _Run, *, memory: bool, steps: int) -> Iterator[None]:
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
    ):
        run.state = step.state
        if run.average is not None:
            run.average.update_parameters(run.network)
        yield


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
        worker_init_fn=quiet_worker,
        pin_memory=run.fabric.device.type == "cuda",
    )
    yield from islice(loader, steps - run.part.steps)


def _close_epoch(run: _Run) -> None:
    """Validate, write the records, keep the best. Until then, the epoch is not over."""
    fabric = run.fabric
    began = time.monotonic()
    part = _shared_losses(run)
    outcome: dict[str, Any] = {}
    if fabric.is_global_zero:
        try:
            outcome = {"metrics": _validate(run)}
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
    if fabric.is_global_zero:
        _keep_records(run, better=better)
    run.validation_s = time.monotonic() - began
    _save_last(run)
    run.validation_s = time.monotonic() - began  # saving takes its time too


def _keep_records(run: _Run, *, better: bool) -> None:
    row = run.history[-1]
    if better:
        save_checkpoint(run.folder / "best.pt", run.network, _weights(run), metrics=_plain(row))
    try:
        write_metrics(run.folder / "metrics.csv", run.history)
        draw_curves(run.folder / "curves.png", run.history)
    except OSError as error:
        raise OutputError(
            f"{run.folder}: the records cannot be written ({error.strerror})",
            hint="free some space; `lstmcli train --resume` goes on",
        ) from None
    run.progress.note(_sentence(row, better))


def _shared_losses(run: _Run) -> EpochProgress:
    """Return the epoch's sums, the losses as the mean of all processes."""
    if run.fabric.world_size == 1:
        return run.part
    sums = torch.tensor(list(run.part.losses.values()), device=run.fabric.device)
    shared = run.fabric.all_reduce(sums, reduce_op="mean")
    assert isinstance(shared, torch.Tensor)
    return replace(run.part, losses=dict(zip(run.part.losses, shared.tolist(), strict=True)))


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
    # judged as it is trained: without the temporal core until its turn comes
    memory = run.network.has_core and run.frames_are_done
    network = TorchNetwork(source, device=str(run.fabric.device), memory=memory)
    predictor = Predictor(network, multi_label=True)
    videos = run.dataset.split("val")
    results: list[FrameResult] = []
    if not run.validate_frames:  # once, so that all epochs are judged on the same frames
        run.validate_frames = _affordable(run, predictor, videos[0])
    share = max(1, run.validate_frames // len(videos))
    budget = run.options.time_budget_s or float("inf")
    for video in run.progress.track(videos, total=len(videos), label="validate"):
        for result in _stream(run.dataset, video, predictor, share):
            results.append(result)
            if run.interruption.asked:
                raise KeyboardInterrupt
        if run.clock.spent_s > budget - 2:
            run.progress.note("validated on fewer videos: the time budget is spent")
            break
    source.train(was_training)
    if not results:
        return dict(names)
    scores = overall(compare(results, run.dataset.classes, threshold=VALIDATION_THRESHOLD, iou=0.5))
    return {name: scores[name] for name in names}


def _affordable(run: _Run, predictor: Predictor, video: PreparedVideo) -> int:
    """Return how many frames each validation may look at."""
    wanted, budget = run.config.train.validate_frames, run.options.time_budget_s
    if budget is None:
        return wanted
    canvas = run.dataset.open(video).picture(0)
    times = []
    for number in range(4):
        predictor.start(video.size_hw)
        began = time.monotonic()
        predictor.step(canvas, float(number))
        times.append(time.monotonic() - began)
    affordable = VALIDATION_SHARE * budget / BUDGET_EPOCHS / max(min(times), 1e-4)
    return max(1, min(wanted, int(affordable)))


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
            shown = one_per_place(found)
            yield FrameResult(video.name, frame, time_s, video.size_hw, truth, found, shown)


def _save_last(run: _Run) -> None:
    """Write `last.pt` with all that a resumed run needs; all processes come here together."""
    run.saved_at = time.monotonic()
    state = _whole_state(run)
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
        "state": state,
        "history": [_plain(row) for row in run.history],
        "best": _plain(run.best),
        "since_best": run.since_best,
        "frames_are_done": run.frames_are_done,
        "validation_s": run.validation_s,
        "validate_frames": run.validate_frames,
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


def _whole_state(run: _Run) -> list[torch.Tensor] | None:
    """Return the carried state of all lanes in their order, on the CPU."""
    if run.state is None:
        return None
    whole = []
    for part in run.state:
        if run.fabric.world_size > 1:
            gathered = run.fabric.all_gather(part)
            assert isinstance(gathered, torch.Tensor)
            part = gathered.transpose(0, 1).flatten(0, 1)  # lane l is process l % world's
        whole.append(part.cpu())
    return whole


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
        run.state = tuple(part[rank::world].to(run.fabric.device) for part in state)
    run.history = [dict(row) for row in saved["history"]]
    run.best = dict(saved["best"])
    run.since_best = int(saved["since_best"])
    run.frames_are_done = bool(saved["frames_are_done"])
    run.validation_s = float(saved["validation_s"])
    run.validate_frames = int(saved.get("validate_frames", 0))
