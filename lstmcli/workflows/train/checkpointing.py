"""What a training leaves on the disk, and how a resumed one takes it up again."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import torch

from lstmcli.core.config import dump_yaml
from lstmcli.core.errors import OutputError
from lstmcli.models.checkpoint import save_checkpoint
from lstmcli.training.loop import (
    EpochProgress,
)
from lstmcli.training.records import draw_curves, write_metrics
from lstmcli.workflows.train.state import TrainerState


def write_config(run: TrainerState) -> None:
    """Write `config.yaml`: everything that is needed to repeat the run."""
    text = dump_yaml(run.config.model_dump(mode="json") | {"run": _metadata(run)})
    path = run.folder / "config.yaml"
    temporary = path.with_suffix(".part")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise OutputError(f"{path}: {error.strerror}", hint="choose another --out") from None


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
        "batch": run.batch,
        "torch": str(torch.__version__),
    }


def keep_records(run: TrainerState, *, keep: bool, better: bool) -> None:
    """Write what an epoch leaves: `best.pt`, the numbers and the curves.

    Args:
        run: whose last epoch it is.
        keep: write `best.pt`.
        better: say that it is the best so far.
    """
    row = run.history[-1]
    if keep:
        save_checkpoint(run.folder / "best.pt", run.network, weights_of(run), metrics=plain(row))
    try:
        write_metrics(run.folder / "metrics.csv", run.history)
        draw_curves(run.folder / "curves.png", run.history)
    except OSError as error:
        raise OutputError(
            f"{run.folder}: the records cannot be written ({error.strerror})",
            hint="free some space; `lstmcli train --resume` goes on",
        ) from None
    run.progress.note(_sentence(row, better))


def _sentence(row: Mapping[str, Any], better: bool) -> str:
    def shown(name: str) -> str:
        value = row.get(name)
        return "-" if value is None else f"{value:.3f}"

    return (
        f"epoch {row['epoch']}: loss {row['loss']:.3f}, map50 {shown('map50')}, any class "
        f"{shown('map50_any_class')}, recall {shown('recall')}, precision {shown('precision')}, "
        f"{row['frames_per_second']:.0f} frames/s, waited {100 * row['data_wait']:.0f} %"
        + (", best so far" if better else "")
    )


def weights_of(run: TrainerState) -> dict[str, torch.Tensor]:
    """Return the weights that are used: the running average where there is one."""
    source = run.network if run.average is None else run.average.module
    return {name: value.detach().cpu().clone() for name, value in source.state_dict().items()}


def plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers that are known."""
    return {name: value for name, value in row.items() if value is not None}


def save_last(run: TrainerState) -> None:
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
        "history": [plain(row) for row in run.history],
        "best": plain(run.best),
        "since_best": run.since_best,
        "frames_are_done": run.frames_are_done,
        "validation_s": run.validation_s,
        "validate_frames": run.validate_frames,
        "batch": run.batch,
        "spent_s": run.clock.spent_s,
        "options": {
            name: getattr(run.options, name) for name in ("epochs", "time_budget_s", "init")
        },
    }
    save_checkpoint(
        run.folder / "last.pt",
        run.network,
        weights_of(run),
        metrics=plain(run.history[-1]) if run.history else {},
        training=training,
    )


def _whole_state(run: TrainerState) -> list[torch.Tensor] | None:
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


def put_back(run: TrainerState, saved: Mapping[str, Any]) -> None:
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
