"""`evaluate`: streams annotated videos through the pipeline of `detect` and scores the output."""

from __future__ import annotations

from pathlib import Path

from lstmcli.core.errors import OutputError
from lstmcli.core.files import claim, write_json
from lstmcli.core.progress import Progress, SilentProgress
from lstmcli.inference.runtime import Runtime
from lstmcli.metrics.comparison import compare
from lstmcli.metrics.scoring import score
from lstmcli.report.evaluation_page import PAGE_NAME, write_report
from lstmcli.report.gallery import Gallery
from lstmcli.report.moments_part import PageMoments
from lstmcli.workflows.evaluate.class_thresholds import storable, store_thresholds
from lstmcli.workflows.evaluate.data import open_data, open_model
from lstmcli.workflows.evaluate.options import EvaluateOptions
from lstmcli.workflows.evaluate.outputs import check_folders, check_outputs
from lstmcli.workflows.evaluate.page_moments import page_moments
from lstmcli.workflows.evaluate.result import (
    Evaluation,
    PipelineUse,
    Speed,
    UnwrittenEvaluation,
)
from lstmcli.workflows.evaluate.stream import EvaluationStream
from lstmcli.workflows.schedule import inference_stride


def evaluate(
    model: Path | str | Runtime,
    data: Path | str,
    options: EvaluateOptions | None = None,
    *,
    json_file: Path | None = None,
    report: Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Evaluation:
    """Evaluate a model on annotated videos.

    Args:
        model: a checkpoint, a run folder, the name of a shipped model, or a loaded runtime.
        data: a prepared dataset, or any source that `prepare` reads, evaluated whole.
        options: see `EvaluateOptions`.
        json_file: where to write the scores as JSON.
        report: a folder for an HTML page with plots, tables and the worst frames.
        overwrite: replace an existing JSON file or report.
        progress: shows progress and notes.

    Raises:
        ConfigError: model and data have no class in common.
        DataError: the data cannot be read, or has no annotated frame in this split.
        MediaError: a video or an image cannot be read.
        ModelError: the model cannot be read.
        OutputError: the JSON file or report exists or cannot be written.
    """
    check_folders(json_file, report)
    with claim(json_file, report):
        return _evaluate(
            model,
            data,
            options or EvaluateOptions(),
            json_file,
            report,
            overwrite,
            progress or SilentProgress(),
        )


def _evaluate(
    model: Path | str | Runtime,
    data: Path | str,
    options: EvaluateOptions,
    json_file: Path | None,
    report: Path | None,
    overwrite: bool,
    progress: Progress,
) -> Evaluation:
    check_outputs(json_file, report, overwrite=overwrite)
    checkpoint = storable(model) if options.store_thresholds else None
    opened = open_data(Path(data), open_model(model, options, progress), options, progress)
    if not opened.videos:
        raise opened.nothing_annotated(Path(data))
    runtime = opened.videos[0][1]
    use = _pipeline_use(options, runtime.device)
    stream = EvaluationStream(
        options,
        use,
        gallery=Gallery(opened.classes) if report else None,
        scored=opened.scored,
    )
    for video, its_runtime in opened.videos:
        stream.add(video, its_runtime, progress)
    stream.note_omissions(progress)
    if not stream.results:
        raise opened.nothing_annotated(Path(data))
    evaluation = Evaluation(
        model=str(model) if isinstance(model, Path | str) else runtime.engine,
        data=str(data),
        split=opened.split,
        pipeline=use,
        classes=opened.classes,
        scores=score(stream.results, opened.classes, threshold=options.threshold, iou=options.iou),
        speed=Speed(stream.timed, stream.seconds, runtime.device, runtime.engine),
        report=report / PAGE_NAME if report else None,
        stored_thresholds=None
        if checkpoint is None
        else store_thresholds(checkpoint, runtime.metadata, stream.results),
        results=tuple(stream.results),
    )
    try:
        moments = _moments(evaluation, options, progress) if report is not None else None
        _write(evaluation, stream.gallery, json_file, report, moments, overwrite=overwrite)
    except OutputError as error:
        raise UnwrittenEvaluation(error, evaluation) from error
    return evaluation


def _pipeline_use(options: EvaluateOptions, device: str) -> PipelineUse:
    track = not options.frames_alone
    return PipelineUse(
        tracker=track,
        schedule=track
        and options.schedule
        and options.interpolate  # else frames without inference would have no detections
        and inference_stride(device=device, track=track) is None,
        interpolation=track and options.interpolate,
        memory=options.memory,
    )


def _write(
    evaluation: Evaluation,
    gallery: Gallery | None,
    json_file: Path | None,
    report: Path | None,
    moments: PageMoments | None,
    *,
    overwrite: bool,
) -> None:
    if json_file is not None:
        write_json(json_file, evaluation.as_json(), overwrite=overwrite)
    if report is not None and gallery is not None:
        curves, pictures = evaluation.scores.curves, gallery.pictures()
        write_report(report, evaluation.as_json(), curves, pictures, moments, overwrite=overwrite)


def _moments(evaluation: Evaluation, options: EvaluateOptions, progress: Progress) -> PageMoments:
    comparison = compare(
        evaluation.results, evaluation.classes, threshold=options.threshold, iou=options.iou
    )
    return page_moments(
        Path(evaluation.data),
        {Path(evaluation.model).name: comparison},
        options=options,
        progress=progress,
    )
