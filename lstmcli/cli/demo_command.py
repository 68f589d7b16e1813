"""`demo`: the whole job on a video set that it draws itself."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from lstmcli.cli.console import Console
from lstmcli.cli.detect_command import show_detected
from lstmcli.cli.evaluate_command import show_evaluation
from lstmcli.cli.options import LENGTH, OUTPUT, Device, Epochs, Overwrite, option
from lstmcli.cli.prepare_command import show_prepared
from lstmcli.cli.train_command import quiet_fabric, show_trained
from lstmcli.core.config import load_config


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
    from lstmcli.workflows.demo import draw_demo
    from lstmcli.workflows.detect import detect
    from lstmcli.workflows.evaluate import evaluate
    from lstmcli.workflows.prepare import prepare
    from lstmcli.workflows.train import TrainOptions, train

    quiet_fabric()
    console: Console = context.obj
    progress = console.progress
    dataset, run = out / "dataset", out / "run"
    console.say(f"1. drawing videos of moving shapes in {out / 'source'}")
    videos = draw_demo(out, seed=seed, overwrite=overwrite, progress=progress)
    for folder in (dataset, run):
        shutil.rmtree(folder, ignore_errors=True)
    console.say(f"2. lstmcli prepare {videos.train} --val {videos.val} --out {dataset}")
    prepared = prepare([videos.train], val=[videos.val], out=dataset, progress=progress)
    show_prepared(console, prepared, dataset)
    console.say(f"3. lstmcli train {dataset} --preset demo --out {run}")
    trained = train(
        dataset,
        config=load_config("demo", [f"train.seed={seed}"]),
        out=run,
        options=TrainOptions(epochs=epochs, device=device),
        progress=progress,
    )
    show_trained(console, trained)
    if trained.interrupted:
        console.say(f"interrupted; go on with: lstmcli train --resume {trained.run}")
        raise typer.Exit(130)
    console.say(f"4. lstmcli evaluate {run} {dataset}")
    show_evaluation(console, evaluate(run, dataset, device=device, progress=progress))
    console.say(f"5. lstmcli detect {videos.video} --model {run} --out {out}")
    report = detect(
        [str(videos.video)],
        model=run,
        out=out,
        device=device,
        overwrite=overwrite,
        progress=progress,
    )
    show_detected(console, report)
