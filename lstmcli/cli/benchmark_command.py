"""`benchmark`: how fast a model is on this computer, and where the time goes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lstmcli.cli import parsing
from lstmcli.cli.console import Console, number
from lstmcli.cli.options import DATA, HARDWARE, Device, JsonFile, Overwrite, argument, option
from lstmcli.cli.train_command import quiet_fabric
from lstmcli.core.config import load_config
from lstmcli.core.errors import OutputError

if TYPE_CHECKING:
    from lstmcli.workflows.benchmark import Benchmark

VALIDATE_FRAMES = 20
"""Looked at after each epoch where only the speed of training is asked for."""


def benchmark(
    context: typer.Context,
    model: Annotated[
        str,
        argument(
            DATA,
            "MODEL",
            "Checkpoint, run folder, exported or shipped model; with --train a preset.",
        ),
    ],
    video: Annotated[
        Path | None, argument(DATA, "VIDEO", "Video file; without it only the network is timed.")
    ] = None,
    frames: Annotated[int, option(DATA, "N", "Maximum number of frames.", min=6)] = 300,
    train: Annotated[
        Path | None,
        option(DATA, "DATASET", "Measure training on this dataset; MODEL is a preset."),
    ] = None,
    train_time: Annotated[str, option(DATA, "TIME", "Duration of --train.")] = "60s",
    json_file: JsonFile = None,
    overwrite: Overwrite = False,
    engine: Annotated[
        str | None,
        option(HARDWARE, "A,B", "Runtimes: any of {runtimes}; default: all installed ones."),
    ] = None,
    device: Device = "auto",
) -> None:
    """Measure the speed of a model on this machine by runtime and stage."""
    if json_file is not None and json_file.exists() and not overwrite:
        raise OutputError(f"{json_file} exists", hint="use --overwrite, or choose another name")

    console: Console = context.obj
    if train is not None:
        if video is not None:
            raise typer.BadParameter("--train measures training: leave VIDEO away")
        rows = _training_rows(console, model, train, train_time, device)
        show_training(console, rows)
        if json_file is not None:
            _write_json(console, json_file, {"preset": model, "epochs": rows})
        return

    from lstmcli.workflows.benchmark import benchmark as work

    names = parsing.names(engine) or ()
    measured = work(
        model, video, engines=names, device=device, frames=frames, progress=console.progress
    )
    if video is not None:
        measured = replace(
            measured,
            detect_fps=_detect_fps(console, model, video, measured),
            detect_all_fps=_detect_fps(console, model, video, measured, every=1),
        )
    show_benchmark(console, measured)
    if json_file is not None:
        _write_json(console, json_file, measured.as_json())


def _write_json(console: Console, path: Path, values: Mapping[str, object]) -> None:
    temporary = path.with_name(path.name + ".part")
    temporary.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)
    console.result(f"wrote {path}")


def _training_rows(
    console: Console, preset: str, dataset: Path, duration: str, device: str
) -> list[dict[str, float | str]]:
    """Train into a folder that goes away; return rate and waiting of every epoch."""
    import tempfile

    config = load_config(preset, [f"train.validate_frames={VALIDATE_FRAMES}"])
    budget_s = parsing.duration_s(duration)

    from lstmcli.workflows.train import TrainOptions
    from lstmcli.workflows.train import train as work

    quiet_fabric()
    with tempfile.TemporaryDirectory() as folder:
        trained = work(
            dataset,
            config=config,
            out=Path(folder) / "run",
            options=TrainOptions(time_budget_s=budget_s, device=device),
            progress=console.progress,
        )
    if trained.interrupted:
        raise typer.Exit(130)
    names = ("epoch", "stage", "frames_per_second", "waited")
    return [{name: row[name] for name in names} for row in trained.history]


def show_training(console: Console, rows: Sequence[Mapping[str, float | str]]) -> None:
    """Print how many frames a second each part of the training took."""
    console.table(
        ("epoch", "on", "frames/s", "waited for data"),
        [
            (
                str(row["epoch"]),
                str(row["stage"]),
                f"{row['frames_per_second']:.1f}",
                f"{row['data_wait']:.0%}",
            )
            for row in rows
        ],
    )


def _detect_fps(
    console: Console, model: str, video: Path, measured: Benchmark, *, every: int | None = None
) -> float:
    """Return the rate of the whole command, in which the stages overlap."""
    import tempfile

    from lstmcli.workflows.detect import detect

    with tempfile.TemporaryDirectory() as folder:
        report = detect(
            [str(video)],
            model=model,
            engine=measured.engine,
            out=Path(folder),
            every=every,
            write=("video",),
            sound=False,
            progress=console.progress,
        )
    (done,) = report.done
    return done.frames / done.seconds


def show_benchmark(console: Console, measured: Benchmark) -> None:
    """Print the engines, the stages and the limits."""
    console.table(
        ("engine", "ms", "slow ms", "frames/s", "load s", "device"),
        [
            (
                row.engine,
                number(row.ms, 1),
                number(row.slow_ms, 1),
                number(row.frames_per_second, 1),
                number(row.load_s, 1),
                row.device or row.problem,
            )
            for row in measured.engines
        ],
    )
    if measured.stages:
        total = sum(measured.stages.values())
        console.table(
            ("stage", "ms", "frames/s", "share"),
            [
                (name, f"{ms:.2f}", number(1000 / ms if ms > 0 else None, 0), f"{ms / total:.0%}")
                for name, ms in (*measured.stages.items(), ("all in a row", total))
            ],
        )
    height, width = measured.canvas_hw
    rates = (
        ("detect", measured.detect_fps),
        ("detect --every 1", measured.detect_all_fps),
        ("decoding and encoding", measured.transcode_fps),
    )
    console.metadata(
        [
            *((name, f"{fps:.1f} frames/s") for name, fps in rates if fps),
            *((("video", "{1}x{0}".format(*measured.size_hw)),) if measured.size_hw else ()),
            ("canvas", f"{width}x{height}"),
            ("memory", f"{measured.memory_mb:.0f} MB at the most"),
            ("computer", f"{measured.processor}, {measured.threads} threads"),
        ]
    )
