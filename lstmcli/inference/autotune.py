"""Benchmark of the runtimes on this machine, cached for the machine and the model."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lstmcli.core.errors import OutputError
from lstmcli.core.files import write_json
from lstmcli.core.types import FloatArray, Picture, planes_of
from lstmcli.inference.runtime import Runtime

TRIAL_FRAMES = 10
TRIAL_S = 0.6
WARM_FRAMES = 3
SCORE_TOLERANCE = 0.05
"""Largest difference of scores from torch's; bfloat16 alone causes about 0.01."""
BOX_TOLERANCE = 0.06
"""Largest difference of box sides from torch's, as a share of the box's size."""
MIN_VISIBLE_SCORE = 0.1
"""Boxes are compared where a score reaches this."""
QUICK_MS = 6.0
"""A faster network leaves a core free: the rest of `detect` takes about 9 ms of a core."""
KEPT_FILES = 16
BUSY = 0.6
"""Load of the last minute per core above which a machine is busy."""
_PROVISIONAL = " (on a busy machine)"

Note = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class BenchmarkResult:
    """Result of a benchmark of runtimes.

    Args:
        ms: milliseconds a frame of each working engine.
        failures: reason of each other engine's failure, one line.
    """

    ms: Mapping[str, float]
    failures: Mapping[str, str]

    @property
    def best(self) -> str:
        """Name of the fastest engine."""
        return min(self.ms, key=lambda name: self.ms[name])

    def sentence(self) -> str:
        """Return the result as one line."""
        times = ", ".join(f"{name} {ms:.1f} ms" for name, ms in self.ms.items())
        parts = [f"{name} is left out ({why})" for name, why in self.failures.items()]
        return "; ".join([f"{times} a frame on this computer: using {self.best}", *parts])


def benchmark_runtimes(
    candidates: Mapping[str, Callable[[], Runtime]],
) -> tuple[BenchmarkResult, Runtime]:
    """Time every candidate on the same frames; drop those whose output differs from the first's.

    Args:
        candidates: factories by name; the first is the reference, and its failure is raised.

    Returns:
        The result and the fastest runtime.
    """
    ms: dict[str, float] = {}
    failures: dict[str, str] = {}
    networks: dict[str, Runtime] = {}
    wanted: list[tuple[FloatArray, FloatArray]] = []
    for name, make in candidates.items():
        try:
            network = make()
            frames = moving_frames(network.metadata.input_hw, WARM_FRAMES + TRIAL_FRAMES)
            ms[name], outputs = _time(network, frames)
        except Exception as error:  # a foreign runtime may fail in any way; torch goes on
            if not ms:
                raise
            failures[name] = (str(error).splitlines() or [type(error).__name__])[0]
            continue
        wanted = wanted or outputs
        if not all(agree(one, two) for one, two in zip(outputs, wanted, strict=False)):
            failures[name] = f"its output differs from that of {next(iter(candidates))}"
            del ms[name]
            continue
        networks[name] = network
    trial = BenchmarkResult(ms, failures)
    return trial, networks[trial.best]


def _time(
    network: Runtime, frames: list[Picture]
) -> tuple[float, list[tuple[FloatArray, FloatArray]]]:
    state, previous_frame, outputs, times = None, frames[0], [], []
    for frame in frames:
        begin = time.perf_counter()
        boxes, scores, state = network.step(frame, previous_frame, state)
        times.append(time.perf_counter() - begin)
        outputs.append((boxes, scores))
        previous_frame = frame
        if len(times) > WARM_FRAMES and sum(times[WARM_FRAMES:]) > TRIAL_S:
            break
    return 1000 * float(np.median(times[WARM_FRAMES:])), outputs


def pick_thread_count(key: str, threads: int, load: Callable[[int], Runtime]) -> int:
    """Return the number of threads for a network while other threads decode, draw and encode.

    A fast network leaves them a core, for which its threads would compete. A slow one is the
    bottleneck and takes all cores. Measured once.

    Args:
        key: of the network on this machine, for `cache_get`.
        threads: available threads.
        load: returns the network with a number of threads.
    """
    if threads < 2:
        return threads
    known = cache_get(f"{key}, threads with a free core")
    if known is not None and known.isdigit():
        return min(int(known), threads)
    network = load(threads)
    ms, _ = _time(network, moving_frames(network.metadata.input_hw, WARM_FRAMES + TRIAL_FRAMES))
    chosen = threads - 1 if ms < QUICK_MS else threads
    cache_put(f"{key}, threads with a free core", str(chosen))
    return chosen


