"""Plan of a run: options resolved once for all videos."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lstmcli.core.calibration import ScoreCalibration
from lstmcli.core.errors import LstmcliError
from lstmcli.outputs.events import EventSink
from lstmcli.tracking import CountConfig
from lstmcli.video import (
    Frame,
    ReadReport,
    Source,
    VideoInfo,
    describe,
    expected_frames,
    open_frames,
)
from lstmcli.workflows.detect.options import DetectOptions
from lstmcli.workflows.pipeline import StreamPredictor
from lstmcli.workflows.schedule import InferenceSchedule

MakePredictor = Callable[[float], StreamPredictor]
"""Factory of a predictor for one video, with a threshold on calibrated scores."""
PredictorFor = Callable[[float, tuple[int, int] | None], StreamPredictor]
"""The same, for pictures of (height, width), or of any size."""


@dataclass(slots=True)
class ProbedSource:
    """A source with the stem of its outputs; probed once, lazily."""

    source: Source
    stem: Path
    is_claimed: bool = False
    _info: VideoInfo | None = None
    _error: LstmcliError | None = None
    _is_probed: bool = False

    @property
    def info(self) -> VideoInfo | None:
        """Properties of the source; None for one that cannot be opened twice.

        Raises:
            LstmcliError: it cannot be read.
        """
        if not self._is_probed:
            self._is_probed = True
            try:
                self._info = describe(self.source)
            except LstmcliError as error:
                self._error = error
        if self._error is not None:
            raise self._error
        return self._info

    @property
    def size_hw(self) -> tuple[int, int] | None:
        """(height, width) of its frames; None if unknown before reading."""
        try:
            return self.info.size_hw if self.info is not None else None
        except LstmcliError:  # reported when this video is processed
            return None


@dataclass(frozen=True, slots=True)
class Plan:
    """The options of a run, resolved.

    Every `every`th frame is output; the network runs at every `inference_stride`th of those, see
    `InferenceSchedule`.

    Args:
        options: as given.
        predictor_for: factory of the predictor of a video.
        classes: of the model.
        kept: indices of the output classes.
        codec: of the annotated video.
        every: output every Nth frame.
        inference_stride: of the output frames; None: at 15 fps or more.
        calibration: of the scores.
        count: lines and zones.
        events: sink for the events of all videos; None without.
        settings: names model and options in the records of finished outputs; "": none is written.
        stop: set where other videos were interrupted.
    """

    options: DetectOptions
    predictor_for: PredictorFor
    classes: tuple[str, ...]
    kept: frozenset[int]
    codec: str
    every: int
    inference_stride: int | None
    calibration: ScoreCalibration
    count: CountConfig | None
    events: EventSink | None = None
    settings: str = ""
    stop: threading.Event = field(default_factory=threading.Event)

    def frames(self, source: Source, report: ReadReport) -> Iterator[Frame]:
        """Yield the output frames of a source."""
        return open_frames(
            source,
            start_s=self.options.start_s,
            end_s=self.options.end_s,
            every=self.every,
            image_rate=self.options.image_rate,
            patience_s=self.options.patience_s,
            report=report,
            stop=self.stop,
        )

    def schedule_for(self, source: Source) -> InferenceSchedule:
        """Return the inference schedule of a source; every frame of still images."""
        undecided = self.inference_stride is None and source.kind == "images"
        return InferenceSchedule() if undecided else InferenceSchedule(self.inference_stride)

    def expected(self, source: ProbedSource) -> int | None:
        """Return the expected number of output frames, None if unknown."""
        return expected_frames(
            source.source,
            source.info,
            start_s=self.options.start_s,
            end_s=self.options.end_s,
            every=self.every,
        )

    def expected_in_all(self, sources: list[ProbedSource]) -> int | None:
        """Return the same for several sources."""
        total = 0
        for source in sources:
            try:
                frames = self.expected(source)
            except LstmcliError:
                continue  # its own job reports it
            if frames is None:
                return None
            total += frames
        return total
