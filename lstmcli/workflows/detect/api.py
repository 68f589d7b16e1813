"""`Detector`: detection from Python, frame by frame."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import chain
from pathlib import Path

from lstmcli.core.calibration import USUAL_THRESHOLD, ScoreCalibration
from lstmcli.core.types import Detections, Picture
from lstmcli.inference.loading import load_runtime
from lstmcli.inference.predictor import Predictor
from lstmcli.inference.runtime_pool import RuntimePool
from lstmcli.tracking import Tracker
from lstmcli.video import ReadReport, find_sources, open_frames
from lstmcli.workflows.detect.options import DetectOptions
from lstmcli.workflows.detect.plan import MakePredictor, PredictorFor
from lstmcli.workflows.detect.sources import default_model
from lstmcli.workflows.pipeline import numbered, run_pipeline


class Detector:
    """A trained detector for Python: `Detector.load("runs/birds").stream("video.mp4")`.

    Args:
        make_predictor: factory of a predictor for one stream.
        threshold: minimum calibrated score of the output.
        predictor_for: factory for a stream of a known picture size; None: `make_predictor`.
        calibration: of the predictor, for the threshold of weak detections that continue a track.
    """

    def __init__(
        self,
        make_predictor: MakePredictor,
        *,
        threshold: float = USUAL_THRESHOLD,
        predictor_for: PredictorFor | None = None,
        calibration: ScoreCalibration | None = None,
    ) -> None:
        DetectOptions(threshold=threshold)
        self._predictor_for: PredictorFor = predictor_for or (
            lambda floor, size_hw: make_predictor(floor)
        )
        self.threshold = threshold
        self._calibration = calibration
        self.classes = make_predictor(threshold).classes
        """Names of the classes; `detections.labels` are indices into it."""

    @classmethod
    def load(
        cls,
        model: Path | str | None = None,
        *,
        device: str = "auto",
        engine: str = "auto",
        threshold: float = USUAL_THRESHOLD,
    ) -> Detector:
        """Load a checkpoint, a run folder or a shipped model; None: the default of `detect`.

        Raises:
            ModelError: no such model, or it is damaged.
        """
        chosen, _ = default_model(model)
        load = partial(load_runtime, chosen, device=device, engine=engine, leave_core_free=True)
        runtimes = RuntimePool(lambda size_hw: load(picture_hw=size_hw))
        return cls(
            lambda floor: Predictor(runtimes.of(None), threshold=floor),
            predictor_for=lambda floor, size_hw: Predictor(runtimes.of(size_hw), threshold=floor),
            threshold=threshold,
            calibration=runtimes.of(None).metadata.calibration,
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
        """Yield every frame, RGB uint8 [H, W, 3], with its detections.

        With `track`, detections have track ids and are causal: no frame waits for later ones.

        Args:
            source: a file, `camera:0` or a stream address.
            start_s: seconds from the beginning at which to start.
            end_s: seconds from the beginning at which to stop.
            every: process every Nth frame only.
            track: track the objects.

        Raises:
            LstmcliError: the options do not fit, or the source cannot be read.
        """
        DetectOptions(start_s=start_s, end_s=end_s, every=every)
        (first, *_) = find_sources([str(source)])
        frames = open_frames(first, start_s=start_s, end_s=end_s, every=every, report=ReadReport())
        frame = next(frames, None)
        if frame is None:
            return
        size_hw = None if first.kind == "images" else frame.size_hw
        tracker, threshold = None, self.threshold
        if track:
            tracker = Tracker(threshold=self.threshold, calibration=self._calibration)
            threshold = tracker.min_score
        items = run_pipeline(
            numbered(chain((frame,), frames)),
            self._predictor_for(threshold, size_hw),
            tracker=tracker,
            interpolate=False,
            depth=1,
        )
        for item in items:
            assert item.detections is not None  # the network runs at every frame
            yield item.frame.rgb(), item.detections
