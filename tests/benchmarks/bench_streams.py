"""Several streams of 720p at once: `python tests/benchmarks/bench_streams.py MODEL VIDEO`.

Prints frames a second of all streams together, for one stream and for more, beside the same with a
network that costs nothing: where the two are alike, reading and writing bind; where they are not,
the network does. On a GPU the steps of the streams are one batch. To be run with `--device cuda`
wherever there is one; on the CPU it shows that several streams lose nothing to each other.
Measured 2026-11-22, two cores without a GPU, inference at every frame: 1, 2, 4 streams
102, 97, 93 frames/s together, 0.56, 0.45, 0.44 of what reading and writing alone make.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "workflows"))

from bench_peer import make_720p
from test_detect import Eye

from lstmcli.workflows.detect import DetectOptions, detect


def rate(videos: list[Path], out: Path, options: DetectOptions, *, own: Any = None) -> float:
    """Return the frames a second of all videos together, their start left out."""
    out.mkdir()
    began = time.monotonic()
    report = detect(
        [str(video) for video in videos],
        replace(options, out=out, jobs=len(videos), every=1),
        make_predictor=own,
    )
    whole_s = time.monotonic() - began
    frames = sum(done.frames for done in report.done)
    return frames / min(whole_s, max(done.seconds for done in report.done))


def main() -> None:
    """Run one stream and more, with the network and without, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model")
    parser.add_argument("video", type=Path)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--frames", type=int, default=300, help="of each stream")
    parser.add_argument("--device", default="auto")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        source = folder / "0.mp4"
        make_720p(asked.video, source, asked.frames)
        videos = [source]
        for number in range(1, max(asked.streams)):
            videos.append(folder / f"{number}.mp4")
            videos[-1].hardlink_to(source)
        detect(
            [str(source)],
            DetectOptions(out=folder / "warm", model=asked.model, device=asked.device),
        )
        for streams in asked.streams:
            some = videos[:streams]
            options = DetectOptions(model=asked.model, device=asked.device)
            found = rate(some, folder / f"network {streams}", options)
            free = rate(some, folder / f"nothing {streams}", options, own=Eye)
            print(
                f"{streams} streams: {found:.0f} frames/s, {found / streams:.0f} each; "
                f"{found / free:.2f} of what reading and writing alone make ({free:.0f})"
            )


if __name__ == "__main__":
    main()
