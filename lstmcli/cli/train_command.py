"""`train`: a dataset and a preset in, a run folder with checkpoints out."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lstmcli.cli import parsing
from lstmcli.cli.console import Console, number, time_text
from lstmcli.core.config import load_config, parse_yaml
from lstmcli.core.errors import ConfigError

if TYPE_CHECKING:
    from lstmcli.workflows.train import Trained

RUNS = Path("runs")
DATASET = Path("dataset")


def train(
    context: typer.Context,
    dataset: Annotated[
        Path | None,
        typer.Argument(
            metavar="DATASET",
            help="What prepare wrote; without it dataset/, or the resumed run's.",
            show_default=False,
        ),
    ] = None,
    preset: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="A shipped preset or a YAML file.")
    ] = "small",
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="As train.lr=1e-3; repeatable."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="RUN", help="The run's folder; without it the next in runs/."),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Instead of the preset's.")
    ] = None,
    time_budget: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="End within it, as 40m or 1h30m, validation included."),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Begin with the weights of a checkpoint, run or model."),
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Go on with an interrupted run.")
    ] = None,
    device: Annotated[
        str, typer.Option(metavar="NAME", help="auto, cpu, cuda or cuda:N.")
    ] = "auto",
    devices: Annotated[
        int, typer.Option(metavar="N", min=1, help="Processes that share every batch.")
    ] = 1,
    nodes: Annotated[int, typer.Option(metavar="N", min=1, help="Machines.")] = 1,
    seed: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Instead of the preset's.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a run that is there.")
    ] = False,
) -> None:
    """Train a detector with a memory on a prepared dataset."""
    if resume is not None and (out is not None or init is not None):
        raise typer.BadParameter("--resume goes on in its own folder: leave --out and --init away")
    if resume is not None and _given(context, "preset", "setting", "seed"):
        raise typer.BadParameter(
            "--resume goes on with its own settings: leave --preset, --set and --seed away"
        )
    settings = [*(setting or ()), *([] if seed is None else [f"train.seed={seed}"])]
    console: Console = context.obj
    config = load_config(preset, settings, note=console.say)
    budget_s = parsing.duration_s(time_budget)

    from lstmcli.workflows.train import TrainOptions, next_run
    from lstmcli.workflows.train import train as work

    quiet_fabric()
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
    show_trained(console, trained)
    if trained.interrupted:
        console.say(f"interrupted; go on with: lstmcli train --resume {trained.run}")
        raise typer.Exit(130)


def _given(context: typer.Context, *names: str) -> bool:
    """Return whether any of the options stands on the command line."""
    sources = [context.get_parameter_source(name) for name in names]
    return any(source is not None and source.name == "COMMANDLINE" for source in sources)


def quiet_fabric() -> None:
    """Keep Fabric, once imported, from telling on stderr in what precision it computes."""
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)


def dataset_of(run: Path) -> Path:
    """Return the dataset that a run was trained on, from its config.yaml.

    Raises:
        ConfigError: the file is not there or does not say.
    """
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
    """Print where the run lies and how good its best epoch was."""
    best = trained.best
    console.metadata(
        [
            ("run", str(trained.run)),
            ("epochs", f"{trained.epochs} in {time_text(trained.seconds)}"),
            ("best epoch", str(best.get("epoch", "-"))),
            ("mAP50", number(best.get("map50"))),
            ("mAP50 any class", number(best.get("map50_any_class"))),
        ]
    )
