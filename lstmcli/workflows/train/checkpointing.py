"""Files of a run: config.yaml, best.pt, last.pt, metrics.csv and curves.png."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import torch

from lstmcli.core.errors import OutputError, write_failure
from lstmcli.core.files import publish_files, write_text
from lstmcli.core.yaml_text import dump_yaml
from lstmcli.models.checkpoint import save_checkpoint
from lstmcli.training.records import draw_curves, write_metrics
from lstmcli.workflows.train.state import RUN_FILES, TrainerState, known_metrics, on_cpu


def write_config(run: TrainerState) -> None:
    """Write `config.yaml`: everything that is needed to repeat the run."""
    text = dump_yaml(run.config.model_dump(mode="json") | {"run": _metadata(run)})
    write_text((run.staging or run.folder) / "config.yaml", text)


def _metadata(run: TrainerState) -> dict[str, Any]:
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
        "batch_size": run.batch,
        "torch": str(torch.__version__),
    }


def keep_start(run: TrainerState) -> None:
    """Write `best.pt` with the weights that fine-tuning starts from."""
    best = run.counters.best
    save_checkpoint(
        run.files / "best.pt", run.network, weights_of(run), metrics=known_metrics(best)
    )
    run.progress.note(
        f"start ({run.options.init}): map50 {best['map50']:.3f}, any class "
        f"{best['map50_any_class']:.3f}; kept unless an epoch is better"
    )


def keep_records(run: TrainerState, *, keep: bool, better: bool) -> None:
    """Write `best.pt`, the metrics and the curves after an epoch.

    Args:
        run: the training, after an epoch.
        keep: write `best.pt`.
        better: whether the epoch is the best so far.
    """
    row = run.counters.history[-1]
    if keep:
        save_checkpoint(
            run.files / "best.pt", run.network, weights_of(run), metrics=known_metrics(row)
        )
    try:
        write_metrics(run.files / "metrics.csv", run.counters.history)
        draw_curves(run.files / "curves.png", run.counters.history)
        replace_older(run)
    except OutputError as error:
        is_staged = run.files != run.folder
        hint = "the older run stays" if is_staged else "`lstmcli train --resume` goes on"
        raise OutputError(error.problem, hint=f"free some space; {hint}") from None
    run.progress.note(_sentence(row, better))


def replace_older(run: TrainerState) -> None:
    """Let the files of the run, a checkpoint among them, replace those of an older one.

    Raises:
        OutputError: the disk is full; the older run stays.
    """
    staging = run.files
    if staging == run.folder:
        return
    removed = [
        name
        for name in RUN_FILES
        if not (staging / name).exists() and not (run.is_anew and name == "best.pt")
    ]
    try:
        publish_files(staging, overwrite=True, removes=removed)
    except OSError as error:
        raise write_failure(run.folder, error) from None


def _sentence(row: Mapping[str, Any], better: bool) -> str:
    def shown(name: str) -> str:
        value = row.get(name)
        return "-" if value is None else f"{value:.3f}"

    return (
        f"epoch {row['epoch']}: loss {row['loss']:.3f}, map50 {shown('map50')}, any class "
        f"{shown('map50_any_class')}, recall {shown('recall')}, precision {shown('precision')}, "
        f"{row['frames_per_second']:.0f} frames/s, data wait {100 * row['data_wait']:.0f} %"
        + (", best so far" if better else "")
    )


def weights_of(run: TrainerState) -> dict[str, torch.Tensor]:
    """Return the weights for inference: the moving average where there is one."""
    source = run.network if run.ema is None else run.ema.module
    return on_cpu(source.state_dict())


def save_last(run: TrainerState) -> None:
    """Write `last.pt` with all that a resumed run needs; all processes call it together."""
    run.saved_at = time.monotonic()
    training = run.to_dict()
    if not run.fabric.is_global_zero:
        return
    history = run.counters.history
    save_checkpoint(
        run.files / "last.pt",
        run.network,
        weights_of(run),
        metrics=known_metrics(history[-1]) if history else {},
        training=training,
    )
    replace_older(run)
