"""`inspect`: what the recurrent core of a model does in a video."""

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
            "Moment, in seconds or h:mm:ss; default: where memory raises a score the most.",
        ),
    ] = None,
    class_name: Annotated[
        str | None,
        option(DETECTION, "NAME", "Class of the object; default: the best-scored.", "--class"),
    ] = None,
    limit: Annotated[int, option(SOURCE, "N", "Frames that are shown.", min=2)] = 240,
    out: Annotated[Path, option(OUTPUT, "DIR", "Folder of the outputs.")] = Path(),
    overwrite: Overwrite = False,
) -> None:
    """Show gates, cell and reach of the recurrent core as a video, a plot and JSON."""
    from lstmcli.workflows.inspect import inspect as work

    console: Console = context.obj
    found = work(
        model,
        video,
        at_s=parsing.moment_s(at),
        class_name=class_name,
        out=out,
        limit=limit,
        overwrite=overwrite,
        progress=console.progress,
    )
    moment = next(row for row in found.rows if row.time_s == found.at_s)
    console.table(
        ("past frames in the state", "score"),
        [(str(frames), number(score)) for frames, score in found.reach.items()],
    )
    console.result(
        f"{found.class_name} at {found.at_s:.2f} s: {moment.score:.2f} with memory, "
        f"{moment.score_alone:.2f} by the frame alone"
    )
    for path in found.outputs:
        console.result(f"wrote {path}")
