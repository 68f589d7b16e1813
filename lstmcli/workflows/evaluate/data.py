"""The annotated videos of an evaluation, with classes joined to a model's."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from lstmcli.core.boxes import Fit
from lstmcli.core.errors import DataError
from lstmcli.core.metadata import ModelMetadata
from lstmcli.core.progress import Progress
from lstmcli.core.types import BoolArray
from lstmcli.dataset.stream import AnnotatedSource, AnnotatedVideo, open_source
from lstmcli.workflows.evaluate.classes import is_scored, join_classes, relabelled
from lstmcli.workflows.evaluate.options import EvaluateOptions, spaced


@dataclass(frozen=True, slots=True)
class EvaluationData:
    """Annotated videos whose class indices are those of a model.

    Args:
        split: that they belong to.
        classes: of the model, then those that only the data has.
        scored: bool [classes], which of them the data labels.
        videos: as many as were asked for.
    """

    split: str
    classes: tuple[str, ...]
    scored: BoolArray
    videos: tuple[AnnotatedVideo, ...]

    def nothing_annotated(self, path: Path) -> DataError:
        """Return the error of data without an annotated frame."""
        return DataError(
            f"{path}: no annotated frame in split {self.split!r}",
            hint="evaluate needs annotated frames",
        )


def open_annotations(
    path: Path,
    options: EvaluateOptions,
    *,
    canvas_hw: tuple[int, int] | None,
    fit: Fit = "center",
) -> AnnotatedSource:
    """Return data as it is, read as the options say; see `open_source`."""
    return open_source(
        path,
        split=options.split,
        canvas_hw=canvas_hw,
        fit=fit,
        format=options.format,
        media=options.media,
        annotator=options.annotator,
        label_rate=options.label_rate,
    )


def open_data(
    path: Path, metadata: ModelMetadata, options: EvaluateOptions, progress: Progress
) -> EvaluationData:
    """Return the videos that a model is evaluated on.

    Raises:
        ConfigError: model and data have no class in common, and `options` need one.
        DataError, MediaError: the data cannot be read.
    """
    source = open_annotations(path, options, canvas_hw=metadata.input_hw, fit=metadata.fit)
    for warning in source.warnings:
        progress.note(f"{warning.where}: {warning.text} ({warning.count})")
    classes, table = join_classes(
        metadata.classes, source.classes, progress, needs_one=options.needs_class
    )
    videos = tuple(
        replace(video, labels=relabelled(video.labels, table))
        for video in spaced(source.videos, options.videos)
    )
    scored = is_scored(classes, table, known=len(metadata.classes))
    return EvaluationData(source.split, classes, scored, videos)
