"""What is the same for every video of a run: the options with everything found out once."""

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
"""Makes a predictor for one video that detects down to a calibrated score."""
PredictorFor = Callable[[float, tuple[int, int] | None], StreamPredictor]
"""The same, for pictures of (height, width), or of any size."""


@dataclass(slots=True)
class ProbedSource:
    """A source with the stem of its outputs; it is probed once, when it is asked for first."""

    source: Source
    stem: Path
    is_claimed: bool = False
    _info: VideoInfo | None = None
    _error: LstmcliError | None = None
    _is_probed: bool = False

    @property
    def info(self) -> VideoInfo | None:
        """What is known of it before it is read; None of what cannot be opened twice.

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
        """(height, width) of its frames; None where only they can tell."""
        try:
            return self.info.size_hw if self.info is not None else None
        except LstmcliError:  # told when it is this video's turn
            return None


@dataclass(frozen=True, slots=True)
class Plan:
    """The options of a run, resolved.

    Every `every`th frame is output; the network runs at every `inference_stride`th of those, see
    `InferenceSchedule`.

    Args:
        options: as they were given.
        predictor_for: makes the predictor of a video.
        classes: of the model.
        kept: indices of those that are output.
        codec: of the annotated video.
        every: output every Nth frame.
        inference_stride: of the frames that are output; None: as seldom as 15 fps allow.
        calibration: of the scores.
        count: lines and zones.
        events: takes what happens in all videos; None: nothing does.
        stop: is set where other videos were interrupted.
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
    stop: threading.Event = field(default_factory=threading.Event)

    def frames(self, source: Source, report: ReadReport) -> Iterator[Frame]:
        """Yield the frames of a source that are output."""
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
        """Return at which frames of a source the network runs; at all of still images."""
        undecided = self.inference_stride is None and source.kind == "images"
        return InferenceSchedule() if undecided else InferenceSchedule(self.inference_stride)

    def expected(self, source: ProbedSource) -> int | None:
        """Return about how many frames will be output, None where nobody can know."""
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
                continue  # its own job will tell
            if frames is None:
                return None
            total += frames
        return total
