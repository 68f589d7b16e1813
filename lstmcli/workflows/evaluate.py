"""Streams annotated video through a model, in order, as `detect` does, and counts what it found."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from lstmcli.core.boxes import Letterbox, clip_boxes
from lstmcli.core.calibration import ScoreCalibration
from lstmcli.core.errors import (
    ConfigError,
    DataError,
    LstmcliError,
    OutputError,
    near_name,
    output_exists,
)
from lstmcli.core.progress import Progress, SilentProgress
from lstmcli.core.types import (
    Annotations,
    Detections,
    FloatArray,
    IntArray,
    Picture,
    VideoLabels,
)
from lstmcli.dataset.stream import AnnotatedVideo, open_source
from lstmcli.inference.loading import load_runtime
from lstmcli.inference.predictor import Predictor
from lstmcli.inference.runtime import Runtime, Step
from lstmcli.metrics.comparison import Json
from lstmcli.metrics.matching import match_frame
from lstmcli.metrics.scoring import FrameResult, Scores, score
from lstmcli.report.evaluation_page import PAGE_NAME, write_report
from lstmcli.report.gallery import Gallery, Mark

SAME_CLASS: Mapping[str, tuple[str, ...]] = {
    "pedestrian": ("person",),
    "people": ("person",),
    "human": ("person",),
    "motorbike": ("motorcycle",),
    "bike": ("bicycle",),
    "aeroplane": ("airplane",),
    "plane": ("airplane",),
}
"""Names of data sets for classes that detectors call otherwise."""
_UNNAMED = re.compile(r"class (\d+)")
"""What readers call a class of which a file tells the number only."""


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast the network answered; decoding, scaling and counting are left out.

    Args:
        frames: how many were timed.
        seconds: the time of all of them.
        device: what it ran on.
        engine: by which runtime.
    """

    frames: int
    seconds: float
    device: str
    engine: str

    def as_json(self) -> dict[str, Json]:
        """Return milliseconds a frame and frames a second; None where nothing was timed."""
        timed = self.frames > 0 and self.seconds > 0
        return {
            "ms_per_frame": 1000 * self.seconds / self.frames if timed else None,
            "frames_per_second": self.frames / self.seconds if timed else None,
            "device": self.device,
            "engine": self.engine,
        }


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What an evaluation found.

    Args:
        model: as it was given.
        data: as it was given.
        split: of the dataset; `all` where the data was not prepared.
        memory: False where the state was emptied before every frame.
        classes: the model's, then those that only the data has.
        scores: the counts.
        speed: of the network.
        report: the page that was written, or None.
        results: every frame with ground truth and its detections, for comparisons.
        calibration: of the results' scores; None: they are calibrated.
    """

    model: str
    data: str
    split: str
    memory: bool
    classes: tuple[str, ...]
    scores: Scores
    speed: Speed
    report: Path | None = None
    results: tuple[FrameResult, ...] = field(default=(), repr=False)
    calibration: ScoreCalibration | None = None

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain values, in the order in which people ask."""
        return {
            "split": self.split,
            **self.scores.as_json(),
            "speed": self.speed.as_json(),
            "model": self.model,
            "data": self.data,
            "memory": self.memory,
            "classes": list(self.classes),
        }


