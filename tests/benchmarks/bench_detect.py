"""Memory and speed of `detect`, as ratios: `python tests/benchmarks/bench_detect.py [minutes]`.

Prints how resident memory at the end of a long video relates to that after its first tenth, and
what share of decoding alone the rest (scaling, drawing, encoding) costs beside a network that
costs nothing. Measured 2026-11-22, Python 3.11, two shared cores: 12 minutes, 3520 frames: memory
ratio 1.001 (817 MB, most of it torch), 2.9 ms of CPU a frame with five outputs.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from conftest import write_video
from test_detect import Eye

from lstmcli.video import read_frames
from lstmcli.workflows.detect import detect

RATE = 5


class Watching:
    """Takes down the resident memory while the frames go by."""

    def __init__(self) -> None:
        self.megabytes: list[float] = []

    def track(
        self, items: Iterable[object], *, total: int | None = None, label: str = ""
    ) -> Iterator[object]:
        process = psutil.Process()
        for i, item in enumerate(items):
            if i % 100 == 0:
                self.megabytes.append(process.memory_info().rss / 2**20)
            yield item

    def note(self, text: str) -> None:
        pass


def main(minutes: float) -> None:
    """Make a video of so many minutes, run it, print the ratios."""
    frames = int(minutes * 60 * RATE)
    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng(0)
        scene = rng.integers(0, 255, (60, 80, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
        source = write_video(
            Path(folder) / "long.mp4",
            [np.roll(scene, 2 * i, axis=1) for i in range(160)] * (frames // 160),
            rate=RATE,
            sound="aac",
        )
        frames -= frames % 160
        began = time.process_time()
        count = sum(1 for _ in read_frames(source))
        decoding_s = time.process_time() - began
        watching = Watching()
        began = time.process_time()
        report = detect(
            [str(source)], out=Path(folder), make_predictor=Eye, progress=watching,
            write=("video", "jsonl", "csv", "coco", "mot"),
        )  # fmt: skip
        whole_s = time.process_time() - began
        assert count == frames == report.done[0].frames
        early = watching.megabytes[len(watching.megabytes) // 10]
        print(f"{minutes:g} minutes, {frames} frames of 320x240")
        print(
            f"resident memory: {early:.0f} MB after a tenth, {watching.megabytes[-1]:.0f} MB last"
        )
        print(
            f"  ratio {watching.megabytes[-1] / early:.3f}, highest {max(watching.megabytes):.0f}"
        )
        print(
            f"CPU: {1000 * whole_s / frames:.2f} ms a frame, {whole_s / decoding_s:.1f} x decoding"
        )


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 60)
