"""`benchmark`: time per stage and runtime, compared with a plain transcode."""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from lstmcli.core.config_file import load_config
from lstmcli.core.errors import ConfigError, MediaError
from lstmcli.core.jobs import thread_count
from lstmcli.core.progress import Progress, SilentProgress
from lstmcli.core.types import Picture
from lstmcli.inference.autotune import cpu_name, moving_frames
from lstmcli.inference.foreign.loading import is_foreign, split_size
from lstmcli.inference.loading import find_export, load_runtime
from lstmcli.inference.predictor import Predictor
from lstmcli.inference.runtime import Runtime, Step
from lstmcli.inference.runtimes import FOREIGN_RUNTIMES, RUNTIMES
from lstmcli.outputs.draw import Annotator, DrawStyle
from lstmcli.tracking import Tracker
from lstmcli.video import VideoInfo, VideoWriter, probe, read_frames
from lstmcli.workflows.detect import DetectOptions, detect
from lstmcli.workflows.train import TrainOptions, train

STAGES = ("read", "scale", "network", "boxes", "track", "draw", "write")
WARM_FRAMES = 5
THRESHOLD = 0.3
VALIDATE_FRAMES = 20
"""Frames of a validation when the speed of training is measured."""


@dataclass(frozen=True, slots=True)
class EngineSpeed:
    """Speed of a runtime.

    Args:
        engine: a name of `RUNTIMES`.
        device: torch device.
        ms: median milliseconds a frame; None if it does not run.
        slow_ms: 95th percentile.
        load_s: seconds from the file to the first output.
        problem: reason why it does not run, "" if it does.
    """

    engine: str
    device: str
    ms: float | None
    slow_ms: float | None
    load_s: float | None
    problem: str = ""

    @property
    def frames_per_second(self) -> float | None:
        """Sequential network steps per second."""
        return 1000 / self.ms if self.ms else None


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Result of a benchmark.

    Args:
        model: as it was given.
        video: as it was given; "" without one.
        size_hw: of the video's frames, None without one.
        canvas_hw: of the network.
        frames: measured in the stages.
        processor: name of the CPU.
        threads: of a network.
        engines: compared runtimes.
        engine: runtime of the stages.
        stages: milliseconds a frame of each of `STAGES`, one after the other, nothing overlapped.
        transcode_fps: frames a second of decoding and encoding the same file alone.
        detect_fps: frames a second of `detect` on the file, None if it was not run.
        detect_all_fps: the same with `--every 1`.
        memory_mb: peak memory of the process.
    """

    model: str
    video: str
    size_hw: tuple[int, int] | None
    canvas_hw: tuple[int, int]
    frames: int
    processor: str
    threads: int
    engines: tuple[EngineSpeed, ...]
    engine: str
    stages: dict[str, float] = field(default_factory=dict)
    transcode_fps: float | None = None
    detect_fps: float | None = None
    detect_all_fps: float | None = None
    memory_mb: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        values = asdict(self)
        for row, speed in zip(values["engines"], self.engines, strict=True):
            row["frames_per_second"] = speed.frames_per_second
        return values


def benchmark(
    model: Path | str,
    video: Path | str | None = None,
    *,
    engines: Sequence[str] = (),
    device: str = "auto",
    frames: int = 300,
    progress: Progress | None = None,
) -> Benchmark:
    """Measure a model on this computer.

    Args:
        model: a checkpoint, a run folder, an exported model or the name of a shipped one.
        video: a file; None measures the network alone, on drawn frames.
        engines: names to compare; empty: all installed ones that can run the model. The stages
            run with the fastest.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        frames: maximum number of frames.
        progress: shows the progress.

    Raises:
        ConfigError: no such engine or device, or none can run the model.
        MediaError: the video cannot be read.
        ModelError: the model is missing or damaged.
    """
    progress = progress or SilentProgress()
    if frames <= WARM_FRAMES:
        raise ConfigError(f"{frames} frames", hint=f"take more than {WARM_FRAMES}")
    info = probe(video) if video is not None else None
    shape = info.size_hw if info is not None else None
    load = partial(load_runtime, model, device=device, picture_hw=shape)
    speeds, network = _compare(
        load, engines or _engines_for(model), bool(engines), frames, progress
    )
    stages: dict[str, float] = {}
    transcode = detect_fps = detect_all_fps = None
    if info is not None:
        progress.note("measuring the stages, then decoding and encoding alone ...")
        with tempfile.TemporaryDirectory() as folder:
            frames, stages = _stages(network, info, frames, Path(folder) / "stages.mp4")
            transcode = _transcode(info, frames, Path(folder) / "transcode.mp4")
        detect_fps = _detect_fps(model, info.path, network.engine, progress)
        detect_all_fps = _detect_fps(model, info.path, network.engine, progress, every=1)
    return Benchmark(
        model=str(model),
        video="" if video is None else str(video),
        size_hw=info.size_hw if info else None,
        canvas_hw=network.metadata.input_hw,
        frames=frames,
        processor=cpu_name(),
        threads=thread_count(),
        engines=tuple(speeds),
        engine=network.engine,
        stages=stages,
        transcode_fps=transcode,
        detect_fps=detect_fps,
        detect_all_fps=detect_all_fps,
        memory_mb=peak_memory_mb(),
    )


def _engines_for(model: Path | str) -> tuple[str, ...]:
    if is_foreign(Path(split_size(model)[0])):
        return tuple(FOREIGN_RUNTIMES)
    exported = find_export(model)
    if exported is None:
        return tuple(RUNTIMES)
    return tuple(name for name, engine in RUNTIMES.items() if engine.suffix == exported.suffix)


def _compare(
    load: partial[Runtime],
    names: Sequence[str],
    required: bool,
    frames: int,
    progress: Progress,
) -> tuple[list[EngineSpeed], Runtime]:
    """Time every runtime; a missing one is an error if `required`, otherwise a row."""
    speeds: list[EngineSpeed] = []
    best: tuple[float, Runtime] | None = None
    for name in progress.track(names, total=len(names), label="engines"):
        begin = time.perf_counter()
        try:
            network = load(engine=name)
        except ConfigError as error:
            if required:
                raise
            speeds.append(EngineSpeed(name, "", None, None, None, error.problem))
            continue
        times, first_s = _step_times(network, frames)
        ms = float(np.median(times))
        load_s = first_s - begin
        slow_ms = float(np.quantile(times, 0.95))
        speeds.append(EngineSpeed(name, network.device, ms, slow_ms, load_s))
        if best is None or ms < best[0]:
            best = ms, network
    if best is None:
        problems = "; ".join(speed.problem for speed in speeds)
        raise ConfigError(
            f"no runtime can run {load.args[0]}: {problems}", hint="install one of them"
        )
    return speeds, best[1]


def _step_times(network: Runtime, frames: int) -> tuple[list[float], float]:
    """Return milliseconds of each step, and the time of the first output."""
    pictures = moving_frames(network.metadata.input_hw, min(frames, 30))
    state, previous_frame, times, first_s = None, pictures[0], [], 0.0
    for number in range(frames):
        picture = pictures[number % len(pictures)]
        begin = time.perf_counter()
        _, _, state = network.step(picture, previous_frame, state)
        end = time.perf_counter()
        first_s = first_s or end
        times.append(1000 * (end - begin))
        previous_frame = picture
    return times[WARM_FRAMES:], first_s


class _Clock:
    """Sums the time of each stage."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(STAGES, 0.0)

    @contextmanager
    def of(self, stage: str) -> Iterator[None]:
        """Add the time of a `with` block to a stage."""
        begin = time.perf_counter()
        yield
        self.seconds[stage] += time.perf_counter() - begin