def evaluate(
    model: Path | str | Runtime,
    data: Path | str,
    *,
    split: str = "val",
    threshold: float = 0.3,
    iou: float = 0.5,
    memory: bool = True,
    device: str = "auto",
    engine: str = "auto",
    limit: int = 0,
    format: str | None = None,
    media: Path | None = None,
    json_file: Path | None = None,
    report: Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Evaluation:
    """Count how good a model is on annotated video.

    Args:
        model: a checkpoint, a run folder, the name of a shipped model, or a network at hand.
        data: a prepared dataset, or any source that `prepare` reads; that is taken whole.
        split: of the prepared dataset.
        threshold: least score for precision, recall, stability and the confusion matrix.
        iou: least overlap of a right detection for the same.
        memory: False empties the state before every frame, to show what the memory is worth.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        engine: `auto` or a name of `engines.RUNTIMES`.
        limit: look only at so many frames from the beginning of each video; 0: at all.
        format: of the labels of a source that is not prepared; None recognises it.
        media: where its videos or frames lie, when the labels do not say so.
        json_file: where to write the scores as JSON.
        report: a folder for a page with plots, tables and the worst frames.
        overwrite: replace a JSON file or report that exists.
        progress: who looks on.

    Raises:
        ConfigError: a threshold out of range, or no class of the data is known to the model.
        DataError: the data cannot be read, or has no labelled frame in this split.
        MediaError: a video or an image cannot be read.
        ModelError: the model cannot be read.
        OutputError: the JSON file or report exists or cannot be written.
    """
    progress = progress or SilentProgress()
    _check_numbers(threshold, iou, limit)
    _check_outputs(json_file, report, overwrite=overwrite)
    network = (
        load_runtime(model, device=device, engine=engine, note=progress.note)
        if isinstance(model, Path | str)
        else model
    )
    source = open_source(
        Path(data),
        split=split,
        canvas_hw=network.metadata.input_hw,
        fit=network.metadata.fit,
        format=format,
        media=media,
    )
    for warning in source.warnings:
        progress.note(f"{warning.where}: {warning.text} ({warning.count})")
    calibration = network.metadata.calibration
    classes, table = _join_classes(network.metadata.classes, source.classes, progress)
    once = _Once(network)
    run = _EvaluationRun(
        Predictor(once, memory=memory, multi_label=True),
        Predictor(_Again(once), threshold=calibration.raw_score(threshold), memory=memory),
        iou=iou,
        limit=limit,
        gallery=Gallery(classes) if report else None,
    )
    for video in source.videos:
        run.look_at(replace(video, labels=_relabelled(video.labels, table)), progress)
    run.tell(progress)
    if not run.results:
        raise DataError(
            f"{data}: no labelled frame in split {source.split!r}",
            hint="evaluate needs frames at which somebody looked",
        )
    evaluation = Evaluation(
        model=str(model) if isinstance(model, Path | str) else network.engine,
        data=str(data),
        split=source.split,
        memory=memory,
        classes=classes,
        scores=score(run.results, classes, threshold=threshold, iou=iou, calibration=calibration),
        speed=Speed(run.timed, run.seconds, network.device, network.engine),
        report=report / PAGE_NAME if report else None,
        results=tuple(run.results),
        calibration=network.metadata.calibration,
    )
    try:
        _write(evaluation, run.gallery, json_file, report)
    except OutputError as error:
        raise UnwrittenEvaluation(error, evaluation) from error
    return evaluation


class UnwrittenEvaluation(OutputError):
    """An evaluation whose files cannot be written; its numbers are not lost.

    Args:
        error: what cannot be written.
        evaluation: what was measured.
    """

    def __init__(self, error: OutputError, evaluation: Evaluation) -> None:
        super().__init__(error.problem, hint=error.hint)
        self.evaluation = evaluation


def check_minimums(values: Mapping[str, Any], minimums: Mapping[str, float]) -> None:
    """Compare numbers of an evaluation with the least that is asked of them.

    Args:
        values: as of `Evaluation.as_json`; a key may be a path, as `per_class.bird.ap50`.
        minimums: key -> least value.

    Raises:
        ConfigError: there is no such number.
        EvaluationFailed: a number is lower, or not measurable.
    """
    for key, least in minimums.items():
        found: Any = values
        for part in key.split("."):
            if not isinstance(found, Mapping) or part not in found:
                names = [name for name, value in values.items() if isinstance(value, float)]
                raise ConfigError(f"--fail-below: there is no {key!r}", hint=near_name(key, names))
            found = found[part]
        if found is not None and not isinstance(found, int | float):
            raise ConfigError(f"--fail-below: {key!r} is no number", hint="name one, as map50=0.5")
        if found is None or found < least:
            value = "not measurable" if found is None else f"{found:.4g}"
            raise EvaluationFailed(
                f"{key} is {value}, --fail-below asks for {least:g}", hint="train or label more"
            )


class EvaluationFailed(LstmcliError):
    """A model is worse than it has to be; for scripts that stop a release."""


class _Once:
    """A network that keeps its last answer, so that it can be read in a second way."""

    def __init__(self, network: Runtime) -> None:
        self.metadata, self.engine, self.device = network.metadata, network.engine, network.device
        self._network = network
        self.last: tuple[FloatArray, FloatArray]

    def step(self, frame: Picture, previous_frame: Picture, state: Any) -> Step:
        """Return what the network answers."""
        boxes, scores, state = self._network.step(frame, previous_frame, state)
        self.last = boxes, scores
        return boxes, scores, state


class _Again(_Once):
    """Gives the last answer of another once more; no state, no work."""

    def step(self, frame: Picture, previous_frame: Picture, state: Any) -> Step:
        """Return what the network answered last."""
        assert isinstance(self._network, _Once)
        return *self._network.last, None


@dataclass(slots=True)
class _EvaluationRun:
    """Streams videos one after the other and gathers the results.

    The network runs once a frame and is read twice: with every class of a box, for average
    precision, and as `detect` reads it, for what a person would be shown.
    """

    predictor: Predictor
    display: Predictor
    iou: float
    limit: int
    gallery: Gallery | None
    results: list[FrameResult] = field(default_factory=list)
    timed: int = 0
    seconds: float = 0.0
    outside: int = 0
    unreached: int = 0
    is_warm: bool = False

    def look_at(self, video: AnnotatedVideo, progress: Progress) -> None:
        """Stream one video; frames at which nobody looked are seen by the network only."""
        letterbox, reached, steps = None, 0, 0
        total = min(self.limit, video.total or self.limit) if self.limit else video.total
        frames = islice(video.open(), self.limit or None)
        for number, time_s, frame in progress.track(frames, total=total, label=video.name):
            if letterbox is None or letterbox.source_hw != frame.size_hw:
                letterbox, steps = self.predictor.start(frame.size_hw), 0
                self.display.start(frame.size_hw)
            canvas = frame.canvas(letterbox)
            found, shown = self._step(canvas, time_s)
            gt = video.labels.at(number)
            if gt is not None:
                reached += 1
                self.results.append(
                    FrameResult(
                        video.name,
                        number,
                        time_s,
                        frame.size_hw,
                        self._inside(gt, frame.size_hw),
                        found,
                        shown,
                        steps,
                    )
                )
                self._offer(self.results[-1], letterbox, canvas)
            steps += 1
        for sentence in video.report.sentences():
            progress.note(f"{video.name}: {sentence}")
        if video.expects_all and not self.limit:
            self.unreached += len(video.labels.annotated_frames) - reached

    def tell(self, progress: Progress) -> None:
        """Say what was left out."""
        if self.outside:
            progress.note(f"{self.outside} truth boxes lie outside their frame; not counted")
        if self.unreached:
            progress.note(f"{self.unreached} labelled frames are not in their videos; not counted")

    def _step(self, canvas: Picture, time_s: float) -> tuple[Detections, Detections]:
        begin = time.perf_counter()
        found = self.predictor.step(canvas, time_s)
        if self.is_warm:  # the very first call allocates and chooses kernels
            self.seconds += time.perf_counter() - begin
            self.timed += 1
        self.is_warm = True
        return found, self.display.step(canvas, time_s)

    def _inside(self, gt: Annotations, size_hw: tuple[int, int]) -> Annotations:
        """Cut truth to the frame: nobody can find what is not in the picture."""
        boxes = clip_boxes(gt.boxes.astype(np.float32), size_hw)
        rows = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        self.outside += int((~rows & ~gt.ignore).sum())
        return Annotations(boxes[rows], gt.labels[rows], gt.tracks[rows], gt.ignore[rows])

    def _offer(self, result: FrameResult, letterbox: Letterbox, canvas: Picture) -> None:
        """Let the gallery see a frame in which something went wrong."""
        if self.gallery is None:
            return
        gt, shown = result.gt, result.answers
        rows, ignored = match_frame(gt, shown, iou=self.iou)
        missed = ~gt.ignore
        missed[rows[rows >= 0]] = False
        wrong = (rows < 0) & ~ignored
        if not missed.any() and not wrong.any():
            return
        to_canvas = letterbox.to_canvas
        marks = (
            Mark("right", to_canvas(shown.boxes[rows >= 0]), shown.labels[rows >= 0]),
            Mark("missed", to_canvas(gt.boxes[missed]), gt.labels[missed]),
            Mark("wrong", to_canvas(shown.boxes[wrong]), shown.labels[wrong]),
        )
        badness = float(missed.sum() + shown.scores[wrong].sum())
        self.gallery.offer(badness, result.video, result.frame, result.time_s, canvas, marks)


def _join_classes(
    known: Sequence[str], told: Sequence[str], progress: Progress
) -> tuple[tuple[str, ...], IntArray]:
    """Return the model's classes and the data's others, and the number of each of the data's."""
    numbers = [_UNNAMED.fullmatch(name) for name in told]
    if told and all(match is not None and int(match[1]) < len(known) for match in numbers):
        progress.note("the labels only number their classes: taken in the model's order")
        return tuple(known), np.array([int(match[1]) for match in numbers if match], np.int64)
    told = [_known_as(name, known, progress) for name in told]
    strange = [name for name in told if name not in known]
    if told and len(strange) == len(told):
        raise ConfigError(
            f"the data has the classes {_listed(told)}, the model {_listed(known)}",
            hint="prepare the data with --rename, or evaluate another model",
        )
    if strange:
        progress.note(
            f"the model does not know {', '.join(strange)}; such boxes are counted as missed"
        )
    classes = (*known, *strange)
    return classes, np.array([classes.index(name) for name in told], np.int64)


def _known_as(name: str, known: Sequence[str], progress: Progress) -> str:
    """Return the model's name of a class that the data calls otherwise, or the data's."""
    if name in known:
        return name
    other = next((one for one in SAME_CLASS.get(name.lower(), ()) if one in known), name)
    if other != name:
        progress.note(f"the data's {name} is the model's {other}")
    return other


def _listed(names: Sequence[str], most: int = 12) -> str:
    """Return names with commas between them, the first ones of many."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _relabelled(labels: VideoLabels, table: IntArray) -> VideoLabels:
    numbers = labels.labels
    if not len(numbers):
        return labels
    # An ignored region may have no class; it stays below 0.
    return replace(labels, labels=np.where(numbers < 0, numbers, table[numbers.clip(0)]))


def _check_numbers(threshold: float, iou: float, limit: int) -> None:
    if not 0 <= threshold <= 1:
        raise ConfigError(f"a threshold of {threshold:g}", hint="scores are from 0 to 1")
    if not 0 < iou <= 1:
        raise ConfigError(f"an overlap of {iou:g}", hint="--iou is above 0 and at most 1")
    if limit < 0:
        raise ConfigError(f"a limit of {limit} frames", hint="0 looks at all frames")


def _check_outputs(json_file: Path | None, report: Path | None, *, overwrite: bool) -> None:
    """Say before the long work that its outcome could not be written."""
    for path in (json_file, report / PAGE_NAME if report else None):
        if path is not None and path.exists() and not overwrite:
            raise output_exists(path)
    if json_file is not None and (json_file.is_dir() or not json_file.absolute().parent.is_dir()):
        raise OutputError(f"{json_file}: cannot be written there", hint="name a file in a folder")
    folders = [json_file.absolute().parent] if json_file is not None else []
    folders += [report.absolute()] if report is not None else []
    for folder in folders:
        there = next(place for place in (folder, *folder.parents) if place.exists())
        if not there.is_dir():
            raise OutputError(f"{there} is no folder", hint="choose another place")
        if not os.access(there, os.W_OK | os.X_OK):
            raise OutputError(f"{there}: nothing can be written there", hint="choose another place")


def _write(
    evaluation: Evaluation, gallery: Gallery | None, json_file: Path | None, report: Path | None
) -> None:
    text = json.dumps(evaluation.as_json(), ensure_ascii=False, indent=1, allow_nan=False)
    if json_file is not None:
        temporary = json_file.with_name(json_file.name + ".part")
        try:
            temporary.write_text(text + "\n", encoding="utf-8")
            temporary.replace(json_file)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise OutputError(
                f"{json_file}: {error.strerror}", hint="choose another place"
            ) from None
    if report is not None and gallery is not None:
        write_report(report, evaluation.as_json(), evaluation.scores.curves, gallery.pictures())
