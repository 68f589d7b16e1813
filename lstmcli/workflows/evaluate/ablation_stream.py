"""One video through the same weights with memory, without, with a frozen one, and shuffled.

All variants see the same decoded frames, and the network runs at every frame. A network without a
recurrent state runs once a frame for all of them: only its track memory differs.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Literal

import numpy as np

from lstmcli.core.boxes import Letterbox, clip_boxes
from lstmcli.core.metadata import ModelMetadata
from lstmcli.core.prefetch import prefetch
from lstmcli.core.progress import Progress
from lstmcli.core.types import Annotations, BoolArray, Detections, Picture
from lstmcli.dataset.stream import AnnotatedVideo
from lstmcli.inference.predictor import Postprocessor, Predictor, RawPrediction
from lstmcli.inference.runtime import Runtime, Step
from lstmcli.metrics.frame_result import FrameResult
from lstmcli.tracking import Tracker, interpolate_gaps
from lstmcli.workflows.evaluate.classes import scored_only
from lstmcli.workflows.evaluate.stream import clip_ground_truth, ranked

WARM_UP = 10
"""Frames after which a frozen memory takes up nothing more."""
BLOCK = 64
"""Frames that are shuffled with each other, and held at a time."""
LEAST_SCORE = 0.05
"""Of detections without tracker; with it, the usual threshold holds, as in `detect`."""

StateMode = Literal["memory", "reset", "frozen", "shuffled"]


@dataclass(frozen=True, slots=True)
class Variant:
    """A way to run the same weights.

    Args:
        name: short, for tables.
        mode: of the recurrent state and the track memory.
        tracker: with tracker and interpolation, as `detect` has them.
    """

    name: str
    mode: StateMode
    tracker: bool = False


VARIANTS = (
    Variant("frame", "reset"),
    Variant("+memory", "memory"),
    Variant("+tracker", "reset", tracker=True),
    Variant("+both", "memory", tracker=True),
    Variant("frozen", "frozen"),
    Variant("shuffled", "shuffled"),
)
"""The first one is the reference: every frame by itself."""


class FrozenRuntime:
    """A runtime whose state takes up no more frames after a warm-up.

    Args:
        runtime: of the model.
        warm_up: frames that the state takes up.
    """

    def __init__(self, runtime: Runtime, warm_up: int = WARM_UP) -> None:
        self._runtime, self._warm_up = runtime, warm_up
        self.metadata, self.engine, self.device = runtime.metadata, runtime.engine, runtime.device

    def step(self, frame: Picture, previous_frame: Picture, state: Any) -> Step:
        """Return the raw predictions of a frame and the new state; see `Runtime.step`."""
        count, inner = state or (0, None)
        boxes, scores, after = self._runtime.step(frame, previous_frame, inner)
        return boxes, scores, (count + 1, after if count < self._warm_up else inner)


class FrozenPostprocessor:
    """Post-processing whose track memory takes up no more frames after a warm-up.

    Args:
        postprocessor: with the track memory.
        warm_up: frames that it takes up.
    """

    def __init__(self, postprocessor: Postprocessor, warm_up: int = WARM_UP) -> None:
        self._frozen, self._left = postprocessor, warm_up

    def step(self, raw: RawPrediction) -> Detections:
        """Return the detections of the next frame."""
        if self._left > 0:
            self._left -= 1
            return self._frozen.step(raw)
        metadata = self._frozen.metadata
        return copy.deepcopy(self._frozen, {id(metadata): metadata}).step(raw)


@dataclass(frozen=True, slots=True)
class _Frame:
    index: int
    time_s: float
    size_hw: tuple[int, int]
    canvas: Picture
    gt: Annotations | None
    step: int


@dataclass(slots=True)
class _Reader:
    """Reads the raw predictions of one variant, and keeps what it detects in a video."""

    variant: Variant
    shown: Postprocessor | FrozenPostprocessor
    candidates: Postprocessor | FrozenPostprocessor
    tracker: Tracker | None
    rows: list[tuple[_Frame, float, Detections, Detections]] = field(default_factory=list)

    def take(self, frame: _Frame, raw: RawPrediction) -> None:
        candidates = self.candidates.step(raw)  # first: it searches for fainter objects, too
        detections = self.shown.step(raw)
        if self.tracker is not None:
            detections = self.tracker.step(detections, raw.time_s)
        self.rows.append((replace(frame, canvas=_NO_PICTURE), raw.time_s, detections, candidates))

    def results(self, video: str, threshold: float, scored: BoolArray) -> Iterator[FrameResult]:
        """Yield a result for every annotated frame, see `ablated_results`."""
        rows: Iterable[tuple[_Frame, Detections, Detections]] = (
            (frame, detections, candidates) for frame, _, detections, candidates in self.rows
        )
        if self.tracker is not None:
            flow = (((f, c), time_s, d) for f, time_s, d, c in self.rows)
            rows = ((f, d, c) for (f, c), d in interpolate_gaps(flow))
        for frame, found, candidates in rows:
            if frame.gt is None:
                continue
            shown = replace(found, boxes=clip_boxes(found.boxes, frame.size_hw))
            shown, candidates = scored_only(shown, scored), scored_only(candidates, scored)
            if self.tracker is not None:
                candidates = ranked(shown, candidates, threshold)
            yield FrameResult(
                video,
                frame.index,
                frame.time_s,
                frame.size_hw,
                clip_ground_truth(frame.gt, frame.size_hw),
                candidates,
                shown,
                frame.step,
            )


_NO_PICTURE = np.zeros((0, 0, 3), np.uint8)


def ablated_results(
    runtime: Runtime,
    video: AnnotatedVideo,
    *,
    scored: BoolArray,
    threshold: float,
    limit: int,
    seed: int,
    progress: Progress,
    variants: Sequence[Variant] = VARIANTS,
) -> dict[str, list[FrameResult]]:
    """Return the results of every variant on a video, by the variant's name.

    Args:
        runtime: of the model.
        video: with labels in the classes of the evaluation.
        scored: bool [classes], those that the data labels.
        threshold: of the tracker.
        limit: frames from the beginning; 0: all.
        seed: of the shuffled order.
        progress: is shown how far it is.
        variants: what is run.
    """
    readers = [_reader(variant, runtime.metadata, threshold) for variant in variants]
    modes = {reader.variant.mode: _predictor(runtime, reader.variant.mode) for reader in readers}
    total = min(limit, video.total or limit) if limit else video.total
    frames = progress.track(
        prefetch(_frames(video, runtime.metadata, limit)), total=total, label=video.name
    )
    draw = np.random.default_rng(seed)
    size_hw: tuple[int, int] | None = None
    shares_raw: bool | None = None
    while block := list(islice(frames, BLOCK)):
        order = draw.permutation(len(block)).tolist()
        if len({frame.size_hw for frame in block}) > 1:  # a state holds for one size only
            order = list(range(len(block)))
        for index, frame in enumerate(block):
            if frame.size_hw != size_hw:  # pictures of a folder may differ; a video never does
                size_hw = frame.size_hw
                for predictor in modes.values():
                    predictor.start(size_hw)
            raws: dict[str, tuple[_Frame, RawPrediction]] = {}
            for mode, predictor in modes.items():
                shown = block[order[index]] if mode == "shuffled" else frame
                if shares_raw and mode != "shuffled" and raws:
                    raws[mode] = next(iter(raws.values()))
                    continue
                raw = predictor.forward(shown.canvas, frame.time_s)
                raws[mode] = shown, raw
            if shares_raw is None:
                shares_raw = _is_stateless(runtime, frame)
            for reader in readers:
                reader.take(*raws[reader.variant.mode])
    return {
        reader.variant.name: sorted(
            reader.results(video.name, threshold, scored), key=lambda result: result.frame
        )
        for reader in readers
    }


def _is_stateless(runtime: Runtime, frame: _Frame) -> bool:
    """Return whether a network carries no state from frame to frame."""
    return (
        not runtime.metadata.motion_lag_s
        and runtime.step(frame.canvas, frame.canvas, None)[2] is None
    )


def _reader(variant: Variant, metadata: ModelMetadata, threshold: float) -> _Reader:
    memory = variant.mode != "reset"
    tracker, least = None, LEAST_SCORE
    if variant.tracker:
        tracker = Tracker(threshold=threshold, calibration=metadata.calibration, smooth=memory)
        least = tracker.min_score
    shown = Postprocessor(metadata, threshold=least, memory=memory)
    candidates = Postprocessor(metadata, memory=memory, multi_label=True)
    if variant.mode == "frozen":
        return _Reader(
            variant, FrozenPostprocessor(shown), FrozenPostprocessor(candidates), tracker
        )
    return _Reader(variant, shown, candidates, tracker)


def _predictor(runtime: Runtime, mode: StateMode) -> Predictor:
    source = FrozenRuntime(runtime) if mode == "frozen" else runtime
    return Predictor(source, memory=mode != "reset")


def _frames(video: AnnotatedVideo, metadata: ModelMetadata, limit: int) -> Iterator[_Frame]:
    step, size_hw = 0, None
    stream = video.open(metadata.input_hw, metadata.fit)
    for index, time_s, frame in islice(stream, limit or None):
        step = step + 1 if frame.size_hw == size_hw else 0
        size_hw = frame.size_hw
        letterbox = Letterbox(frame.size_hw, metadata.input_hw, metadata.fit)
        yield _Frame(
            index, time_s, frame.size_hw, frame.canvas(letterbox), video.labels.at(index), step
        )
