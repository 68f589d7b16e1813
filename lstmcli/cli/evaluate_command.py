"""`evaluate`: metrics of models on annotated videos."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lstmcli.cli import parsing
from lstmcli.cli.comparison_runs import Outputs, ablate_models, compare, models_and_data
from lstmcli.cli.console import Console, number
from lstmcli.cli.options import (
    DATA,
    DETECTION,
    OUTPUT,
    Annotator,
    Device,
    Engine,
    InputSize,
    JsonFile,
    LabelFormatName,
    LabelRateText,
    Media,
    Memory,
    Overwrite,
    Split,
    argument,
    option,
)
from lstmcli.cli.parsing import sized_model

if TYPE_CHECKING:
    from lstmcli.workflows.evaluate import Evaluation


def evaluate(
    context: typer.Context,
    names: Annotated[
        list[str],
        argument(
            DATA,
            "MODEL... [DATA]...",
            "Checkpoints, run folders, exported, shipped or ONNX models (A,B fuses two), then "
            "prepared datasets or labels; default: dataset. Two models or more are compared. "
            "NAME=PATH gives a name for the tables.",
        ),
    ],
    split: Split = "val",
    limit: Annotated[
        int, option(DATA, "N", "Frames per video, from its beginning; 0: all.", min=0)
    ] = 0,
    videos: Annotated[
        int, option(DATA, "N", "Videos of each data, evenly spaced; 0: all.", min=0)
    ] = 0,
    label_format: LabelFormatName = None,
    media: Media = None,
    annotator: Annotator = "",
    label_rate: LabelRateText = None,
    detections: Annotated[
        list[str] | None,
        option(
            DATA,
            "NAME=FILE",
            "Compare with another program's results: COCO results, MOT, YOLO with scores, or JSON "
            "lines; repeatable.",
        ),
    ] = None,
    threshold: Annotated[
        float,
        option(DETECTION, "SCORE", "Minimum score for precision, recall and F1.", min=0, max=1),
    ] = 0.3,
    iou: Annotated[
        float,
        option(DETECTION, "IOU", "Minimum overlap with the ground truth, 0 to 1.", min=0, max=1),
    ] = 0.5,
    size: InputSize = None,
    frames_alone: Annotated[
        bool,
        option(
            DETECTION,
            None,
            "Score the network's own detections at every frame; default: the output of `detect`, "
            "with tracker, schedule and interpolation.",
            "--frames-alone",
        ),
    ] = False,
    store_thresholds: Annotated[
        bool,
        option(
            DETECTION,
            None,
            "Store the threshold of the best F1 of each class in the checkpoint, so that 0.3 means "
            "it from then on; needs --frames-alone.",
            "--store-thresholds",
        ),
    ] = False,
    memory: Memory = True,
    ablate: Annotated[
        bool,
        option(
            DETECTION,
            None,
            "Measure what memory is worth: the same weights with it, reset at every frame, frozen, "
            "and on shuffled frames.",
            "--ablate",
        ),
    ] = False,
    json_file: JsonFile = None,
    report: Annotated[
        Path | None, option(OUTPUT, "DIR", "Write an HTML report: verdict, tables, plots, clips.")
    ] = None,
    fail_below: Annotated[
        list[str] | None,
        option(
            OUTPUT,
            "KEY=VALUE",
            "Exit with 1 if a number of the JSON is lower, as map50=0.5; repeatable.",
        ),
    ] = None,
    overwrite: Overwrite = False,
    device: Device = "auto",
    engine: Engine = "auto",
) -> None:
    """Measure a model on annotated videos: mAP, precision, recall, stability and speed."""
    from lstmcli.core.calibration import USUAL_THRESHOLD
    from lstmcli.workflows.evaluate import (
        EvaluateOptions,
        UnwrittenEvaluation,
        check_minimums,
    )
    from lstmcli.workflows.evaluate import evaluate as work

    console: Console = context.obj
    minimums = parsing.minimums(fail_below, "--fail-below")
    results = {n: Path(file) for n, file in parsing.pairs(detections, "--detections")}
    models, data = models_and_data(names, few=1 if not results else 0)
    chosen = EvaluateOptions(
        split=split,
        threshold=threshold,
        iou=iou,
        memory=memory,
        frames_alone=frames_alone,
        device=device,
        engine=engine,
        store_thresholds=store_thresholds,
        limit=limit,
        videos=videos,
        format=label_format,
        media=media,
        annotator=annotator,
        label_rate=parsing.label_rate(label_rate),
    )
    sized = {name: sized_model(model, size) or model for name, model in models.items()}
    outputs = Outputs(json_file, report, overwrite)
    compares = len(models) + len(results) > 1 or len(data) > 1
    if (ablate or compares) and threshold != USUAL_THRESHOLD:
        raise typer.BadParameter(
            "detectors are compared at the best F1 of each", param_hint="--threshold"
        )
    if store_thresholds and (ablate or compares):
        raise typer.BadParameter("is for one model and one data", param_hint="--store-thresholds")
    if ablate:
        if results or not memory or frames_alone or minimums:
            raise typer.BadParameter(
                "goes without --detections, --no-memory, --frames-alone and --fail-below",
                param_hint="--ablate",
            )
        ablate_models(console, sized, data, chosen, outputs)
        return
    if compares:
        means = compare(console, (sized, data, results), chosen, outputs)
        check_minimums(means, minimums)
        return
    try:
        evaluation = work(
            next(iter(sized.values())),
            next(iter(data.values())),
            chosen,
            json_file=json_file,
            report=report,
            overwrite=overwrite,
            progress=console.progress,
        )
    except UnwrittenEvaluation as error:  # the metrics are shown before the error
        show_evaluation(console, error.evaluation)
        raise
    show_evaluation(console, evaluation)
    if evaluation.stored_thresholds is not None:
        stored = (f"{name} {score:.2f}" for name, score in evaluation.stored_thresholds.items())
        console.result(f"stored in the checkpoint: {', '.join(stored) or 'none, too few objects'}")
    for path in (json_file, evaluation.report):
        if path is not None:
            console.result(f"wrote {path}")
    check_minimums(evaluation.as_json(), minimums)


def show_evaluation(console: Console, evaluation: Evaluation) -> None:
    """Print the metrics: a row a class, then those of all classes."""
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
    console.pairs(
        [
            ("split", f"{values['split']}: {values['videos']} videos, {values['frames']} frames"),
            ("scored", _scored(values["pipeline"])),
            ("mAP50", number(values["map50"])),
            ("mAP50 any class", number(values["map50_any_class"])),
            ("mAP", number(values["map"])),
            ("mAR", number(values["ar"])),
            ("precision", f"{number(values['precision'])} at {values['threshold']:g}"),
            ("recall", number(values["recall"])),
            ("F1", number(values["f1"])),
            ("flicker", f"{number(stability.get('flicker_per_minute'), 1)} per minute"),
            ("calibration error", number(calibration.get("error"))),
            (
                "speed",
                f"{number(speed['ms_per_frame'], 1)} ms per frame "
                f"({speed['engine']}, {speed['device']})",
            ),
        ]
    )


def _scored(pipeline: dict[str, bool]) -> str:
    """Return the scored output in words; the JSON has the details."""
    memory = "" if pipeline["memory"] else ", no memory"
    return ("output of detect" if pipeline["tracker"] else "frames alone") + memory
