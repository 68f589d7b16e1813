"""The annotated videos of an evaluation, with classes joined to a model's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from lstmcli.core.errors import DataError
from lstmcli.core.progress import Progress
from lstmcli.core.types import BoolArray
from lstmcli.dataset.stream import AnnotatedSource, AnnotatedVideo, open_source
from lstmcli.inference.runtime import Runtime
from lstmcli.inference.runtime_pool import RuntimePool, open_runtimes
from lstmcli.workflows.evaluate.classes import is_scored, join_classes, relabelled
from lstmcli.workflows.evaluate.options import EvaluateOptions, spaced


@dataclass(frozen=True, slots=True)
class EvaluationData:
    """Annotated videos whose class indices are those of a model.

    Args:
        split: that they belong to.
        classes: of the model, then those that only the data has.
        scored: bool [classes], which of them the data labels.
        videos: as many as were asked for, each with the runtime that `detect` takes for it.
    """

    split: str
    classes: tuple[str, ...]
    scored: BoolArray
    videos: tuple[tuple[AnnotatedVideo, Runtime], ...]

    def nothing_annotated(self, path: Path) -> DataError:
        """Return the error of data without an annotated frame."""
        return DataError(
            f"{path}: no annotated frame in split {self.split!r}",
            hint="evaluate needs annotated frames",
        )


def open_model(
    model: Path | str | Runtime, options: EvaluateOptions, progress: Progress
) -> RuntimePool:
    """Return the runtimes of a model by the shape of the pictures, as `detect` takes them."""
    if not isinstance(model, Path | str):
        return RuntimePool(lambda shape: model)
    return open_runtimes(
        str(model), device=options.device, engine=options.engine, streams=1, progress=progress
    )


def open_annotations(path: Path, options: EvaluateOptions) -> AnnotatedSource:
    """Return data as it is, read as the options say; see `open_source`."""
    return open_source(
        path,
        split=options.split,
        format=options.format,
        media=options.media,
        annotator=options.annotator,
        label_rate=options.label_rate,
    )


def open_data(
    path: Path, runtimes: RuntimePool, options: EvaluateOptions, progress: Progress
) -> EvaluationData:
    """Return the videos that a model is evaluated on.

    Raises:
        ConfigError: model and data have no class in common, and `options` need one.
        DataError, MediaError: the data cannot be read.
        ModelError: the model cannot be read.
    """
    source = open_annotations(path, options)
    for warning in source.warnings:
        progress.note(f"{warning.where}: {warning.text} ({warning.count})")
    chosen = spaced(source.videos, options.videos)
    of_videos = [_runtime_for(video, runtimes, progress) for video in chosen]
    known = (of_videos[0] if of_videos else runtimes.of(None)).metadata.classes
    classes, table = join_classes(known, source.classes, progress, needs_one=options.needs_class)
    videos = tuple(
        (replace(video, labels=relabelled(video.labels, table)), runtime)
        for video, runtime in zip(chosen, of_videos, strict=True)
    )
    return EvaluationData(
        source.split, classes, is_scored(classes, table, known=len(known)), videos
    )


def _runtime_for(video: AnnotatedVideo, runtimes: RuntimePool, progress: Progress) -> Runtime:
    """Return the runtime of a video's shape, or that of training where it has no frames for it.

    Raises:
        DataError: it has no frames for either.
    """
    runtime = runtimes.of(video.size_hw)
    metadata = runtime.metadata
    if video.can_show(metadata.input_hw, metadata.fit):
        return runtime
    usual = runtimes.of(None)
    video.check_canvas(usual.metadata.input_hw, usual.metadata.fit)
    height, width = metadata.input_hw
    progress.note(
        f"{video.name}: scored at the size that it was prepared for; `detect` takes "
        f"{width}x{height}, but the source video is gone"
    )
    return usual
