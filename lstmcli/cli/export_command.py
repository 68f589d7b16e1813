"""`export`: a trained network as one file for a runtime."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lstmcli.cli.console import Console, number

if TYPE_CHECKING:
    from lstmcli.workflows.export import Exported

Format = Literal["onnx", "openvino", "torch"]


def export(
    context: typer.Context,
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A checkpoint, a run's folder or a shipped model's name.",
            show_default=False,
        ),
    ],
    format_name: Annotated[
        Format, typer.Option("--format", metavar="NAME", help="onnx, openvino or torch.")
    ] = "onnx",
    out: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="The file or its folder; else the model's name, here."),
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="8-bit numbers in the backbone; needs --data.")
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option(metavar="DATA", help="Your clips, on which 8-bit ranges are measured."),
    ] = None,
    split: Annotated[
        str, typer.Option(metavar="NAME", help="Which part of DATA the ranges are measured on.")
    ] = "train",
    check: Annotated[
        str, typer.Option(metavar="NAME", help="Which part of DATA the accuracy is shown on.")
    ] = "val",
    limit: Annotated[
        int, typer.Option(metavar="N", min=0, help="Frames a video for that; 0: all.")
    ] = 500,
    threshold: Annotated[
        float,
        typer.Option(metavar="SCORE", min=0, max=1, help="The least score to show, as advice."),
    ] = 0.3,
    licence: Annotated[
        str, typer.Option(metavar="TEXT", help="What the model may be used for, as text.")
    ] = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
) -> None:
    """Write a model for OpenVINO, ONNX Runtime or torch."""
    from lstmcli.workflows.export import export as work

    console: Console = context.obj
    exported = work(
        model,
        format=format_name,
        out=out,
        int8=int8,
        data=data,
        split=split,
        threshold=threshold,
        licence=licence,
        overwrite=overwrite,
        progress=console.progress,
    )
    show_exported(console, exported)
    if int8 and data is not None:
        _compare(console, exported, data, check, threshold, limit)


def show_exported(console: Console, exported: Exported) -> None:
    """Print the files, and what they hold to stderr."""
    metadata = exported.metadata
    height, width = metadata.canvas_hw
    console.say(
        f"{exported.size / 1e6:.1f} MB, {len(metadata.classes)} classes, canvas {width}x{height}, "
        f"{'8-bit backbone' if metadata.precision == 'int8' else 'full precision'}"
    )
    for path in exported.paths:
        console.result(str(path))


def _compare(
    console: Console, exported: Exported, data: Path, split: str, threshold: float, limit: int
) -> None:
    """Print the accuracy and the speed before and after."""
    from lstmcli.workflows.evaluate import evaluate

    rows = []
    for name, model in (("before", exported.model), ("after", exported.paths[0])):
        scores = evaluate(
            model, data, split=split, threshold=threshold, limit=limit, progress=console.progress
        ).as_json()
        fields = ("map50", "map", "precision", "recall", "f1")
        speed = scores["speed"]
        rows.append(
            (
                name,
                *(number(scores[field]) for field in fields),
                number(speed["ms_per_frame"], 1),
                speed["engine"],
            )
        )
    console.table(("", "mAP50", "mAP", "precision", "recall", "F1", "ms", "engine"), rows)
