"""Validation after an epoch on a subset of every validation video."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from lstmcli.core.types import Annotations
from lstmcli.dataset.manifest import Dataset, PreparedVideo
from lstmcli.inference.predictor import Predictor
from lstmcli.inference.runtimes.eager import EagerRuntime
from lstmcli.metrics.calibration import best_slope
from lstmcli.metrics.comparison import compare
from lstmcli.metrics.frame_result import FrameResult
from lstmcli.metrics.matching import class_agnostic_nms
from lstmcli.metrics.precision_recall import best_threshold, overall
from lstmcli.models.checkpoint import BEST_THRESHOLD, SCORE_SLOPE, power_for
from lstmcli.workflows.train.state import BUDGET_EPOCHS, TrainerState

VALIDATION_SHARE = 0.15
"""Share of a time budget for all validations; the number of frames is cut to fit."""
VALIDATION_THRESHOLD = 0.3
"""Default where the validation split is too small to find the best one."""
WINDOW = 20
"""Consecutive frames of a window, at least."""
MIN_FRAMES = 100
"""Fewer frames are too noisy, however short the budget."""


def validate(run: TrainerState) -> dict[str, Any]:
    """Return the metrics on a subset of every validation video, streamed as in `detect`."""
    source = run.network if run.ema is None else run.ema.module
    was_training = source.training
    splits = {video.split for video in run.dataset.videos}
    names = dict.fromkeys(("map50", "map50_any_class", "precision", "recall"))
    if "val" not in splits:
        return dict(names)
    # as it is trained: without the recurrent core in stage 1
    memory = run.network.has_temporal_core and run.counters.stage1_done
    network = EagerRuntime(source, device=str(run.fabric.device), memory=memory)
    predictor = Predictor(network, multi_label=True)
    videos = run.dataset.split("val")
    results: list[FrameResult] = []
    if (
        not run.counters.validate_frames
    ):  # once, so that all epochs are validated on the same frames
        run.counters.validate_frames = _affordable(run, predictor, videos[0])
    share = max(1, run.counters.validate_frames // len(videos))
    budget = run.options.time_budget_s or float("inf")
    for video in run.progress.track(videos, total=len(videos), label="validate"):
        for result in _stream(run.dataset, video, predictor, share):
            results.append(result)
            if run.interruption.requested:
                raise KeyboardInterrupt
        if run.budget.spent_s > budget - 2:
            run.progress.note("validated on fewer videos: the time budget is spent")
            break
    source.train(was_training)
    if not results:
        return dict(names)
    best = best_threshold(results)
    shown = VALIDATION_THRESHOLD if best is None else best
    scores = overall(compare(results, run.dataset.classes, threshold=shown, iou=0.5))
    slope = best_slope(results, power=power_for(best))
    return {name: scores[name] for name in names} | {BEST_THRESHOLD: best, SCORE_SLOPE: slope}


def _affordable(run: TrainerState, predictor: Predictor, video: PreparedVideo) -> int:
    """Return the number of frames per validation that fits the time budget."""
    wanted, budget = run.config.train.validate_frames, run.options.time_budget_s
    if budget is None:
        return wanted
    canvas = run.dataset.open(video).picture(0)
    times = []
    for number in range(4):
        predictor.start(video.size_hw)
        began = time.monotonic()
        predictor.step(canvas, float(number))
        times.append(time.monotonic() - began)
    affordable = VALIDATION_SHARE * budget / BUDGET_EPOCHS / max(min(times), 1e-4)
    return min(wanted, max(MIN_FRAMES, int(affordable)))


def _stream(
    dataset: Dataset, video: PreparedVideo, predictor: Predictor, share: int
) -> Iterator[FrameResult]:
    """Stream windows of a video: memory and frame difference need consecutive frames."""
    store = dataset.open(video)
    for window in windows(len(video.frames), share):
        predictor.start(video.size_hw)
        for index in window:
            frame, time_s = int(video.frames[index]), float(video.times[index])
            candidates = predictor.step(store.picture(index), time_s)
            gt: Annotations | None = video.labels.at(frame)
            if gt is not None:
                shown = class_agnostic_nms(candidates)
                yield FrameResult(video.name, frame, time_s, video.size_hw, gt, candidates, shown)


def windows(frames: int, share: int) -> list[range]:
    """Return windows of consecutive frames, spread evenly over a video.

    Args:
        frames: of the video.
        share: frames of all windows together.
    """
    share = min(frames, share)
    count = max(1, share // WINDOW)
    length, room = share // count, frames // count
    begins = [which * room + (room - length) // 2 for which in range(count)]
    return [range(begin, begin + length) for begin in begins]
