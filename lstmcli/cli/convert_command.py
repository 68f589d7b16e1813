"""`convert`: labels of one format to another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lstmcli.cli import parsing
from lstmcli.cli.console import Console
from lstmcli.cli.options import (
    DATA,
    OUTPUT,
    Annotator,
    LabelFormatName,
    LabelRateText,
    Media,
    Overwrite,
    argument,
    option,
)

if TYPE_CHECKING:
    from lstmcli.workflows.convert import ConvertResult


def convert(
    context: typer.Context,
    source: Annotated[Path, argument(DATA, "SOURCE", "Label file, or a folder of label files.")],
    to: Annotated[str, option(OUTPUT, "NAME", "Target format: {label_targets}.")],
    label_format: LabelFormatName = None,
    media: Media = None,
    annotator: Annotator = "",
    label_rate: LabelRateText = None,
    size: Annotated[
        str | None, option(DATA, "W,H", "Size in pixels of media that are not available.")
    ] = None,
    out: Annotated[
        Path | None,
        option(OUTPUT, "PATH", "Output file (coco) or folder; default: named after SOURCE."),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Convert labels from one format to another."""
    size_hw = parsing.size_hw(size)

    from lstmcli.workflows.convert import convert as work

    console: Console = context.obj
    result = work(
        source,
        to,
        out,
        format=label_format,
        media=media,
        size_hw=size_hw,
        annotator=annotator,
        label_rate=parsing.label_rate(label_rate),
        overwrite=overwrite,
        progress=console.progress,
    )
    show_converted(console, result)


def show_converted(console: Console, result: ConvertResult) -> None:
    """Print the output, its counts and the warnings."""
    console.pairs(
        [
            ("wrote", str(result.path)),
            ("classes", ", ".join(result.classes)),
            ("videos and images", str(result.videos)),
            ("annotated frames", str(result.frames)),
            ("boxes", f"{result.boxes}, {result.ignored} of them ignored regions"),
        ]
    )
    for warning in result.warnings:
        console.warn_of_data(warning.where, warning.text, warning.count)
