"""What `evaluate` costs beside network and decoding: `python tests/benchmarks/bench_evaluate.py`.

CPU seconds of the whole process, all threads of all libraries counted: of `evaluate` from the
labels to the metrics (the model is loaded before), of decoding and letterboxing the same frames
alone, of the network at the same canvases alone, and of the metrics of the same results alone. What
is left is post-processing, tracker and hand-over between threads. `share outside` is
1 - (network + decoding) / evaluate. The wall time of decoding and network, overlapped as in
`evaluate` but with nothing after them, is printed beside that of `evaluate`.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from lstmcli.core.prefetch import prefetch
from lstmcli.core.progress import SilentProgress
from lstmcli.dataset.stream import AnnotatedVideo
from lstmcli.inference.loading import load_runtime
from lstmcli.inference.predictor import Predictor
from lstmcli.inference.runtime import Runtime
from lstmcli.metrics.scoring import score
from lstmcli.workflows.evaluate import EvaluateOptions, evaluate
from lstmcli.workflows.evaluate.data import open_data, open_model
from lstmcli.workflows.pipeline import inferred, letterboxed, scheduled
from lstmcli.workflows.schedule import InferenceSchedule


def timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Return CPU seconds, wall seconds and the result."""
    cpu, wall = time.process_time(), time.perf_counter()
    result = work()
    return time.process_time() - cpu, time.perf_counter() - wall, result


def canvases(video: AnnotatedVideo, runtime: Runtime, limit: int) -> Iterator[Any]:
    """Yield the decoded frames of a video, letterboxed where the schedule runs the network."""
    metadata = runtime.metadata
    stream = islice(video.open(metadata.input_hw, metadata.fit), limit or None)
    yield from letterboxed(scheduled(stream, InferenceSchedule(None)), Predictor(runtime))


def measure(runtime: Runtime, data: Path, options: EvaluateOptions) -> dict[str, float]:
    """Return the seconds of one round."""
    silent = SilentProgress()
    whole, wall, done = timed(lambda: evaluate(runtime, data, options))
    videos = open_data(data, open_model(runtime, options, silent), options, silent).videos
    decoding = network = 0.0
    for video, _ in videos:
        cpu, _, items = timed(lambda video=video: list(canvases(video, runtime, options.limit)))
        decoding += cpu
        cpu, _, _ = timed(lambda items=items: list(inferred(items, Predictor(runtime))))
        network += cpu

    def overlapped() -> None:
        for video, _ in videos:
            items = prefetch(canvases(video, runtime, options.limit))
            for _ in prefetch(inferred(items, Predictor(runtime))):
                pass

    _, least, _ = timed(overlapped)
    metrics, _, _ = timed(
        lambda: score(done.results, done.classes, threshold=options.threshold, iou=options.iou)
    )
    return {
        "evaluate": whole,
        "network": network,
        "decoding": decoding,
        "metrics": metrics,
        "rest": whole - network - decoding - metrics,
        "share outside": 1 - (network + decoding) / whole,
        "wall of evaluate": wall,
        "wall of network and decoding": least,
        "share outside by the wall": 1 - least / wall,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", nargs="?", default="sky")
    parser.add_argument("data", nargs="?", type=Path, default=Path("../shared/data/sky/val"))
    parser.add_argument("--limit", type=int, default=40, help="frames a video; 0: all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engine", default="auto")
    asked = parser.parse_args()
    runtime = load_runtime(asked.model, engine=asked.engine, leave_core_free=True)
    options = EvaluateOptions(limit=asked.limit, engine=asked.engine)
    rounds = [measure(runtime, asked.data, options) for _ in range(asked.rounds)]
    print(f"{asked.model} on {asked.data}, {runtime.engine}, medians of {asked.rounds} rounds")
    for name in rounds[0]:
        values = [one[name] for one in rounds]
        spread = f"({min(values):.3f} to {max(values):.3f})"
        print(f"{name:30s} {statistics.median(values):8.3f}  {spread}", flush=True)


if __name__ == "__main__":
    main()
