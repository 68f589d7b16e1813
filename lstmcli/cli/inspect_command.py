"""`inspect`: gates and state of a model's recurrent core in a video."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lstmcli.cli import parsing
from lstmcli.cli.console import Console, number
from lstmcli.cli.options import DETECTION, OUTPUT, SOURCE, Overwrite, argument, option


def inspect(
    context: typer.Context,
    model: Annotated[
        str, argument(SOURCE, "MODEL", "Checkpoint, run folder or name of a shipped model.")
    ],
    video: Annotated[Path, argument(SOURCE, "VIDEO", "Video file.")],
    at: Annotated[
        str | None,
        option(
            DETECTION,
            "TIME",
            "Time of the inspected frame: seconds or h:mm:ss; default: where memory raises a score "
            "the most.",
        ),
    ] = None,
    class_name: Annotated[
        str | None,
        option(DETECTION, "NAME", "Class of the object; default: highest score.", "--class"),
    ] = None,
    limit: Annotated[int, option(SOURCE, "N", "Number of frames shown.", min=2)] = 240,
    out: Annotated[Path, option(OUTPUT, "DIR", "Folder of the outputs.")] = Path(),
    overwrite: Overwrite = False,
) -> None:
    """Show gates, cell and reach of the recurrent core as a video, a plot and JSON."""
    from lstmcli.workflows.inspect import inspect as work

    console: Console = context.obj
    inspection = work(
        model,
        video,
        at_s=parsing.moment_s(at),
        class_name=class_name,
        out=out,
        limit=limit,
        overwrite=overwrite,
        progress=console.progress,
    )
    moment = next(row for row in inspection.rows if row.time_s == inspection.at_s)
    console.table(
        ("past frames in the state", "score"),
        [(str(frames), number(score)) for frames, score in inspection.reach.items()],
    )
    console.result(
        f"{inspection.class_name} at {inspection.at_s:.2f} s: {moment.score:.2f} with memory, "
        f"{moment.score_alone:.2f} by the frame alone"
    )
    for path in inspection.outputs:
        console.result(f"wrote {path}")
