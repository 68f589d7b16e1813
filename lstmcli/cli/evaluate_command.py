"""`evaluate`: how good a model is on annotated video."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lstmcli.cli.console import Console, number
from lstmcli.cli.options import (
    DATA,
    DETECTION,
    OUTPUT,
    Device,
    Engine,
    JsonFile,
    LabelFormatName,
    Media,
    Memory,
    Overwrite,
    Split,
    argument,
    option,
)

if TYPE_CHECKING:
    from lstmcli.workflows.evaluate import Evaluation


def evaluate(
    context: typer.Context,
    model: Annotated[
        str,
        argument(
            DATA, "MODEL", "Checkpoint, run folder, exported or shipped model; A,B fuses two."
        ),
    ],
    data: Annotated[
        Path,
        argument(
            DATA,
            "DATA",
            "Prepared dataset, or any labels that `prepare` reads.",
            show_default=True,
        ),
    ] = Path("dataset"),
    split: Split = "val",
    limit: Annotated[
        int, option(DATA, "N", "Frames per video, from its beginning; 0: all.", min=0)
    ] = 0,
    label_format: LabelFormatName = None,
    media: Media = None,
    threshold: Annotated[
        float,
        option(DETECTION, "SCORE", "Minimum score for precision, recall and F1.", min=0, max=1),
    ] = 0.3,
    iou: Annotated[
        float,
        option(DETECTION, "IOU", "Minimum overlap with the ground truth, 0 to 1.", min=0, max=1),
    ] = 0.5,
    memory: Memory = True,
    json_file: JsonFile = None,
    report: Annotated[
        Path | None, option(OUTPUT, "DIR", "Write an HTML report with plots and pictures.")
    ] = None,
    overwrite: Overwrite = False,
    device: Device = "auto",
    engine: Engine = "auto",
) -> None:
    """Measure a model on annotated videos: mAP, precision, recall, stability and speed."""
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