def agree(one: tuple[FloatArray, FloatArray], two: tuple[FloatArray, FloatArray]) -> bool:
    """Return whether two outputs for a frame are equal within the tolerances.

    Args:
        one: boxes [M, 4] and scores [M, classes] of all cells.
        two: the same of another engine.
    """
    (boxes, scores), (others, other_scores) = one, two
    if boxes.shape != others.shape or scores.shape != other_scores.shape:
        return False
    if not (np.abs(scores - other_scores) <= SCORE_TOLERANCE).all():  # NaN is not
        return False
    visible = np.maximum(scores, other_scores).max(axis=1) >= MIN_VISIBLE_SCORE
    return bool((box_difference(boxes, others)[visible] <= BOX_TOLERANCE).all())


def box_difference(boxes: FloatArray, others: FloatArray) -> npt.NDArray[np.floating]:
    """Return how far the sides of boxes [M, 4] are apart, as a share of their size, [M]."""
    sizes = np.sqrt(np.prod(np.maximum(others[:, 2:] - others[:, :2], 1.0), axis=1))
    return np.asarray(np.abs(boxes - others).max(axis=1) / sizes)


def moving_frames(size_hw: tuple[int, int], count: int) -> list[Picture]:
    """Return frames in which dark blocks move over a bright, uneven ground."""
    height, width = size_hw
    y, x = np.mgrid[:height, :width]
    ground = 150 + 60 * np.sin(x / 37) * np.cos(y / 23)
    frames = []
    for time_step in range(count):
        picture = np.repeat(ground[..., None], 3, axis=2)
        for block in range(6):
            left = (block * width // 6 + 3 * time_step * (block + 1)) % max(1, width - 12)
            top = (block * height // 7 + 2 * time_step) % max(1, height - 12)
            picture[top : top + 10 + block, left : left + 10 + block] = (20, 30 * block, 60)
        # in memory as the scaler gives them
        frames.append(planes_of(picture.astype(np.uint8)).transpose(1, 2, 0))
    return frames


def cache_folder() -> Path:
    """Return the cache folder of benchmarks and converted networks; it need not exist."""
    root = os.environ.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
    return Path(root) / "lstmcli"


def fingerprint(path: Path) -> str:
    """Return a hash of a file's content, 16 letters."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def cpu_name() -> str:
    """Return the name of the processor."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def cache_get(key: str) -> str | None:
    """Return the cached value of a key, None without one.

    A value that was measured on a busy machine is dropped as soon as the machine is idle.
    """
    name = _cached().get(key)
    if not isinstance(name, str):
        return None
    if name.endswith(_PROVISIONAL):
        return name.removesuffix(_PROVISIONAL) if is_busy() else None
    return name


def cache_put(key: str, engine: str) -> None:
    """Cache a value; does nothing where the cache cannot be written."""
    value = engine + _PROVISIONAL if is_busy() else engine
    values = {**dict(list(_cached().items())[-200:]), key: value}
    path = cache_folder() / "engines.json"
    with contextlib.suppress(OSError, OutputError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, values)


def is_busy() -> bool:
    """Return whether other processes load this machine, so that timings are not reliable."""
    if not hasattr(os, "getloadavg"):  # not on Windows
        return False
    return os.getloadavg()[0] > BUSY * (os.cpu_count() or 1)


def _cached() -> dict[str, object]:
    try:
        values = json.loads((cache_folder() / "engines.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def prune_cache(folder: Path, suffix: str) -> None:
    """Delete all but the newest converted networks; every training run adds one."""
    with contextlib.suppress(OSError):
        paths = sorted(folder.glob(f"*{suffix}"), key=lambda path: path.stat().st_mtime)
        for path in paths[:-KEPT_FILES]:
            for part in (path, path.with_suffix(".bin")):
                part.unlink(missing_ok=True)
