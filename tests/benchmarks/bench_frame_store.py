"""How fast random clips are read: raw frames, JPEGs, or seeking in the H.264 file itself.

    python tests/benchmarks/bench_frame_store.py VIDEO [--clips 40] [--length 8] [--window 192]

Prints milliseconds a clip and the ratio to the first row, all in one run.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from lstmcli.core.boxes import Letterbox
from lstmcli.dataset.frame_store import FORMS, FrameStore, FrameStoreWriter
from lstmcli.video import read_frames


def timed(work: Callable[[int], None], places: list[int]) -> float:
    """Return the median milliseconds of a call."""
    took = []
    for place in places:
        began = time.perf_counter()
        work(place)
        took.append(1000 * (time.perf_counter() - began))
    return float(np.median(took))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", type=Path)
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--length", type=int, default=8)
    parser.add_argument("--window", type=int, default=192)
    chosen = parser.parse_args()
    frames = list(read_frames(chosen.video))
    size_hw = frames[0].size_hw
    canvas_hw = (size_hw[0] // 32 * 32, size_hw[1] // 32 * 32)
    letterbox = Letterbox(size_hw, canvas_hw)
    canvases = [frame.canvas(letterbox) for frame in frames]
    times = [frame.time_s for frame in frames]
    rng = np.random.default_rng(0)
    places = rng.integers(0, len(canvases) - chosen.length, chosen.clips).tolist()
    window = (chosen.window, chosen.window)
    rows: list[tuple[str, float, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        for form in FORMS:
            path = Path(folder) / f"frames.{form}"
            with FrameStoreWriter(path, form=form, canvas_hw=canvas_hw) as writer:
                for canvas in canvases:
                    writer.add(canvas)
            store = FrameStore(path)

            def read(place: int, store: FrameStore = store) -> None:
                for step in range(chosen.length):
                    store.window(place + step, 64, 64, window)

            size = path.stat().st_size / len(canvases) / 1024
            rows.append((form, timed(read, places), size))

    def seek(place: int) -> None:
        start_s = times[place] - times[0]
        for step, frame in enumerate(read_frames(chosen.video, start_s=start_s)):
            frame.canvas(letterbox)
            if step == chosen.length - 1:
                break

    size = chosen.video.stat().st_size / len(canvases) / 1024
    rows.append(("h264 seek", timed(seek, places), size))
    for name, milliseconds, kib in rows:
        ratio = milliseconds / rows[0][1]
        print(f"{name:10} {milliseconds:8.1f} ms/clip {ratio:6.1f}x {kib:8.1f} KiB/frame")


if __name__ == "__main__":
    main()