class _TimedRuntime:
    """A runtime whose time is added to the stage `network`."""

    def __init__(self, network: Runtime, clock: _Clock) -> None:
        self.metadata, self.engine, self.device = network.metadata, network.engine, network.device
        self._network, self._clock = network, clock

    def step(self, frame: Picture, previous_frame: Picture, state: Any) -> Step:
        """Run the network and add its time."""
        with self._clock.of("network"):
            return self._network.step(frame, previous_frame, state)


def _stages(
    network: Runtime, info: VideoInfo, limit: int, out: Path
) -> tuple[int, dict[str, float]]:
    """Return the number of frames, and milliseconds per frame of each stage."""
    clock = _Clock()
    tracker = Tracker(threshold=THRESHOLD, calibration=network.metadata.calibration)
    predictor = Predictor(_TimedRuntime(network, clock), threshold=tracker.min_score)
    annotator = Annotator(network.metadata.classes, info.size_hw, DrawStyle())
    letterbox = predictor.start(info.size_hw)
    count = 0
    frames = iter(islice(read_frames(info.path), limit))
    with VideoWriter(out, rate=info.rate, begins_s=info.begins_s) as writer:
        while True:
            with clock.of("read"):
                frame = next(frames, None)
            if frame is None:
                break
            with clock.of("scale"):
                canvas = frame.canvas(letterbox)
            with clock.of("boxes"):  # the network's time is subtracted below
                detections = predictor.step(canvas, frame.time_s)
            with clock.of("track"):
                detections = tracker.step(detections, frame.time_s)
            with clock.of("draw"):
                planes = frame.planes()
                annotator.paint(planes, detections, frame=frame.index, time_s=frame.time_s)
            with clock.of("write"):
                writer.write(planes, frame.time_s)
            count += 1
    if not count:
        raise MediaError(f"{info.path}: no frames", hint="does it play?")
    clock.seconds["boxes"] -= clock.seconds["network"]
    return count, {stage: 1000 * seconds / count for stage, seconds in clock.seconds.items()}


