"""Trains a detector: dataset and settings in, a run folder with checkpoints out."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from lightning_fabric import Fabric

from lstmcli.core.config import Config
from lstmcli.core.devices import choose_device, has_fast_bf16
from lstmcli.core.errors import ConfigError, LstmcliError
from lstmcli.core.files import claim
from lstmcli.core.progress import Progress, SilentProgress
from lstmcli.core.system import keep_freed_memory
from lstmcli.dataset.manifest import Dataset
from lstmcli.models.checkpoint import Checkpoint
from lstmcli.training.distributed import build_fabric, run_in_processes
from lstmcli.training.launch import Launch, find_launch
from lstmcli.workflows.train.epochs import fit
from lstmcli.workflows.train.setup import (
    begin,
    check_batch,
    finish_replacing,
    first_start,
    fit_to_dataset,
    last_of,
    make_folder,
    options_of,
    staging_folder,
)
from lstmcli.workflows.train.state import RUN_FILES, Trained, TrainOptions
from lstmcli.workflows.train.transfer import chosen_init, fit_to_init


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
    """Train a detector; keep its best and last checkpoint.

    Args:
        dataset: folder of `prepare`.
        config: all settings; ignored when resuming, where the run's own are taken.
        out: the run's folder.
        options: see `TrainOptions`.
        resume: continue the run in `out`, to the same result as without the break.
        overwrite: replace an existing run.
        progress: shows progress and notes.

    Raises:
        ConfigError, DataError, ModelError: invalid settings, data or checkpoint.
        OutputError: the run exists, or cannot be written.
        TrainingError: the loss diverged.
    """
    options = options or TrainOptions()
    launch = find_launch(options.devices, options.nodes)
    options = replace(options, devices=launch.devices, nodes=launch.nodes)
    progress = progress if progress is not None and launch.leads else SilentProgress()
    with claim(out if launch.leads else None, resumes=True):
        if launch.leads:
            finish_replacing(out, progress)
        return _train(
            dataset,
            config,
            out,
            options,
            launch,
            resume,
            overwrite,
            progress,
        )


def _train(
    dataset: Path | str,
    config: Config,
    out: Path,
    options: TrainOptions,
    launch: Launch,
    resume: bool,
    overwrite: bool,
    progress: Progress,
) -> Trained:
    began = time.monotonic()
    _check_budget(options.time_budget_s)
    prepared = Dataset.load(dataset)
    last: Checkpoint | None = None
    anew = first_start(out, options) if resume else None
    if anew is not None:
        progress.note(f"{out}: the run ended before its first last.pt; it is started anew")
        resume, (config, options) = False, anew
    if resume:
        last = last_of(out)
        config = last.config
        options = options_of(last, options)
    else:
        options = replace(options, init=chosen_init(options.init, config))
        if options.init and config.train.careful:
            config = fit_to_init(config, prepared, progress)
    config = fit_to_dataset(config, prepared)
    device = choose_device(options.device, count=options.devices)
    keep_freed_memory()
    check_batch(config.train.batch_size, options.devices * options.nodes)
    half = config.train.precision == "bf16" or (
        config.train.precision == "auto" and (device != "cpu" or has_fast_bf16())
    )
    fabric = build_fabric(device=device, launch=launch, half=half)
    replaces = overwrite or anew is not None
    is_new = launch.leads and not resume and make_folder(out, overwrite=replaces)

    def work(fabric: Fabric, staging: Path | None) -> Trained:
        shown = progress if fabric.is_global_zero else SilentProgress()
        shown.adopt()  # the first of several processes is a forked one, too
        run = begin(
            fabric,
            config,
            options,
            prepared,
            out,
            shown,
            last,
            began,
            staging=staging,
            is_anew=anew is not None,
        )
        return fit(run)

    try:
        with staging_folder(out, replaces=launch.leads and not resume) as staging:
            return run_in_processes(fabric, launch, partial(work, staging=staging))
    except (LstmcliError, KeyboardInterrupt):  # the latter only before the first step
        kept = [name for name in ("best.pt", "last.pt") if (out / name).exists()]
        if is_new and not kept:  # nothing was trained: free the name
            for name in RUN_FILES:
                (out / name).unlink(missing_ok=True)
            with suppress(OSError):  # something else has come into it
                out.rmdir()
        raise


def _check_budget(budget_s: float | None) -> None:
    """Raise for a budget without time.

    Raises:
        ConfigError: the budget is not positive.
    """
    if budget_s is not None and budget_s <= 0:
        raise ConfigError(
            f"a time budget of {budget_s:g} s",
            hint="give --time-budget a time, as 40m or 1h30m, or leave it out",
        )
