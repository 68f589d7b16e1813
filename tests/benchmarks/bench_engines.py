"""How fast and how true each engine is: `python tests/benchmarks/bench_engines.py MODEL VIDEO...`.

Every engine follows the whole of each video with its own memory, beside torch in float32 without
folded norms. Printed: milliseconds a frame (median), the largest difference of a score, the largest
difference of a side of a box as a share of its size (where there is a box), and both for the last
tenth of the frames alone, which tells whether an error grows with time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

from lstmcli.core.boxes import Letterbox
from lstmcli.core.types import FloatArray, Picture
from lstmcli.inference.autotune import (
    BOX_TOLERANCE,
    MIN_VISIBLE_SCORE,
    SCORE_TOLERANCE,
    box_difference,
)
from lstmcli.inference.loading import load_runtime
from lstmcli.inference.predictor import Runtime
from lstmcli.inference.runtimes import RUNTIMES
from lstmcli.inference.runtimes.eager import EagerRuntime
from lstmcli.models.checkpoint import load_checkpoint
from lstmcli.video import read_frames

LAG_FRAMES = 5
"""Stands for `input.motion_lag_s`; what is earlier matters to no engine."""


def canvases(video: str, canvas_hw: tuple[int, int], limit: int) -> Iterator[Picture]:
    for frame in islice(read_frames(video), limit):
        yield frame.canvas(Letterbox(frame.size_hw, canvas_hw))


def follow(
    network: Runtime, video: str, limit: int
) -> tuple[list[tuple[FloatArray, FloatArray]], list[float]]:
    """Return the answers to all frames, and the milliseconds of each."""
    recent: list[Picture] = []
    answers, times, state = [], [], None
    for canvas in canvases(video, network.metadata.input_hw, limit):
        recent = [*recent[-LAG_FRAMES:], canvas]
        begin = time.perf_counter()
        boxes, scores, state = network.step(canvas, recent[0], state)
        times.append(1000 * (time.perf_counter() - begin))
        answers.append((boxes, scores))
    return answers, times


def differences(
    found: list[tuple[FloatArray, FloatArray]], wanted: list[tuple[FloatArray, FloatArray]]
) -> tuple[float, float]:
    """Return the largest difference of a score and of a box that is visible."""
    score, box = 0.0, 0.0
    for (boxes, scores), (true_boxes, true_scores) in zip(found, wanted, strict=True):
        score = max(score, float(np.abs(scores - true_scores).max()))
        visible = np.maximum(scores, true_scores).max(axis=1) >= MIN_VISIBLE_SCORE
        if visible.any():
            box = max(box, float(box_difference(boxes, true_boxes)[visible].max()))
    return score, box


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model")
    parser.add_argument("videos", nargs="+")
    parser.add_argument("--frames", type=int, default=300, help="of each video, at the most")
    parser.add_argument("--engines", default=",".join(RUNTIMES))
    asked = parser.parse_args()
    reference = EagerRuntime(load_checkpoint(asked.model).model)
    reference._mixed = False
    networks: dict[str, Runtime] = {"torch fp32": reference}
    for name in asked.engines.split(","):
        networks[name] = load_runtime(asked.model, device="cpu", engine=name)
    print(f"tolerances: scores {SCORE_TOLERANCE}, boxes {BOX_TOLERANCE}")
    print(
        f"{'video':24} {'engine':12} {'ms':>7} {'score':>8} {'box':>8} {'late s':>8} {'late b':>8}"
    )
    for video in asked.videos:
        wanted: list[tuple[FloatArray, FloatArray]] = []
        for name, network in networks.items():
            found, times = follow(network, video, asked.frames)
            wanted = wanted or found
            late = len(found) - max(1, len(found) // 10)
            score, box = differences(found, wanted)
            late_score, late_box = differences(found[late:], wanted[late:])
            ms = np.median(times[min(3, len(times) - 1) :])
            print(
                f"{Path(video).name[:24]:24} {name:12} {ms:7.1f} {score:8.4f} {box:8.4f} "
                f"{late_score:8.4f} {late_box:8.4f}"
            )


if __name__ == "__main__":
    main()
