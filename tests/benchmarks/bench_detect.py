"""Memory and speed of `detect`, as ratios: `python tests/benchmarks/bench_detect.py [minutes]`.

Prints how resident memory at the end of a long video relates to that after its first tenth, and
what share of decoding alone the rest (scaling, drawing, encoding) costs beside a network that
costs nothing; with `--model sky --video FILE` beside a real one that looks at a real video.
Measured 2026-11-22, Python 3.11, two cores: 20,000 frames of 720p by `sky`: memory ratio 1.010
(993 MB, most of it the torch of this script), 146 frames/s with five outputs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflows"))

from bench_peer import make_720p
from conftest import write_video
from test_detect import Eye

from lstmcli.video import read_frames
from lstmcli.workflows.detect import DetectOptions, detect

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


def made_up(folder: Path, minutes: float) -> tuple[Path, int]:
    """Write a video of a scene that moves, with sound; return it and its frames."""
    frames = int(minutes * 60 * RATE) // 160 * 160
    rng = np.random.default_rng(0)
    scene = rng.integers(0, 255, (60, 80, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
    pictures = [np.roll(scene, 2 * i, axis=1) for i in range(160)] * (frames // 160)
    return write_video(folder / "long.mp4", pictures, rate=RATE, sound="aac"), frames


def main() -> None:
    """Make a long video, run it, print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("minutes", type=float, nargs="?", default=60.0)
    parser.add_argument("--model", help="a real network instead of one that costs nothing")
    parser.add_argument("--video", type=Path, help="a real video, brought to 720p and repeated")
    parser.add_argument("--frames", type=int, default=20_000, help="of it")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        if asked.video is not None:
            source = folder / "long.mp4"
            frames = make_720p(asked.video, source, asked.frames)
        else:
            source, frames = made_up(folder, asked.minutes)
        began = time.process_time()
        count = sum(1 for _ in read_frames(source))
        decoding_s = time.process_time() - began
        watching = Watching()
        outputs = ("video", "jsonl", "csv", "coco", "mot")
        options = DetectOptions(model=asked.model, out=folder, write=outputs)
        own = None if asked.model else Eye
        began = time.process_time()
        report = detect([str(source)], options, make_predictor=own, progress=watching)
        whole_s = time.process_time() - began
        done = report.done[0]
        assert count == frames == done.frames
        early = watching.megabytes[len(watching.megabytes) // 10]
        rate = frames / done.seconds
        print(f"{frames} frames, {done.inferences} inferences, {rate:.0f} frames/s")
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
    main()
