"""`convert`: labels of one format in, labels of another out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lstmcli.cli import parsing
from lstmcli.cli.console import Console

if TYPE_CHECKING:
    from lstmcli.workflows.convert import ConvertResult

Target = Literal["coco", "mot", "yolo"]


def convert(
    context: typer.Context,
    source: Annotated[
        Path,
        typer.Argument(metavar="SOURCE", help="A label file or a folder of them."),
    ],
    to: Annotated[Target, typer.Option(metavar="NAME", help="coco, mot or yolo.")],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="The file (coco) or folder to write; else named by SOURCE."
        ),
    ] = None,
    label_format: Annotated[
        str | None,
        typer.Option("--format", metavar="NAME", help="The labels' format, if not recognised."),
    ] = None,
    media: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where videos or frames lie, if sizes must be asked."),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(metavar="W,H", help="Size in pixels of media that are not here."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")] = False,
) -> None:
    """Turn labels of one format into labels of another."""
    size_hw = parsing.size_hw(size)

    from lstmcli.workflows.convert import convert as work

    console: Console = context.obj
    result = work(
        source,
        to,
        out or Path(default_name(source, to)),
        format=label_format,
        media=media,
        size_hw=size_hw,
        overwrite=overwrite,
        progress=console.progress,
    )
    show_converted(console, result)


def default_name(source: Path, to: Target) -> str:
    """Return the name that the outcome gets in the current folder."""
    stem = source.resolve().stem or "labels"
    return f"{stem}.coco.json" if to == "coco" else f"{stem}-{to}"


def show_converted(console: Console, result: ConvertResult) -> None:
    """Print what was written, and what a person should know about it."""
    console.metadata(
        [
            ("wrote", str(result.path)),
            ("classes", ", ".join(result.classes)),
            ("videos and images", str(result.videos)),
            ("frames with truth", str(result.frames)),
            ("boxes", f"{result.boxes}, {result.ignored} of them ignored regions"),
        ]
    )
    for warning in result.warnings:
        console.warn_of_data(warning.where, warning.text, warning.count)
