"""What a run of `detect` is asked for, and what becomes of its videos."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from lstmcli.core.boxes import Letterbox
from lstmcli.core.calibration import ScoreCalibration
from lstmcli.core.errors import LstmcliError, explain
from lstmcli.core.types import Detections, Picture
from lstmcli.outputs.draw import DrawStyle
from lstmcli.tracking import CountConfig
from lstmcli.video import (
    Frame,
    ReadReport,
    Source,
    describe,
    expected_frames,
    open_frames,
)
from lstmcli.video.container import FFMPEG_ERRORS, reason_of
from lstmcli.workflows.detect.schedule import InferenceSchedule


class StreamPredictor(Protocol):
    """What carries the memory along one video; `models.predictor.Predictor` is one."""

    classes: tuple[str, ...]
    canvas_hw: tuple[int, int]

    def start(self, size_hw: tuple[int, int]) -> Letterbox:
        """Begin a video."""

    def step(self, canvas: Picture, time_s: float) -> Detections:
        """Return what is found in the next frame, in pixels of the source."""


MakePredictor = Callable[[float], StreamPredictor]
"""Makes a predictor for one video that answers down to the given score."""
PredictorFor = Callable[[float, tuple[int, int] | None], StreamPredictor]
"""The same, for pictures of (height, width), or of any size."""


@dataclass(frozen=True, slots=True)
class VideoDone:
    """What came of one video.

    Args:
        name: of the source.
        outputs: files and folders that are complete.
        frames: that were answered.
        looked: so many of them were looked at; the others were filled.
        detections: that were written.
        objects: different tracks among them; 0 without tracks.
        seconds: from the first frame to the last file.
        counts: (line or zone, direction, class) -> how many.
        notes: what a person should know.
    """

    name: str
    outputs: tuple[Path, ...]
    frames: int
    looked: int
    detections: int
    objects: int
    seconds: float
    counts: Mapping[tuple[str, str, str], int]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VideoFailed:
    """A source that could not be done; the others were not kept by it."""

    name: str
    problem: str
    hint: str


@dataclass(frozen=True, slots=True)
class DetectReport:
    """What came of a run.

    Args:
        model: which model it took, and why, as a sentence; "" where the caller brought its own.
        done: in the order of the sources.
        failed: in the order of the sources.
        skipped: names of sources whose outputs were there already.
    """

    model: str
    done: tuple[VideoDone, ...]
    failed: tuple[VideoFailed, ...]
    skipped: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is the same for every video of a run; the arguments of `detect`, checked.

    Every `every`th frame is output; the network runs at every `inference_stride`th of those, see
    `InferenceSchedule`. `threshold` is a raw score; outputs hold calibrated scores.
    """

    predictor_for: PredictorFor
    classes: tuple[str, ...]
    threshold: float
    calibration: ScoreCalibration
    kept: frozenset[int]
    write: tuple[str, ...]
    codec: str
    quality: int
    track: bool
    count: CountConfig | None
    look: DrawStyle
    sound: bool
    start_s: float | None
    end_s: float | None
    every: int
    inference_stride: int | None
    image_rate: float | None
    segment_s: float
    patience_s: float
    stop: threading.Event = field(default_factory=threading.Event)

    def frames(self, source: Source, report: ReadReport) -> Iterator[Frame]:
        """Yield the frames of a source that are looked at."""
        return open_frames(
            source,
            start_s=self.start_s,
            end_s=self.end_s,
            every=self.every,
            image_rate=self.image_rate,
            patience_s=self.patience_s,
            report=report,
            stop=self.stop,
        )

    def schedule_for(self, source: Source) -> InferenceSchedule:
        """Return at which frames of a source the network looks; at every one of still images."""
        undecided = self.inference_stride is None and source.kind == "images"
        return InferenceSchedule() if undecided else InferenceSchedule(self.inference_stride)

    def expected(self, source: Source) -> int | None:
        """Return about how many frames that will be."""
        return expected_frames(
            source,
            describe(source),
            start_s=self.start_s,
            end_s=self.end_s,
            every=self.every,
        )


class Stopped(Exception):
    """Another thread was interrupted; this one leaves its video as it is."""


class UnexpectedError(LstmcliError):
    """A video failed in a way that nobody foresaw; the cause is what happened."""


def unexpected(name: str, error: Exception) -> UnexpectedError:
    """Return an error that nobody foresaw as the failure of one video."""
    if isinstance(error, FFMPEG_ERRORS):
        place = f"{error.filename}: " if getattr(error, "filename", None) else ""
        problem, hint = place + reason_of(error), "does it play, and is there room on the disk?"
    else:
        problem, hint = explain(error)
    told = UnexpectedError(f"{name}: {problem}", hint=hint)
    told.__cause__ = error
    return told
