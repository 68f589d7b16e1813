"""Which engine is the quickest here: a short trial, remembered for this machine and model."""

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
"""Scores may differ by this from torch's; bfloat16 alone makes about 0.01 of it."""
BOX_TOLERANCE = 0.06
"""Sides of boxes may differ by this share of the box's size, where there is a box at all."""
SEEN = 0.1
"""The score from which there is a box at all."""
QUICK_MS = 6.0
"""A step of less is done by all cores but one: the rest of `detect` costs about 9 ms of a core."""
KEPT_FILES = 16
BUSY = 0.6
"""A machine whose processors had more than this share of work over the last minute is busy."""
_IN_HASTE = " (on a busy machine)"

Note = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class BenchmarkResult:
    """What a trial found.

    Args:
        ms: milliseconds a frame of each engine that works.
        failures: why each of the others does not, in one line.
    """

    ms: Mapping[str, float]
    failures: Mapping[str, str]

    @property
    def best(self) -> str:
        """The name of the quickest."""
        return min(self.ms, key=lambda name: self.ms[name])

    def sentence(self) -> str:
        """Say what was found, in one line."""
        times = ", ".join(f"{name} {ms:.1f} ms" for name, ms in self.ms.items())
        parts = [f"{name} is left out ({why})" for name, why in self.failures.items()]
        return "; ".join([f"{times} a frame on this computer: using {self.best}", *parts])


def benchmark_runtimes(
    candidates: Mapping[str, Callable[[], Runtime]],
) -> tuple[BenchmarkResult, Runtime]:
    """Time every candidate on the same frames; one that disagrees with the first is left out.

    Args:
        candidates: makers by name; the first one is trusted, and its failure is the caller's.

    Returns:
        The trial and the quickest network.
    """
    ms: dict[str, float] = {}
    failures: dict[str, str] = {}
    networks: dict[str, Runtime] = {}
    wanted: list[tuple[FloatArray, FloatArray]] = []
    for name, make in candidates.items():
        try:
            network = make()
            frames = moving_frames(network.metadata.input_hw, WARM_FRAMES + TRIAL_FRAMES)
            ms[name], answers = _time(network, frames)
        except Exception as error:  # a foreign runtime may fail in any way; torch goes on
            if not ms:
                raise
            failures[name] = (str(error).splitlines() or [type(error).__name__])[0]
            continue
        wanted = wanted or answers
        if not all(agree(one, two) for one, two in zip(answers, wanted, strict=False)):
            failures[name] = f"its answers differ from those of {next(iter(candidates))}"
            del ms[name]
            continue
        networks[name] = network
    trial = BenchmarkResult(ms, failures)
    return trial, networks[trial.best]


def _time(
    network: Runtime, frames: list[Picture]
) -> tuple[float, list[tuple[FloatArray, FloatArray]]]:
    state, previous_frames, answers, times = None, frames[0], [], []
    for frame in frames:
        begin = time.perf_counter()
        boxes, scores, state = network.step(frame, previous_frames, state)
        times.append(time.perf_counter() - begin)
        answers.append((boxes, scores))
        previous_frames = frame
        if len(times) > WARM_FRAMES and sum(times[WARM_FRAMES:]) > TRIAL_S:
            break
    return 1000 * float(np.median(times[WARM_FRAMES:])), answers


def pick_thread_count(key: str, threads: int, load: Callable[[int], Runtime]) -> int:
    """Return how many threads a network takes while others decode, draw and encode beside it.

    A quick network leaves them a core: its threads would rather wait for each other than work, and
    the others for them. A slow one is what all wait for, and takes all. Measured once.

    Args:
        key: of the network on this machine, for `recall`.
        threads: that there are.
        load: returns the network with so many threads.
    """
    if threads < 2:
        return threads
    known = cache_get(f"{key}, threads beside others")
    if known is not None and known.isdigit():
        return min(int(known), threads)
    network = load(threads)
    ms, _ = _time(network, moving_frames(network.metadata.input_hw, WARM_FRAMES + TRIAL_FRAMES))
    chosen = threads - 1 if ms < QUICK_MS else threads
    cache_put(f"{key}, threads beside others", str(chosen))
    return chosen


def agree(one: tuple[FloatArray, FloatArray], two: tuple[FloatArray, FloatArray]) -> bool:
    """Say whether two answers for a frame are the same but for rounding.

    Args:
        one: boxes [M, 4] and scores [M, classes] of all cells.
        two: the same of another engine.
    """
    (boxes, scores), (others, other_scores) = one, two
    if boxes.shape != others.shape or scores.shape != other_scores.shape:
        return False
    if not (np.abs(scores - other_scores) <= SCORE_TOLERANCE).all():  # NaN is not
        return False
    seen = np.maximum(scores, other_scores).max(axis=1) >= SEEN
    return bool((box_difference(boxes, others)[seen] <= BOX_TOLERANCE).all())


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
    """Return where trials and converted networks are kept; it need not exist."""
    root = os.environ.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
    return Path(root) / "lstmcli"


def fingerprint(path: Path) -> str:
    """Return what names the content of a file, 16 letters."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def cpu_name() -> str:
    """Return what the processor calls itself."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def cache_get(key: str) -> str | None:
    """Return the engine that won the trial of this key, or None where there was none.

    What a busy machine told is asked again as soon as it is idle.
    """
    name = _cached().get(key)
    if not isinstance(name, str):
        return None
    if name.endswith(_IN_HASTE):
        return name.removesuffix(_IN_HASTE) if is_busy() else None
    return name


def cache_put(key: str, engine: str) -> None:
    """Keep the winner of a trial; where nothing can be written, it is tried again next time."""
    told = engine + _IN_HASTE if is_busy() else engine
    values = {**dict(list(_cached().items())[-200:]), key: told}
    path = cache_folder() / "engines.json"
    with contextlib.suppress(OSError, OutputError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, values)


def is_busy() -> bool:
    """Return whether others work on this machine, so that what is timed now is not what it can."""
    if not hasattr(os, "getloadavg"):  # Windows does not tell
        return False
    return os.getloadavg()[0] > BUSY * (os.cpu_count() or 1)


def _cached() -> dict[str, object]:
    try:
        values = json.loads((cache_folder() / "engines.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def forget_old(folder: Path, suffix: str) -> None:
    """Keep the youngest converted networks only; training makes a new one every run."""
    with contextlib.suppress(OSError):
        paths = sorted(folder.glob(f"*{suffix}"), key=lambda path: path.stat().st_mtime)
        for path in paths[:-KEPT_FILES]:
            for part in (path, path.with_suffix(".bin")):
                part.unlink(missing_ok=True)
