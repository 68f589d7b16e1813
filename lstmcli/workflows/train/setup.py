"""Setup of a training from dataset and settings, new or resumed."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric

from lstmcli.core.boxes import box_area
from lstmcli.core.config import Config
from lstmcli.core.config_file import config_from
from lstmcli.core.errors import (
    ConfigError,
    DataError,
    ModelError,
    OutputError,
    output_exists,
    write_failure,
)
from lstmcli.core.files import remove_leftovers, temporary_folder
from lstmcli.core.progress import Progress
from lstmcli.core.types import no_boxes
from lstmcli.core.yaml_text import read_yaml
from lstmcli.dataset.clips import ClipBatch, ClipDataset, single_frames
from lstmcli.dataset.manifest import Dataset
from lstmcli.models.checkpoint import Checkpoint, load_checkpoint
from lstmcli.models.detector import DetectorNet
from lstmcli.training.batch_size import measured_batch
from lstmcli.training.loop import balanced_weights
from lstmcli.training.optim import build_ema, build_optimizer
from lstmcli.training.records import finished_epochs
from lstmcli.training.schedule import TrainingBudget
from lstmcli.workflows.train.checkpointing import write_config
from lstmcli.workflows.train.epochs import steps_per_epoch
from lstmcli.workflows.train.restore_checks import check_options, check_training
from lstmcli.workflows.train.state import (
    CHECKPOINTS,
    RUN_FILES,
    TrainerState,
    TrainOptions,
    upgrade_training,
)
from lstmcli.workflows.train.transfer import start_from

FINEST_STRIDE = 4
"""Pixels a cell of the finest map of every backbone."""
NEAR_CELLS = 8
"""Objects up to this many cells wide are within the receptive field of the finest maps."""

STAGING = "run"
"""In the name of the hidden folder of a run that is to replace one."""


def next_run(folder: Path, name: str) -> Path:
    """Return the first of `name`, `name-2`, `name-3` ... that does not exist in a folder."""
    candidate = folder / name
    number = 2
    while candidate.exists():
        candidate = folder / f"{name}-{number}"
        number += 1
    return candidate


def make_folder(out: Path, *, overwrite: bool) -> bool:
    """Make the run's folder; return whether it is new.

    An older run in it stays until the new one has a checkpoint: see `staging_folder`. What a run
    left that was ended before its first checkpoint is no run. Files that have a run's names and are
    of no run stay.

    Raises:
        OutputError: it holds something, cannot be made, or cannot be written into.
    """
    try:
        is_new = not out.exists()
        if not is_new and not overwrite and not _holds_no_run(out):
            raise _run_exists(out)
        foreign = None if is_new else _foreign_file(out)
        if foreign is not None:
            raise OutputError(
                f"{out} holds {foreign}, which is of no run of lstmcli",
                hint="move it away, or name a folder of its own with --out",
            )
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise OutputError(f"{out}: {error.strerror}", hint="choose another --out") from None
    return is_new


def _run_exists(out: Path) -> OutputError:
    """Return the error for a folder that holds something, with what can be done about a run."""
    error = output_exists(out)
    if (out / "last.pt").is_file():
        error.hint = f"`lstmcli train --resume {out}` continues it; --overwrite replaces it"
    return error


@contextmanager
def staging_folder(out: Path, *, replaces: bool) -> Iterator[Path | None]:
    """Yield a hidden folder in a run's folder while an older run with a checkpoint is in there.

    Until its first checkpoint, the new run lies in the hidden one; see `replace_older`.

    Args:
        out: the run's folder.
        replaces: whether a new run begins in this process.

    Raises:
        OutputError: it cannot be made.
    """
    if not replaces or not any((out / name).is_file() for name in CHECKPOINTS):
        yield None
        return
    try:
        with temporary_folder(out / STAGING) as folder:
            yield folder
    except OSError as error:
        raise write_failure(out, error) from None


def finish_replacing(out: Path, progress: Progress) -> None:
    """Finish or undo what a training left in the folder that was ended while it replaced a run."""
    if any(out.glob(f".{STAGING}.*")):
        progress.note(
            f"{out}: a training that was to replace this run was ended before its first "
            "checkpoint; the run is as it was"
        )
    remove_leftovers(out)


def _holds_no_run(out: Path) -> bool:
    """Return whether a folder is empty but for the records of a run without a checkpoint."""
    return {path.name for path in out.iterdir()} <= {*RUN_FILES} - {"best.pt", "last.pt"}


def _foreign_file(out: Path) -> str | None:
    """Return a file that a run would replace, where no config.yaml of a run lies beside it."""
    there = [name for name in RUN_FILES if os.path.lexists(out / name)]
    if not there:
        return None
    try:
        values = read_yaml(out / "config.yaml")
    except ConfigError:
        return there[0]
    is_of_run = isinstance(values, dict) and isinstance(values.get("run"), dict)
    return None if is_of_run else there[-1]


def _remove_records(out: Path) -> None:
    """Remove what is left of a run without a checkpoint.

    Raises:
        OutputError: it cannot be removed.
    """
    try:
        for name in RUN_FILES:
            (out / name).unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{out}: {error.strerror}", hint="choose another --out") from None


def last_of(out: Path) -> Checkpoint:
    """Return the `last.pt` of a run to resume."""
    path = out / "last.pt"
    if not path.is_file():
        raise ModelError(f"{out}: no last.pt, there is nothing to resume", hint="check the folder")
    last = load_checkpoint(path)
    if not last.training:
        raise ModelError(f"{path}: holds no training state", hint="use --init to start from it")
    return last


def first_start(out: Path, options: TrainOptions) -> tuple[Config, TrainOptions] | None:
    """Return the settings of a run that ended before its first last.pt, None for other runs.

    It may have written its first best.pt, which stays until the new start has one. Where more
    epochs were finished, the last.pt was removed by hand.

    Raises:
        ConfigError: its config.yaml cannot be read.
    """
    path = out / "config.yaml"
    if (out / "last.pt").exists() or not path.is_file():
        return None
    if (out / "best.pt").exists() and finished_epochs(out / "metrics.csv") > 1:
        return None
    values = read_yaml(path)
    run = values.pop("run", None) if isinstance(values, dict) else None
    if not isinstance(run, dict):
        return None
    kept: dict[str, Any] = {name: run.get(name) for name in ("epochs", "time_budget_s", "init")}
    if kept["time_budget_s"] is not None:
        kept["epochs"] = None  # as many as fit
    given = {name: getattr(options, name) for name in ("epochs", "time_budget_s")}
    kept |= {name: value for name, value in given.items() if value is not None}
    return config_from(values, str(path)), replace(options, **kept)


def options_of(last: Checkpoint, options: TrainOptions) -> TrainOptions:
    """Return the options of a resumed run: its own, overridden by those that are given."""
    saved = check_options(upgrade_training(last.training), str(last.path))
    if options.epochs is not None:
        saved["epochs"] = options.epochs
    if options.time_budget_s is not None:
        saved["time_budget_s"] = options.time_budget_s
    saved |= {"device": options.device, "devices": options.devices, "nodes": options.nodes}
    return TrainOptions(**saved)


def begin(
    fabric: Fabric,
    config: Config,
    options: TrainOptions,
    dataset: Dataset,
    out: Path,
    progress: Progress,
    last: Checkpoint | None,
    began: float,
    *,
    staging: Path | None = None,
    is_anew: bool = False,
) -> TrainerState:
    """Build everything, then restore a resumed run, or write the settings of a new one.

    They are written last, when the new run is known to be valid; see `TrainerState` for `staging`
    and `is_anew`.
    """
    torch.manual_seed(config.train.seed)
    network = (
        last.model
        if last
        else DetectorNet(config, dataset.classes, canvas_hw=dataset.canvas_hw, grid=dataset.grid)
    )
    _check_same_data(network, dataset)
    saved = upgrade_training(last.training) if last else {}
    if last is None and options.init:
        start_from(network, options.init, progress)
    network.to(fabric.device).to(memory_format=torch.channels_last)
    ema = build_ema(network, config.train.ema_decay) if config.train.ema_decay else None
    batch = int(saved.get("batch") or _batch_size(fabric, network, config, dataset, progress))
    check_batch(batch, fabric.world_size)
    optimizer: Any = fabric.setup_optimizers(build_optimizer(config.train, network))
    if last is not None:
        check_training(
            saved, str(last.path), network=network, ema=ema, optimizer=optimizer.optimizer
        )
        network.load_state_dict(saved["model"])
    if ema is not None:
        ema.to(fabric.device)
    epochs = options.epochs or (None if options.time_budget_s else config.train.epochs)
    steps = steps_per_epoch(dataset, config.train, config.clips, batch)
    run = TrainerState(
        folder=out,
        config=config,
        options=options,
        dataset=dataset,
        fabric=fabric,
        progress=progress,
        network=network,
        optimizer=optimizer,
        ema=ema,
        budget=TrainingBudget(
            total_steps=epochs * steps if epochs else None,
            budget_s=options.time_budget_s,
            spent_s=float(saved.get("spent_s", 0.0)) + time.monotonic() - began,
        ),
        class_weights=_class_weights(dataset, config),
        batch=batch,
        epochs=epochs,
        staging=fabric.broadcast(staging) if fabric.world_size > 1 else staging,
        is_anew=is_anew,
    )
    if last is not None:
        run.restore(saved)
        return run
    _clip_source(dataset, config, batch, memory=True)  # raises for invalid data
    fabric.barrier()  # all have read --init, which may be the older run
    if fabric.is_global_zero:
        if run.staging is None:
            _remove_records(out)
        write_config(run)
    return run


def _check_same_data(network: DetectorNet, dataset: Dataset) -> None:
    """Raise where a run is resumed with another dataset.

    Raises:
        DataError: classes, canvas or grid differ.
    """
    hint = "resume with the dataset that the run was started with"
    if network.classes != dataset.classes:
        raise DataError(
            f"{dataset.folder}: classes {', '.join(dataset.classes)}; the run has "
            f"{', '.join(network.classes)}",
            hint=hint,
        )
    theirs = (tuple(dataset.canvas_hw), dataset.grid)
    if theirs != (tuple(network.canvas_hw), network.grid):
        layouts = [
            f"a canvas of {width}x{height} and cells of {grid}"
            for (height, width), grid in (theirs, (network.canvas_hw, network.grid))
        ]
        raise DataError(f"{dataset.folder}: {layouts[0]}; the run has {layouts[1]}", hint=hint)


def fit_to_dataset(config: Config, dataset: Dataset) -> Config:
    """Return the settings with `neck.coarse_levels: auto` decided by the sizes of the boxes.

    Small objects are recognised by their surroundings. Coarser maps leak the location, and the
    location gives away the class.
    """
    if config.neck.coarse_levels != "auto":
        return config
    boxes = [
        dataset.canvas_boxes(video, video.labels.boxes[~video.labels.ignore])
        for video in dataset.split("train")
    ]
    sides = np.sqrt(box_area(np.concatenate([no_boxes(), *boxes])))
    is_large = len(sides) > 0 and float(np.percentile(sides, 90)) > NEAR_CELLS * dataset.grid
    # no backbone has a map as fine as such a grid: all levels are used
    neck = config.neck.model_copy(
        update={"coarse_levels": is_large or dataset.grid < FINEST_STRIDE}
    )
    return config.model_copy(update={"neck": neck})


def check_batch(batch: int | str, world: int) -> None:
    """Raise for a batch that the processes cannot share evenly.

    Raises:
        ConfigError: it cannot be divided.
    """
    if isinstance(batch, int) and batch % world:
        raise ConfigError(
            f"train.batch_size is {batch}, {world} processes cannot share it evenly",
            hint=f"use a multiple of {world}",
        )


def _batch_size(
    fabric: Fabric, network: DetectorNet, config: Config, dataset: Dataset, progress: Progress
) -> int:
    """Return the clips of the global batch; `auto` is measured where there is one process."""
    if config.train.batch_size != "auto":
        return config.train.batch_size
    if fabric.world_size > 1:  # all would have to measure alike
        return (32 if fabric.device.type == "cuda" else 8) * fabric.world_size
    progress.note("train.batch_size: measuring the fastest on this machine ...")
    batch = measured_batch(
        fabric,
        network,
        lambda clips, memory: _drawn(dataset, config, clips, memory),
        train=config.train,
        loss=config.loss,
    )
    progress.note(f"train.batch_size: {batch} clips, the fastest here")
    return batch


def _drawn(dataset: Dataset, config: Config, batch: int, memory: bool) -> ClipBatch:
    """Return a batch of the dataset: of clips, or of as many single frames."""
    return _clip_source(dataset, config, batch, memory=memory)[0]


def _clip_source(dataset: Dataset, config: Config, batch: int, *, memory: bool) -> ClipDataset:
    clips = config.clips if memory else single_frames(config.clips)
    return ClipDataset(
        dataset,
        "train",
        clips,
        config.augment,
        batch=batch if memory else batch * config.clips.length,
        steps=1,
        seed=config.train.seed,
        motion_lag_s=config.input.motion_lag_s,
    )


def _class_weights(dataset: Dataset, config: Config) -> torch.Tensor | None:
    if config.loss.class_balance == 0 or config.clips.balance:
        return None  # sampled evenly already
    counts = np.zeros(len(dataset.classes), np.int64)
    for video in dataset.split("train"):
        counts += np.bincount(
            video.labels.labels[~video.labels.ignore], minlength=len(dataset.classes)
        )
    return balanced_weights(counts.tolist(), config.loss.class_balance)
