"""`benchmark`: how fast a model is on this computer, and where the time goes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lstmcli.cli import parsing
from lstmcli.cli.console import Console, number
from lstmcli.core.errors import OutputError

if TYPE_CHECKING:
    from lstmcli.workflows.benchmark import Benchmark


def benchmark(
    context: typer.Context,
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A checkpoint, a run's folder, an exported model or a shipped model's name.",
            show_default=False,
        ),
    ],
    video: Annotated[
        Path | None,
        typer.Argument(metavar="VIDEO", help="A file; without: the network alone."),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(metavar="A,B", help="Any of torch, openvino, onnx; else all that are here."),
    ] = None,
    device: Annotated[
        str, typer.Option(metavar="NAME", help="auto, cpu, cuda or cuda:N.")
    ] = "auto",
    frames: Annotated[
        int, typer.Option(metavar="N", min=6, help="So many frames at the most.")
    ] = 300,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write all numbers as JSON.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the JSON.")] = False,
) -> None:
    """Measure the speed of a model on this computer, stage by stage."""
    if json_file is not None and json_file.exists() and not overwrite:
        raise OutputError(f"{json_file} exists", hint="use --overwrite, or choose another name")

    from lstmcli.workflows.benchmark import benchmark as work

    console: Console = context.obj
    names = parsing.names(engine) or ()
    measured = work(
        model, video, engines=names, device=device, frames=frames, progress=console.progress
    )
    if video is not None:
        measured = replace(measured, detect_fps=_detect_fps(console, model, video, measured))
    show_benchmark(console, measured)
    if json_file is not None:
        temporary = json_file.with_name(json_file.name + ".part")
        temporary.write_text(json.dumps(measured.as_json(), indent=1) + "\n", encoding="utf-8")
        temporary.replace(json_file)
        console.result(f"wrote {json_file}")


def _detect_fps(console: Console, model: str, video: Path, measured: Benchmark) -> float:
    """Return the rate of the whole command, in which the stages overlap."""
    import tempfile

    from lstmcli.workflows.detect import detect

    with tempfile.TemporaryDirectory() as folder:
        report = detect(
            [str(video)],
            model=model,
            engine=measured.engine,
            out=Path(folder),
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
    rates = (("detect", measured.detect_fps), ("decoding and encoding", measured.transcode_fps))
    console.facts(
        [
            *((name, f"{fps:.1f} frames/s") for name, fps in rates if fps),
            *((("video", "{1}x{0}".format(*measured.size_hw)),) if measured.size_hw else ()),
            ("canvas", f"{width}x{height}"),
            ("memory", f"{measured.memory_mb:.0f} MB at the most"),
            ("computer", f"{measured.processor}, {measured.threads} threads"),
        ]
    )
