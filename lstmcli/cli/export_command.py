"""`export`: a trained network as a file of a runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lstmcli.cli.console import Console, number
from lstmcli.cli.options import DATA, OUTPUT, Overwrite, argument, option

if TYPE_CHECKING:
    from lstmcli.workflows.export import Exported, ExportScores


def export(
    context: typer.Context,
    model: Annotated[
        str, argument(DATA, "MODEL", "Checkpoint, run folder or name of a shipped model.")
    ],
    data: Annotated[
        Path | None,
        option(DATA, "DATA", "Prepared dataset or labels, for the ranges of --int8."),
    ] = None,
    split: Annotated[
        str, option(DATA, "NAME", "Split of DATA on which ranges are measured.")
    ] = "train",
    check: Annotated[
        str, option(DATA, "NAME", "Split of DATA on which accuracy is compared.")
    ] = "val",
    limit: Annotated[
        int, option(DATA, "N", "Frames per video for that comparison; 0: all.", min=0)
    ] = 500,
    format_name: Annotated[
        str, option(OUTPUT, "NAME", "Runtime of the file: {runtimes}.", "--format")
    ] = "onnx",
    int8: Annotated[
        bool, option(OUTPUT, None, "Quantize the backbone to 8 bits; needs --data.", "--int8")
    ] = False,
    out: Annotated[
        Path | None,
        option(OUTPUT, "PATH", "Output file or its folder; default: the model's name, here."),
    ] = None,
    threshold: Annotated[
        float,
        option(OUTPUT, "SCORE", "Recommended score threshold, stored in the file.", min=0, max=1),
    ] = 0.3,
    licence: Annotated[str, option(OUTPUT, "TEXT", "Licence text, stored in the file.")] = "",
    overwrite: Overwrite = False,
) -> None:
    """Export a model to ONNX, OpenVINO or torch; with --int8 compare it before and after."""
    from lstmcli.workflows.export import compare_export
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
        show_comparison(
            console,
            compare_export(
                exported,
                data,
                split=check,
                threshold=threshold,
                limit=limit,
                progress=console.progress,
            ),
        )


def show_exported(console: Console, exported: Exported) -> None:
    """Print the files to stdout and their content to stderr."""
    metadata = exported.metadata
    height, width = metadata.input_hw
    console.say(
        f"{exported.size / 1e6:.1f} MB, {len(metadata.classes)} classes, "
        f"input size {width}x{height}, "
        f"{'8-bit backbone' if metadata.precision == 'int8' else 'full precision'}"
    )
    for path in (*exported.paths, *exported.server_configs):
        console.result(str(path))


def show_comparison(console: Console, compared: Sequence[ExportScores]) -> None:
    """Print accuracy and speed before and after."""
    fields = ("map50", "map", "precision", "recall", "f1")
    console.table(
        ("model", "mAP50", "mAP", "precision", "recall", "F1", "ms", "runtime"),
        [
            (
                row.name,
                *(number(row.scores[field]) for field in fields),
                number(row.scores["speed"]["ms_per_frame"], 1),
                row.scores["speed"]["engine"],
            )
            for row in compared
        ],
    )
