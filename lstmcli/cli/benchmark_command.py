"""`benchmark`: speed of a model on this machine by runtime and stage."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lstmcli.cli import parsing
from lstmcli.cli.console import Console, number
from lstmcli.cli.options import (
    DATA,
    HARDWARE,
    Device,
    InputSize,
    JsonFile,
    Overwrite,
    argument,
    option,
)
from lstmcli.cli.train_command import quiet_fabric
from lstmcli.core.files import check_free, claim, write_json

if TYPE_CHECKING:
    from lstmcli.workflows.benchmark import Benchmark, TrainingSpeed


def benchmark(
    context: typer.Context,
    model: Annotated[
        str,
        argument(
            DATA,
            "MODEL",
            "Checkpoint, run folder, exported, shipped or third-party (ONNX) model; with "
            "--train a preset.",
        ),
    ],
    video: Annotated[
        Path | None, argument(DATA, "VIDEO", "Video file; default: time the network alone.")
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
    size: InputSize = None,
    device: Device = "auto",
) -> None:
    """Measure the speed of a model on this machine by runtime and stage."""
    console: Console = context.obj
    with claim(json_file):
        check_free(json_file, overwrite=overwrite)
        values, show = _measure(
            console, model, video, frames, train, train_time, engine, size, device
        )
        if json_file is not None:  # first: stdout may fail
            write_json(json_file, values, overwrite=overwrite)
        show()
        if json_file is not None:
            console.result(f"wrote {json_file}")


def _measure(
    console: Console,
    model: str,
    video: Path | None,
    frames: int,
    train: Path | None,
    train_time: str,
    engine: str | None,
    size: str | None,
    device: str,
) -> tuple[dict[str, Any], Callable[[], None]]:
    """Return what is measured, and what prints it."""
    if train is not None:
        if video is not None:
            raise typer.BadParameter("--train measures training: omit VIDEO")
        return _measure_training(console, model, train, train_time, device)
    from lstmcli.workflows.benchmark import benchmark as work

    engines = parsing.names(engine) or ()
    model = parsing.sized_model(model, size) or model
    measured = work(
        model, video, engines=engines, device=device, frames=frames, progress=console.progress
    )
    return measured.as_json(), partial(show_benchmark, console, measured)


def _measure_training(
    console: Console, preset: str, dataset: Path, duration: str, device: str
) -> tuple[dict[str, Any], Callable[[], None]]:
    seconds = parsing.duration_s(duration) or 0.0

    from lstmcli.workflows.benchmark import benchmark_training

    quiet_fabric()
    measured = benchmark_training(
        preset, dataset, seconds=seconds, device=device, progress=console.progress
    )
    if measured.interrupted:
        raise typer.Exit(130)
    return measured.as_json(), partial(show_training, console, measured)


def show_training(console: Console, measured: TrainingSpeed) -> None:
    """Print frames per second and waiting of every epoch."""
    console.table(
        ("epoch", "stage", "frames/s", "waiting for data"),
        [
            (
                str(row["epoch"]),
                str(row["stage"]),
                f"{row['frames_per_second']:.1f}",
                f"{row['data_wait']:.0%}",
            )
            for row in measured.epochs
        ],
    )


def show_benchmark(console: Console, measured: Benchmark) -> None:
    """Print runtimes, stages and the rates of `detect` and of a plain transcode."""
    console.table(
        ("runtime", "ms", "p95 ms", "frames/s", "load s", "device"),
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
                for name, ms in (*measured.stages.items(), ("sum", total))
            ],
        )
    height, width = measured.canvas_hw
    rates = (
        ("detect", measured.detect_fps),
        ("detect --every 1", measured.detect_all_fps),
        ("decoding and encoding", measured.transcode_fps),
    )
    console.pairs(
        [
            *((name, f"{fps:.1f} frames/s") for name, fps in rates if fps),
            *((("video", "{1}x{0}".format(*measured.size_hw)),) if measured.size_hw else ()),
            ("input size", f"{width}x{height}"),
            ("memory", f"{measured.memory_mb:.0f} MB at most"),
            ("processor", f"{measured.processor}, {measured.threads} threads"),
        ]
    )
