"""Time and memory until `detect` answers: `python tests/benchmarks/bench_start.py [MODEL]`.

The whole command on the first frame of a 720p video, from the shell to the finished files: an upper
bound for the time until the first annotated frame is written. Then the peak of resident memory over
some hundred frames. The engine was chosen before, as it is from the second run on.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflows"))

from conftest import write_video

LSTMCLI = Path(sys.executable).with_name("lstmcli")
BAR_S, BAR_MB = 3.0, 1500


def timed(arguments: list[str]) -> tuple[float, float]:
    """Return the seconds a command took and its highest resident memory in MB."""
    began = time.perf_counter()
    process = os.posix_spawn(str(LSTMCLI), [str(LSTMCLI), "-q", *arguments], dict(os.environ))
    _, status, usage = os.wait4(process, 0)
    assert status == 0, arguments
    return time.perf_counter() - began, usage.ru_maxrss / 1024


def main(model: str) -> None:
    """Print the two bars."""
    rng = np.random.default_rng(0)
    scene = rng.integers(0, 255, (90, 160, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    with tempfile.TemporaryDirectory() as folder:
        source = write_video(
            Path(folder) / "clip.mp4", [np.roll(scene, 3 * i, axis=1) for i in range(60)] * 5
        )
        command = ["detect", str(source), "--model", model, "--out", str(Path(folder) / "out")]
        command += ["--overwrite"]
        timed([*command, "--end", "0.03"])  # the engine's trial
        times = [timed([*command, "--end", "0.03"])[0] for _ in range(5)]
        print(f"one frame of 720p: {statistics.median(times):.2f} s (bar: {BAR_S:g})")
        whole_s, memory = timed(command)
        print(f"300 frames: {whole_s:.1f} s, at most {memory:.0f} MB (bar: {BAR_MB})")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "sky")
