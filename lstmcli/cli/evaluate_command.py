"""`evaluate`: how good a model is on annotated video."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lstmcli.cli.console import Console, number

if TYPE_CHECKING:
    from lstmcli.workflows.evaluate import Evaluation


def evaluate(
    context: typer.Context,
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A checkpoint, run, exported or shipped model; a,b fuses two.",
            show_default=False,
        ),
    ],
    data: Annotated[
        Path,
        typer.Argument(metavar="DATA", help="A prepared dataset, or anything that prepare reads."),
    ] = Path("dataset"),
    split: Annotated[
        str, typer.Option(metavar="NAME", help="Which part of a prepared dataset.")
    ] = "val",
    threshold: Annotated[
        float,
        typer.Option(metavar="SCORE", min=0, max=1, help="The least score that is shown."),
    ] = 0.3,
    iou: Annotated[
        float, typer.Option(metavar="SHARE", min=0, max=1, help="The least overlap that is right.")
    ] = 0.5,
    memory: Annotated[
        bool,
        typer.Option(
            "--memory/--no-memory", help="Without: forget all but the motion at each frame."
        ),
    ] = True,
    device: Annotated[
        str, typer.Option(metavar="NAME", help="auto, cpu, cuda or cuda:N.")
    ] = "auto",
    engine: Annotated[
        str, typer.Option(metavar="NAME", help="auto (the quickest here), torch, openvino, onnx.")
    ] = "auto",
    limit: Annotated[
        int, typer.Option(metavar="N", min=0, help="Only the first N frames a video; 0: all.")
    ] = 0,
    label_format: Annotated[
        str | None,
        typer.Option("--format", metavar="NAME", help="The labels' format, if not recognised."),
    ] = None,
    media: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where videos or frames lie, if the labels do not say."),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write all numbers as JSON.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write a page with plots and pictures.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the JSON or the report.")
    ] = False,
) -> None:
    """Measure a model on annotated video."""
    from lstmcli.workflows.evaluate import evaluate as work

    console: Console = context.obj
    evaluation = work(
        model,
        data,
        split=split,
        threshold=threshold,
        iou=iou,
        memory=memory,
        device=device,
        engine=engine,
        limit=limit,
        format=label_format,
        media=media,
        json_file=json_file,
        report=report,
        overwrite=overwrite,
        progress=console.progress,
    )
    show_evaluation(console, evaluation)
    for path in (json_file, evaluation.report):
        if path is not None:
            console.result(f"wrote {path}")


def show_evaluation(console: Console, evaluation: Evaluation) -> None:
    """Print the scores: a row a class, then what there is to say about all."""
    values: dict[str, Any] = evaluation.as_json()
    fields = ("ap50", "ap", "precision", "recall", "f1")
    console.table(
        ("class", "boxes", *fields),
        [
            (name, str(row["boxes"]), *(number(row[field]) for field in fields))
            for name, row in values["per_class"].items()
        ],
    )
    stability, speed = values["stability"] or {}, values["speed"]
    calibration = values["calibration"]
    console.metadata(
        [
            ("split", f"{values['split']}: {values['videos']} videos, {values['frames']} frames"),
            ("mAP50", number(values["map50"])),
            ("mAP50 any class", number(values["map50_any_class"])),
            ("mAP", number(values["map"])),
            ("precision", f"{number(values['precision'])} at {values['threshold']:g}"),
            ("recall", number(values["recall"])),
            ("F1", number(values["f1"])),
            ("flicker", f"{number(stability.get('flicker_per_minute'), 1)} a minute"),
            ("scores off by", f"{number(calibration.get('error'))} in the mean"),
            (
                "speed",
                f"{number(speed['ms_per_frame'], 1)} ms a frame "
                f"({speed['engine']}, {speed['device']})",
            ),
        ]
    )
