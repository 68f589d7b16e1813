"""Detection from Python, frame by frame."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path

from lstmcli.core.boxes import clip_boxes
from lstmcli.core.calibration import ScoreCalibration
from lstmcli.core.prefetch import prefetch
from lstmcli.core.types import Detections, Picture
from lstmcli.inference.loading import load_runtime
from lstmcli.inference.predictor import Predictor
from lstmcli.inference.runtime_pool import RuntimePool
from lstmcli.tracking import Tracker
from lstmcli.video import (
    ReadReport,
    find_sources,
    open_frames,
)
from lstmcli.workflows.detect.options import MakePredictor, PredictorFor
from lstmcli.workflows.detect.pipeline import shape_of, with_answers, with_canvas
from lstmcli.workflows.detect.schedule import InferenceSchedule
from lstmcli.workflows.detect.sources import check_options, choose_model


class Detector:
    """A trained detector for Python: `Detector.load("runs/birds").stream("video.mp4")`.

    Args:
        make_predictor: makes a predictor for one stream.
        threshold: smallest score that is answered.
        predictor_for: makes one for a stream of pictures of a known size; None: the same one.
        confidence: how scores are told; None: as they are.
    """

    def __init__(
        self,
        make_predictor: MakePredictor,
        *,
        threshold: float = 0.3,
        predictor_for: PredictorFor | None = None,
        calibration: ScoreCalibration | None = None,
    ) -> None:
        check_options(threshold, 1, 0, 1, None, None)
        self._predictor_for: PredictorFor = predictor_for or (
            lambda floor, size_hw: make_predictor(floor)
        )
        self.threshold = threshold
        self._confidence = calibration or ScoreCalibration()
        self.classes = make_predictor(threshold).classes
        """Names of the classes; `detections.labels` are indices into it."""

    @classmethod
    def load(
        cls,
        model: Path | str | None = None,
        *,
        device: str = "auto",
        engine: str = "auto",
        threshold: float = 0.3,
    ) -> Detector:
        """Load a checkpoint, a run folder or a shipped model; None takes what `detect` takes.

        Raises:
            ModelError: there is no such model, or it is damaged.
        """
        chosen = choose_model(Path())[0] if model is None else model
        load = partial(load_runtime, chosen, device=device, engine=engine, leave_core_free=True)
        networks = RuntimePool(lambda size_hw: load(picture_hw=size_hw))
        return cls(
            lambda floor: Predictor(networks.of(None), threshold=floor),
            predictor_for=lambda floor, size_hw: Predictor(networks.of(size_hw), threshold=floor),
            threshold=threshold,
            calibration=networks.of(None).metadata.calibration,
        )

    def stream(
        self,
        source: Path | str,
        *,
        start_s: float | None = None,
        end_s: float | None = None,
        every: int = 1,
        track: bool = True,
    ) -> Iterator[tuple[Picture, Detections]]:
        """Yield every frame, RGB uint8 [H, W, 3], with what is in it.

        With `track`, ids last and answers are causal: no frame waits for later ones.

        Args:
            source: a file, `camera:0` or a stream address.
            start_s: seconds from the beginning at which to start.
            end_s: seconds from the beginning at which to stop.
            every: look at every Nth frame only.
            track: give objects ids that last.

        Raises:
            LstmcliError: the options do not fit, or the source cannot be read.
        """
        check_options(self.threshold, every, 0, 1, start_s, end_s)
        (first, *_) = find_sources([str(source)])
        threshold = self._confidence.raw_score(self.threshold)
        tracker = Tracker(threshold=threshold) if track else None
        frames = open_frames(first, start_s=start_s, end_s=end_s, every=every, report=ReadReport())
        frame = next(frames, None)
        if frame is None:
            return
        predictor = self._predictor_for(
            tracker.faint if tracker else threshold, shape_of(first, frame)
        )
        canvases = prefetch(
            with_canvas(
                chain((frame,), frames),
                predictor.canvas_hw,
                InferenceSchedule(),
                fit=getattr(predictor, "fit", "center"),
            )
        )
        answers = with_answers(canvases, predictor, tracker, self._confidence, depth=1)
        for frame, _, found in answers:
            assert found is not None  # every frame has its canvas
            yield frame.rgb(), replace(found, boxes=clip_boxes(found.boxes, frame.size_hw))
