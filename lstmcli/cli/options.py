"""Options shared by several commands, and the panels of the help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

SOURCE = "Source"
DATA = "Data"
DETECTION = "Detection"
OUTPUT = "Output"
DRAWING = "Drawing"
HARDWARE = "Hardware"
LENGTH = "Length"
CLUSTER = "Cluster"


def option(panel: str, metavar: str | None, text: str, *flags: str, **rules: Any) -> Any:
    """Return an option of a panel; `{outputs}` and the like are replaced by names of a table."""
    return typer.Option(*flags, metavar=metavar, help=text, rich_help_panel=panel, **rules)


def argument(panel: str, metavar: str, text: str, *, show_default: bool = False) -> Any:
    """Return an argument of a panel."""
    return typer.Argument(
        metavar=metavar, help=text, rich_help_panel=panel, show_default=show_default
    )


Device = Annotated[str, option(HARDWARE, "NAME", "Device: auto, cpu, cuda or cuda:N.")]
Engine = Annotated[
    str, option(HARDWARE, "NAME", "Runtime: auto (the fastest on this machine), {runtimes}.")
]
Epochs = Annotated[int | None, option(LENGTH, "N", "Epochs; default: the preset's.", min=1)]
JsonFile = Annotated[Path | None, option(OUTPUT, "FILE", "Write all numbers as JSON.", "--json")]
LabelFormatName = Annotated[
    str | None,
    option(
        DATA,
        "NAME",
        "Label format (see `lstmcli formats`); default: recognised from the content.",
        "--format",
    ),
]
Annotator = Annotated[
    str,
    option(DATA, "NAME", "Annotator whose boxes are used; default: one of several (see formats)."),
]
LabelRateText = Annotated[
    str | None,
    option(
        DATA,
        "FPS",
        "Frame rate of the labels, frames per second: match labels to frames by time; `film`: "
        "match by frame number. Default: compare with the video.",
        "--label-rate",
    ),
]
Media = Annotated[
    Path | None,
    option(DATA, "DIR", "Folder of the videos or images; default: the paths in the labels."),
]
Memory = Annotated[
    bool,
    option(
        DETECTION,
        None,
        "Keep state between frames. --no-memory: reset recurrent state and track memory before "
        "every frame (ablation).",
        "--memory/--no-memory",
    ),
]
Overwrite = Annotated[bool, option(OUTPUT, None, "Replace existing output.", "--overwrite")]
InputSize = Annotated[
    str | None,
    option(DETECTION, "W,H", "Input size of a third-party detector that leaves it open.", "--size"),
]
Split = Annotated[str, option(DATA, "NAME", "Split of a prepared dataset: train, val or test.")]
