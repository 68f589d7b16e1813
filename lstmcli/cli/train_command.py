"""`train`: dataset and preset to a run folder with checkpoints."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lstmcli.cli import parsing
from lstmcli.cli.console import Console, number, time_text
from lstmcli.cli.options import (
    DATA,
    HARDWARE,
    LENGTH,
    OUTPUT,
    Device,
    Epochs,
    Overwrite,
    argument,
    option,
)
from lstmcli.core.errors import ConfigError

if TYPE_CHECKING:
    from lstmcli.workflows.train import Trained

MODEL = "Model"
RUNS = Path("runs")
DATASET = Path("dataset")


def train(
    context: typer.Context,
    dataset: Annotated[
        Path | None,
        argument(
            DATA, "DATASET", "Prepared dataset; default: dataset/, or that of the resumed run."
        ),
    ] = None,
    preset: Annotated[
        str, option(MODEL, "NAME|FILE", "Shipped preset (see `lstmcli presets`) or YAML file.")
    ] = "general",
    setting: Annotated[
        list[str] | None,
        option(
            MODEL,
            "KEY=VALUE",
            "Change a setting, as train.lr=1e-3; repeatable; see `lstmcli settings`.",
            "--set",
        ),
    ] = None,
    init: Annotated[
        str | None,
        option(
            MODEL,
            "MODEL",
            "Initial weights: checkpoint, run folder, shipped model or none; default: "
            "general, where the preset has its architecture.",
        ),
    ] = None,
    seed: Annotated[
        int | None, option(MODEL, "N", "Random seed; default: the preset's.", min=0)
    ] = None,
    epochs: Epochs = None,
    time_budget: Annotated[
        str | None,
        option(LENGTH, "TIME", "Finish within TIME, as 40m or 1h30m, validation included."),
    ] = None,
    resume: Annotated[
        Path | None, option(LENGTH, "RUN", "Continue an interrupted run to the same result.")
    ] = None,
    out: Annotated[
        Path | None, option(OUTPUT, "RUN", "Run folder; default: the next one in runs/.")
    ] = None,
    overwrite: Overwrite = False,
    device: Device = "auto",
    devices: Annotated[
        int, option(HARDWARE, "N", "Processes that share every batch, one per device.", min=1)
    ] = 1,
    nodes: Annotated[
        int,
        option(
            HARDWARE,
            "N",
            "Number of machines, which share the folders of dataset and run. Start with torchrun "
            "or srun, which give --devices and --nodes, too; or this command on each machine with "
            "NODE_RANK (0, 1 ...), MASTER_ADDR and MASTER_PORT set.",
            min=1,
        ),
    ] = 1,
) -> None:
    """Train a detector on a prepared dataset."""
    if resume is not None and (out is not None or init is not None):
        raise typer.BadParameter("--resume continues in its own folder: omit --out and --init")
    if resume is not None and _given(context, "preset", "setting", "seed"):
        raise typer.BadParameter(
            "--resume continues with its own settings: omit --preset, --set and --seed"
        )
    settings = [*(setting or ()), *([] if seed is None else [f"train.seed={seed}"])]
    console: Console = context.obj
    from lstmcli.core.config_file import load_config

    config = load_config(preset, settings, note=console.say)
    budget_s = parsing.duration_s(time_budget)

    from lstmcli.workflows.train import TrainOptions, find_launch, next_run
    from lstmcli.workflows.train import train as work

    quiet_fabric()
    launch = find_launch(devices, nodes)
    if not launch.leads:  # the first process speaks for all
        console.verbosity = -1
    if not launch.is_alone and resume is None and out is None:
        raise ConfigError("several machines write into one run", hint="name its folder with --out")
    run = resume or out or next_run(RUNS, config.name or Path(preset).stem)
    trained = work(
        dataset or (dataset_of(run) if resume else DATASET),
        config=config,
        out=run,
        options=TrainOptions(
            epochs=epochs,
            time_budget_s=budget_s,
            init=init,
            device=device,
            devices=devices,
            nodes=nodes,
        ),
        resume=resume is not None,
        overwrite=overwrite,
        progress=console.progress,
    )
    if launch.leads:
        show_trained(console, trained)
    exit_if_interrupted(console, trained)


def exit_if_interrupted(console: Console, trained: Trained) -> None:
    """End with the code of Ctrl-C after a training that was interrupted."""
    if trained.interrupted:
        console.say(f"interrupted; continue with: lstmcli train --resume {trained.run}")
        raise typer.Exit(130)


def _given(context: typer.Context, *names: str) -> bool:
    """Return whether any of the options was given on the command line."""
    sources = [context.get_parameter_source(name) for name in names]
    return any(source is not None and source.name == "COMMANDLINE" for source in sources)


def quiet_fabric() -> None:
    """Silence Fabric's message about the precision."""
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)


def dataset_of(run: Path) -> Path:
    """Return the dataset that a run was trained on, from its config.yaml.

    Raises:
        ConfigError: the file is missing or names no dataset.
    """
    from lstmcli.core.yaml_text import parse_yaml

    path = run / "config.yaml"
    try:
        values = parse_yaml(path.read_text(encoding="utf-8"), str(path))
        return Path(values["run"]["dataset"])
    except OSError as error:
        raise ConfigError(
            f"{path}: {error.strerror}", hint="give --resume the folder of a run"
        ) from None
    except (KeyError, TypeError):
        raise ConfigError(
            f"{path}: names no dataset", hint="name it: lstmcli train DATASET --resume RUN"
        ) from None


def show_trained(console: Console, trained: Trained) -> None:
    """Print the run folder and the metrics of its best epoch."""
    best = trained.best
    epoch = str(best.get("epoch", "-"))
    console.pairs(
        [
            ("run", str(trained.run)),
            ("epochs", f"{trained.epochs} in {time_text(trained.seconds)}"),
            ("best epoch", "none, the start is better" if epoch == "0" else epoch),
            ("mAP50", number(best.get("map50"))),
            ("mAP50 any class", number(best.get("map50_any_class"))),
        ]
    )
