"""`detect`: runs the pipeline over all sources and writes the outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from lstmcli.core.calibration import ScoreCalibration
from lstmcli.core.errors import LstmcliError, explain
from lstmcli.core.files import claim
from lstmcli.core.jobs import ProgressCallback, run_jobs
from lstmcli.core.progress import Progress, SilentProgress
from lstmcli.inference.predictor import Predictor
from lstmcli.inference.runtime_pool import RuntimePool, open_runtimes
from lstmcli.outputs.events import open_event_sink
from lstmcli.outputs.text_sprites import can_draw
from lstmcli.tracking import load_count_config
from lstmcli.video import find_sources, has_nvenc, output_names
from lstmcli.video.container import FFMPEG_ERRORS, reason_of
from lstmcli.workflows.detect.done_record import (
    content_key,
    record_path,
    settings_key,
    write_record,
)
from lstmcli.workflows.detect.options import DetectOptions, DetectReport, VideoDone, VideoFailed
from lstmcli.workflows.detect.plan import MakePredictor, Plan, PredictorFor, ProbedSource
from lstmcli.workflows.detect.sources import default_model, files_of, kept_classes, to_do
from lstmcli.workflows.detect.video_job import Stopped, VideoJob
from lstmcli.workflows.schedule import inference_stride

CLAIMED_AT_ONCE = 200
"""Outputs that are claimed before the first video; each claim is an open file."""


def detect(
    sources: Sequence[str],
    options: DetectOptions | None = None,
    *,
    make_predictor: MakePredictor | None = None,
    runtimes: RuntimePool | None = None,
    progress: Progress | None = None,
) -> DetectReport:
    """Detect objects in videos and write the detections.

    Args:
        sources: files, folders, patterns, rows of images, `camera:0`, stream addresses, `-`.
        options: see `DetectOptions`.
        make_predictor: own network, instead of `model`, `memory`, `device` and `engine` of the
            options.
        runtimes: of the model of the options, where they are open already.
        progress: shows progress and notes.

    Raises:
        LstmcliError: invalid options, existing outputs, or the only source failed.
    """
    options = options or DetectOptions()
    found = find_sources(sources, note=progress.note if progress is not None else None)
    return detect_found(
        [
            ProbedSource(source, options.out / name)
            for source, name in zip(found, output_names(found), strict=True)
        ],
        options,
        make_predictor=make_predictor,
        runtimes=runtimes,
        progress=progress,
    )


def detect_found(
    probed: Sequence[ProbedSource],
    options: DetectOptions,
    *,
    make_predictor: MakePredictor | None = None,
    runtimes: RuntimePool | None = None,
    progress: Progress | None = None,
) -> DetectReport:
    """Detect objects in sources whose outputs have their names; see `detect`."""
    progress = progress or SilentProgress()
    plan, sentence = build_plan(
        probed, options, make_predictor=make_predictor, runtimes=runtimes, progress=progress
    )
    notes: list[str] = []
    with claim(_events_file(options), *_claimed_stems(probed)):
        todo, skipped = to_do(probed, plan)
        if options.events is not None:
            sink = open_event_sink(
                options.events,
                append=options.skip_existing,
                overwrite=options.overwrite,
                say=progress.note,
            )
            plan = replace(plan, events=sink)
        try:
            results = _run_all(todo, plan, progress)
        except KeyboardInterrupt:
            progress.note(
                "unfinished files have `.partial` in their name; --skip-existing continues"
            )
            raise
        finally:
            notes += plan.events.close() if plan.events is not None else []
    done = tuple(result for result in results if isinstance(result, VideoDone))
    failures = [result for result in results if isinstance(result, tuple)]
    if len(probed) == 1 and failures:
        raise failures[0][1]
    failed = tuple(VideoFailed(name, e.problem, e.hint) for name, e in failures)
    return DetectReport(sentence, done, failed, tuple(skipped), tuple(notes))


def build_plan(
    probed: Sequence[ProbedSource],
    options: DetectOptions,
    *,
    make_predictor: MakePredictor | None = None,
    runtimes: RuntimePool | None = None,
    progress: Progress,
) -> tuple[Plan, str]:
    """Return the options with everything found out, and a sentence about the model taken.

    Raises:
        LstmcliError: the options do not fit, or the model cannot be loaded.
    """
    count = load_count_config(options.count) if options.count is not None else None
    size_hw = probed[0].size_hw  # the runtime is made for it: most runs need no other
    sentence, device, calibration, model = "", "cpu", ScoreCalibration(), ""
    if make_predictor is None:
        model, sentence = default_model(options.model)
        if sentence:
            progress.note(sentence)
        runtimes = runtimes or open_runtimes(
            model,
            device=options.device,
            engine=options.engine,
            streams=min(options.jobs, len(probed)),
            progress=progress,
        )
        first = runtimes.of(size_hw)
        device, calibration = first.device, first.metadata.calibration
        predictor_for = _predictors(runtimes, memory=options.memory)
    else:
        predictor_for = _any_size(make_predictor)
    classes = predictor_for(options.threshold, size_hw).classes
    on_cuda = device.startswith("cuda")
    stride = options.every if options.interpolate else 1
    if options.every is None:
        stride = inference_stride(device=device, track=options.track)
    plan = Plan(
        options=options,
        predictor_for=predictor_for,
        classes=classes,
        kept=kept_classes(options.classes, classes),
        codec=options.codec
        if options.codec != "auto"
        else ("nvenc" if on_cuda and has_nvenc() else "h264"),
        every=1 if options.interpolate or options.every is None else options.every,
        inference_stride=stride,
        calibration=calibration,
        count=count,
        settings=settings_key(options, model) if options.skip_existing else "",
    )
    for name in classes:
        if "video" in options.write and not can_draw(name):
            progress.note(f"no font here has the letters of {name!r}; install Noto fonts")
    return plan, sentence


def _claimed_stems(probed: Sequence[ProbedSource]) -> list[Path]:
    """Return the stems that are claimed before the first video; the others are at their turn."""
    for one in probed[:CLAIMED_AT_ONCE]:
        one.is_claimed = True
    return [one.stem for one in probed[:CLAIMED_AT_ONCE]]


def _events_file(options: DetectOptions) -> Path | None:
    is_file = options.events is not None and "://" not in options.events
    return Path(str(options.events)) if is_file else None


def _predictors(runtimes: RuntimePool, *, memory: bool) -> PredictorFor:
    return lambda threshold, size_hw: Predictor(
        runtimes.of(size_hw), threshold=threshold, memory=memory
    )


def _any_size(make_predictor: MakePredictor) -> PredictorFor:
    return lambda threshold, size_hw: make_predictor(threshold)


Result = VideoDone | tuple[str, LstmcliError]


def _run_all(todo: Sequence[ProbedSource], plan: Plan, progress: Progress) -> list[Result]:
    if plan.options.jobs == 1 or len(todo) < 2:
        return [_run_one(source, plan, progress.track) for source in todo]
    return run_jobs(
        [partial(_run_one, source, plan) for source in todo],
        jobs=plan.options.jobs,
        progress=progress,
        total=plan.expected_in_all(list(todo)),
        label=f"{len(todo)} videos",
        stop=plan.stop,
    )


def _run_one(source: ProbedSource, plan: Plan, track: ProgressCallback) -> Result:
    """Process one video; an expected failure is returned, not raised."""
    name = source.source.name
    try:
        with claim(None if source.is_claimed else source.stem):
            record_path(source.stem).unlink(missing_ok=True)
            done = VideoJob(source, plan).run(track)
            if plan.settings and (files := files_of(source.source)):
                write_record(source.stem, source=content_key(files), settings=plan.settings)
            return done
    except LstmcliError as error:
        return name, error
    except (Stopped, BrokenPipeError):
        raise
    except Exception as error:  # the other videos go on
        return name, unexpected(name, error)


class UnexpectedError(LstmcliError):
    """A video failed with an unexpected error, its cause."""


def unexpected(name: str, error: Exception) -> UnexpectedError:
    """Return an unexpected error as the failure of one video."""
    if isinstance(error, FFMPEG_ERRORS):
        where = f"{error.filename}: " if getattr(error, "filename", None) else ""
        problem, hint = where + reason_of(error), "does it play, and is there room on the disk?"
    else:
        problem, hint = explain(error)
    failure = UnexpectedError(f"{name}: {problem}", hint=hint)
    failure.__cause__ = error
    return failure
