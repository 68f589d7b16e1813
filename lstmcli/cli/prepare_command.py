"""`prepare`: annotated videos or images to a checked and split dataset."""

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
    Device,
    Engine,
    LabelFormatName,
    LabelRateText,
    Media,
    Overwrite,
    argument,
    option,
)
from lstmcli.core.files import check_replaceable, real_place

if TYPE_CHECKING:
    from lstmcli.core.types import DataWarning
    from lstmcli.workflows.prepare import Prepared, SplitCounts
    from lstmcli.workflows.prepare.teacher import TeacherResult


MOST_TILES = 8
SPLITS = "Splits"
FRAMES = "Frames"


def prepare(
    context: typer.Context,
    source: Annotated[
        list[Path] | None,
        argument(
            DATA, "SOURCE", "Label files or folders; default: all labels below the current folder."
        ),
    ] = None,
    label_format: LabelFormatName = None,
    media: Media = None,
    teacher: Annotated[
        str | None,
        option(
            DATA,
            "MODEL[,MODEL]",
            "Label SOURCE, videos or images without labels, by these models; several are fused.",
        ),
    ] = None,
    tiles: Annotated[
        int,
        option(
            DATA,
            "N",
            "With --teacher: detect in N x N overlapping parts of each frame, too, for small "
            "objects; 2 takes five times as long.",
            min=1,
            max=MOST_TILES,
        ),
    ] = 1,
    propagate: Annotated[
        bool,
        option(
            DATA,
            None,
            "Label the frames between annotated ones by following every object from both sides; "
            "where they disagree, the region is ignored.",
            "--propagate",
        ),
    ] = False,
    device: Device = "auto",
    engine: Engine = "auto",
    annotator: Annotator = "",
    label_rate: LabelRateText = None,
    classes: Annotated[
        str | None, option(DATA, "A,B", "Keep these classes, in this order; default: all.")
    ] = None,
    rename: Annotated[
        list[str] | None, option(DATA, "OLD=NEW", "Rename a class; repeatable.")
    ] = None,
    val: Annotated[
        list[Path] | None, option(SPLITS, "SOURCE", "Labels of the val split; repeatable.")
    ] = None,
    test: Annotated[
        list[Path] | None, option(SPLITS, "SOURCE", "Labels of the test split; repeatable.")
    ] = None,
    split: Annotated[
        float | None,
        option(
            SPLITS,
            "SHARE",
            "Share of the videos in the train split, 0 to 1, at random; default: the set's own "
            "train, val and test, else 0.8.",
            min=0,
            max=1,
        ),
    ] = None,
    split_time: Annotated[
        float | None,
        option(
            SPLITS,
            "SHARE",
            "Split every video in time instead: the first SHARE trains, the rest validates.",
            min=0,
            max=1,
        ),
    ] = None,
    gap: Annotated[
        float,
        option(SPLITS, "SECONDS", "Unused time between the parts of --split-time.", min=0),
    ] = 1.0,
    seed: Annotated[int, option(SPLITS, "N", "Random seed of the split by video.", min=0)] = 0,
    size: Annotated[
        str | None,
        option(FRAMES, "W,H", "Input size of the network in pixels; default: from the videos."),
    ] = None,
    grid: Annotated[
        int, option(FRAMES, "N", "Stride of the network's output in pixels.", min=2, max=64)
    ] = 8,
    crop: Annotated[
        int,
        option(
            FRAMES, "N", "Side of the square training crops in pixels; 0: from the objects.", min=0
        ),
    ] = 0,
    every: Annotated[
        int,
        option(FRAMES, "N", "Use every Nth frame; 0: about ten frames per second.", min=0),
    ] = 0,
    out: Annotated[Path, option(OUTPUT, "DIR", "Folder of the dataset.")] = Path("dataset"),
    overwrite: Overwrite = False,
) -> None:
    """Convert annotated videos or images to a checked dataset with train and val splits."""
    size_hw = parsing.size_hw(size)
    kept, renamed = parsing.names(classes), parsing.renames(rename)
    if tiles > 1 and teacher is None:
        raise typer.BadParameter("--tiles needs --teacher")

    from lstmcli.workflows.prepare import PrepareOptions, TimeSplit
    from lstmcli.workflows.prepare import prepare as work

    console: Console = context.obj
    sources = source or [Path()]
    notes: tuple[DataWarning, ...] = ()
    if teacher is not None:
        check_replaceable(real_place(out), overwrite=overwrite)  # before the long work
        labelled = _label(
            console, teacher, sources, out, kept, renamed, every, device, engine, tiles, overwrite
        )
        sources, notes, kept, renamed = [labelled.path], labelled.notes, None, {}
    prepared = work(
        sources,
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
            notes=notes,
            propagate=propagate,
            annotator=annotator,
            label_rate=parsing.label_rate(label_rate),
        ),
        overwrite=overwrite,
        progress=console.progress,
    )
    show_prepared(console, prepared)


def _label(
    console: Console,
    teacher: str,
    sources: list[Path],
    out: Path,
    classes: tuple[str, ...] | None,
    rename: dict[str, str],
    every: int,
    device: str,
    engine: str,
    tiles: int,
    overwrite: bool,
) -> TeacherResult:
    """Label footage by teachers into a folder next to the dataset, and print the counts."""
    from lstmcli.workflows.prepare.teacher import label_footage
    from lstmcli.workflows.prepare.teacher_ensemble import TeacherOptions

    options = TeacherOptions(
        parsing.names(teacher) or (), classes or (), rename, every, device, engine, tiles
    )
    folder = out.with_name(f"{out.name}.teacher")
    labelled = label_footage(
        sources, folder, options, overwrite=overwrite, progress=console.progress
    )
    console.pairs(
        [
            ("labelled", f"{labelled.frames} frames, {labelled.boxes} boxes"),
            ("interpolated", _share(labelled.interpolated, labelled.boxes)),
            ("uncertain, ignored", _share(labelled.uncertain, labelled.boxes)),
            ("dropped single detections", str(labelled.dropped)),
            ("labels", str(labelled.path)),
        ]
    )
    return labelled


def _share(part: int, whole: int) -> str:
    return f"{part} ({part / max(whole, 1):.0%})"


def show_prepared(console: Console, prepared: Prepared) -> None:
    """Print the splits, the boxes of each class, and the warnings."""
    dataset, counts = prepared.dataset, prepared.counts
    console.table(
        ("split", "videos", "frames", "annotated", "boxes", "ignored", "median side"),
        (_row(split) for split in counts),
    )
    console.table(
        ("class", *(split.split for split in counts)),
        ((name, *(str(s.boxes.get(name, 0)) for s in counts)) for name in dataset.classes),
    )
    height, width = dataset.canvas_hw
    console.pairs(
        [
            ("input size", f"{width}x{height} pixels"),
            ("stride", f"{dataset.grid} pixels"),
            ("training crops", f"{dataset.crop} pixels"),
            ("dataset", str(dataset.folder)),
            *([("splits", prepared.division)] if prepared.division else []),
            ("preview", str(prepared.previews[0].parent) if prepared.previews else "-"),
        ]
    )
    for warning in prepared.warnings:
        console.warn_of_data(warning.where, warning.text, warning.count)


def _row(counts: SplitCounts) -> list[str]:
    return [
        counts.split,
        str(counts.videos),
        str(counts.frames),
        str(counts.labelled),
        str(sum(counts.boxes.values())),
        str(counts.ignored),
        f"{counts.median_side:.0f} px",
    ]