def _transcode(info: VideoInfo, limit: int, out: Path) -> float:
    """Return frames a second of reading and writing alone."""
    begin = time.perf_counter()
    count = 0
    with VideoWriter(out, rate=info.rate, begins_s=info.begins_s) as writer:
        for frame in islice(read_frames(info.path), limit):
            writer.write(frame.planes(), frame.time_s)
            count += 1
    return count / (time.perf_counter() - begin)


def _detect_fps(
    model: Path | str,
    video: Path | str,
    engine: str,
    progress: Progress,
    *,
    every: int | None = None,
) -> float:
    """Return frames a second of the whole of `detect`, in which the stages overlap."""
    with tempfile.TemporaryDirectory() as folder:
        report = detect(
            [str(video)],
            DetectOptions(
                model=model,
                engine=engine,
                out=Path(folder),
                every=every,
                write=("video",),
                sound=False,
            ),
            progress=progress,
        )
    (done,) = report.done
    return done.frames / done.seconds


@dataclass(frozen=True, slots=True)
class TrainingSpeed:
    """How fast a preset trains.

    Args:
        preset: its name or file.
        epochs: a row an epoch with `epoch`, `stage`, `frames_per_second` and `data_wait`, the
            share of the time in which the network waited for data.
        interrupted: whether Ctrl-C ended it early.
    """

    preset: str
    epochs: tuple[Mapping[str, float | int | str | None], ...]
    interrupted: bool

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {"preset": self.preset, "epochs": [dict(row) for row in self.epochs]}


def benchmark_training(
    preset: str,
    dataset: Path,
    *,
    seconds: float = 60.0,
    device: str = "auto",
    progress: Progress | None = None,
) -> TrainingSpeed:
    """Train a preset for some time, into a folder that is deleted, and return its speed.

    Args:
        preset: the name of a shipped preset or a YAML file.
        dataset: a prepared dataset.
        seconds: of training, validation on a few frames included.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        progress: shows the training.

    Raises:
        ConfigError: no such preset or device.
        DataError: the dataset is missing or damaged.
    """
    config = load_config(preset, [f"train.validate_frames={VALIDATE_FRAMES}"])
    with tempfile.TemporaryDirectory() as folder:
        trained = train(
            dataset,
            config=config,
            out=Path(folder) / "run",
            options=TrainOptions(time_budget_s=seconds, device=device),
            progress=progress or SilentProgress(),
        )
    names = ("epoch", "stage", "frames_per_second", "data_wait")
    rows = tuple({name: row[name] for name in names} for row in trained.history)
    return TrainingSpeed(preset, rows, trained.interrupted)


def peak_memory_mb() -> float:
    """Return the most memory that this process ever held, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)
