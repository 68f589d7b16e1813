"""`demo`: all workflows on a drawn video set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from lstmcli.cli.console import Console
from lstmcli.cli.detect_command import show_detected
from lstmcli.cli.evaluate_command import show_evaluation
from lstmcli.cli.options import LENGTH, OUTPUT, Device, Epochs, Overwrite, option
from lstmcli.cli.prepare_command import show_prepared
from lstmcli.cli.train_command import exit_if_interrupted, quiet_fabric, show_trained


def demo(
    context: typer.Context,
    out: Annotated[Path, option(OUTPUT, "DIR", "Folder of all outputs.")] = Path("demo"),
    overwrite: Overwrite = False,
    epochs: Epochs = None,
    seed: Annotated[
        int, option(LENGTH, "N", "Random seed of the drawn videos and of training.", min=0)
    ] = 0,
    device: Device = "auto",
) -> None:
    """Draw a small annotated video set, then prepare, train, evaluate and detect on it."""
    from lstmcli.workflows.demo import demo as work

    quiet_fabric()
    console: Console = context.obj
    views: Mapping[str, Callable[[Console, Any], None]] = {
        "prepare": show_prepared,
        "train": show_trained,
        "evaluate": show_evaluation,
        "detect": show_detected,
    }
    for stage in work(
        out,
        epochs=epochs,
        seed=seed,
        device=device,
        overwrite=overwrite,
        progress=console.progress,
    ):
        views[stage.command](console, stage.result)
        if stage.command == "train":
            exit_if_interrupted(console, stage.result)
