"""`prepare`: annotated videos or images in, a checked and split dataset out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lstmcli.cli import parsing
from lstmcli.cli.console import Console

if TYPE_CHECKING:
    from lstmcli.workflows.prepare import Prepared, SplitCounts


def prepare(
    context: typer.Context,
    source: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="SOURCE",
            help="Annotation files or folders; without any, what lies below this folder.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="The folder of the dataset.")] = Path(
        "dataset"
    ),
    label_format: Annotated[
        str | None,
        typer.Option("--format", metavar="NAME", help="The labels' format, if not recognised."),
    ] = None,
    media: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where videos or frames lie, if the labels do not say."),
    ] = None,
    val: Annotated[
        list[Path] | None,
        typer.Option(metavar="SOURCE", help="Labels to validate on; repeatable."),
    ] = None,
    test: Annotated[
        list[Path] | None, typer.Option(metavar="SOURCE", help="Labels to test on; repeatable.")
    ] = None,
    split: Annotated[
        float,
        typer.Option(
            metavar="SHARE", min=0, max=1, help="Share of the videos that trains, without --val."
        ),
    ] = 0.8,
    split_time: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            min=0,
            max=1,
            help="Divide each video in time instead: this share of its frames trains.",
        ),
    ] = None,
    gap: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=0, help="Left out between the parts of --split-time."),
    ] = 1.0,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Draws which videos train.")] = 0,
    classes: Annotated[
        str | None, typer.Option(metavar="A,B", help="Keep these classes, in this order.")
    ] = None,
    rename: Annotated[
        list[str] | None,
        typer.Option(metavar="OLD=NEW", help="Give a class another name; repeatable."),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(metavar="W,H", help="The model's canvas in pixels; else by the videos."),
    ] = None,
    grid: Annotated[
        int, typer.Option(metavar="N", min=2, max=64, help="Pixels of the canvas in a grid cell.")
    ] = 8,
    crop: Annotated[
        int,
        typer.Option(metavar="N", min=0, help="Side of square training crops; 0: by the objects."),
    ] = 0,
    every: Annotated[
        int,
        typer.Option(metavar="N", min=0, help="Take every Nth frame; 0: about ten a second."),
    ] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a dataset that is there.")
    ] = False,
) -> None:
    """Turn annotated videos or images into a checked, split dataset."""
    size_hw = parsing.size_hw(size)
    kept, renamed = parsing.names(classes), parsing.renames(rename)

    from lstmcli.workflows.prepare import PrepareOptions, TimeSplit
    from lstmcli.workflows.prepare import prepare as work

    console: Console = context.obj
    prepared = work(
        source or [Path()],
        out=out,
        val=val or (),
        test=test or (),
        options=PrepareOptions(
            format=label_format,
            media=media,
            split=split,
            split_time=None if split_time is None else TimeSplit(split_time, gap),
            seed=seed,
            classes=kept or (),
            rename=renamed,
            size_wh=None if size_hw is None else (size_hw[1], size_hw[0]),
            grid=grid,
            crop=crop,
            every=every,
        ),
        overwrite=overwrite,
        progress=console.progress,
    )
    show_prepared(console, prepared, out)


def show_prepared(console: Console, prepared: Prepared, out: Path) -> None:
    """Print what the dataset holds, and what a person should know about it."""
    dataset = prepared.dataset
    console.table(
        ("split", "videos", "frames", "labelled", "boxes", *dataset.classes, "ignored", "median"),
        (_row(counts, dataset.classes) for counts in prepared.counts),
    )
    height, width = dataset.canvas_hw
    console.metadata(
        [
            (
                "canvas",
                f"{width}x{height} pixels, cells of {dataset.grid}, crops of {dataset.crop}",
            ),
            ("dataset", str(out)),
            ("preview", str(prepared.previews[0].parent) if prepared.previews else "-"),
        ]
    )
    for warning in prepared.warnings:
        console.warn_of_data(warning.where, warning.text, warning.count)


def _row(counts: SplitCounts, classes: Sequence[str]) -> list[str]:
    return [
        counts.split,
        str(counts.videos),
        str(counts.frames),
        str(counts.labelled),
        str(sum(counts.boxes.values())),
        *(str(counts.boxes.get(name, 0)) for name in classes),
        str(counts.ignored),
        f"{counts.median_side:.0f} px",
    ]
