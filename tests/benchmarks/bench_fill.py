"""What `detect --every N --fill` costs: `python tests/benchmarks/bench_fill.py MODEL DATA`.

Every frame of annotated video goes the way of `detect` (network, memory, tracker, half a second of
hindsight), with a network that looks at every frame, at every second one and so on. Printed for
each: precision, recall and F1 at the threshold, average precision over what is shown, and found or
lost a minute of object time. DATA is anything that `prepare` reads, so that no frame is left out.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from lstmcli.dataset.stream import AnnotatedVideo, StreamFrame, open_source
from lstmcli.inference.loading import load_runtime
from lstmcli.inference.predictor import Predictor
from lstmcli.inference.runtime import Runtime
from lstmcli.metrics.frame_result import FrameResult
from lstmcli.metrics.scoring import score
from lstmcli.tracking import Tracker
from lstmcli.workflows.pipeline import StreamItem, run_pipeline
from lstmcli.workflows.schedule import InferenceSchedule


def detections(
    runtime: Runtime, video: AnnotatedVideo, every: int, threshold: float, limit: int
) -> Iterator[StreamItem[StreamFrame]]:
    tracker = Tracker(threshold=threshold, calibration=runtime.metadata.calibration)
    return run_pipeline(
        islice(video.open(runtime.metadata.input_hw), limit or None),
        Predictor(runtime, threshold=tracker.min_score),
        schedule=InferenceSchedule(every),
        tracker=tracker,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model")
    parser.add_argument("data", type=Path)
    parser.add_argument("--every", type=int, nargs="+", default=[1, 2, 3, 5])
    parser.add_argument("--threshold", type=float, default=0.3)
    parser.add_argument("--limit", type=int, default=0, help="frames a video; 0: all")
    parser.add_argument("--videos", type=int, default=0, help="take so many; 0: all")
    asked = parser.parse_args()
    network = load_runtime(asked.model)
    source = open_source(asked.data, split="val")
    step = max(1, len(source.videos) // asked.videos) if asked.videos else 1
    videos = source.videos[::step]
    print("every  P     R     F1    AP50 shown  flicker  seconds", flush=True)
    for every in asked.every:
        begin, results = time.perf_counter(), []
        for video in videos:
            for item in detections(network, video, every, asked.threshold, asked.limit):
                gt, found, size_hw = (
                    video.labels.at(item.index),
                    item.detections,
                    item.frame.size_hw,
                )
                if gt is not None and found is not None:
                    results.append(
                        FrameResult(video.name, item.index, item.time_s, size_hw, gt, found)
                    )
        metrics = score(results, network.metadata.classes, threshold=asked.threshold).as_json()
        flicker = metrics["stability"]["flicker_per_minute"]
        print(
            f"{every:5d}  {metrics['precision']:.3f} {metrics['recall']:.3f} {metrics['f1']:.3f} "
            f"{metrics['map50']:.3f}       {flicker:7.1f}  {time.perf_counter() - begin:.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
