"""`lstmcli detect` beside a peer: `python tests/benchmarks/bench_peer.py MODEL VIDEO --peer YOLO`.

Both are started as commands, on the same cores, with the same 720p H.264 file, and both write an
annotated video. YOLO is the path of the `yolo` command of a virtual environment of its own, made
for the measurement; it is no dependency. Without it only our own bars are measured. Printed: frames
a second of the whole command and without its start, seconds to the first annotated frame, the most
resident memory, and the rate of merely decoding and encoding the file with our settings.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import psutil

from lstmcli.core.boxes import Letterbox
from lstmcli.models.checkpoint import load_checkpoint
from lstmcli.video import VideoWriter, probe, read_frames

SIZE_HW = (720, 1280)


@dataclass(frozen=True)
class Run:
    """A command that was measured: wall and CPU seconds, seconds to the first frame, memory."""

    wall_s: float
    cpu_s: float
    first_s: float | None
    peak_mb: float
    said: str


def make_720p(source: Path, out: Path, frames: int) -> int:
    """Write a 720p H.264 file from the frames of another one, over and over; return how many."""
    info = probe(source)
    pictures = [
        frame.canvas(Letterbox(frame.size_hw, SIZE_HW))
        for frame in islice(read_frames(source), 150)
    ]
    there_and_back = cycle(pictures + pictures[::-1])
    rate = info.rate or 25.0
    with VideoWriter(out, rate=rate) as writer:
        for number, picture in enumerate(islice(there_and_back, frames)):
            writer.write(picture, number / rate)
    return frames


def transcode(source: Path, out: Path) -> float:
    """Return frames a second of decoding and encoding alone."""
    begin, count = time.perf_counter(), 0
    with VideoWriter(out, rate=probe(source).rate) as writer:
        for frame in read_frames(source):
            writer.write(frame.planes(), frame.time_s)
            count += 1
    return count / (time.perf_counter() - begin)


def measure(command: list[str], folder: Path, pattern: str) -> Run:
    """Run a command; its first frame is there when a file of the pattern holds picture data."""
    begin = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, cwd=folder, stdout=said, stderr=subprocess.STDOUT)
        first_s, peak, cpu_s = None, 0.0, 0.0
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                peak = max(peak, watched.memory_info().rss / 1e6)
                times = watched.cpu_times()
                cpu_s = times.user + times.system
            except psutil.Error:
                break
            if first_s is None and any(path.stat().st_size > 4000 for path in folder.glob(pattern)):
                first_s = time.perf_counter() - begin
            time.sleep(0.02)
        code = process.wait()
        wall_s = time.perf_counter() - begin
        said.seek(0)
        text = said.read()
    if code:
        sys.exit(f"{' '.join(command)} ended with {code}:\n{text[-2000:]}")
    return Run(wall_s, cpu_s, first_s, peak, text)


def show(name: str, run: Run, frames: int, start_s: float) -> float:
    """Print a row; return frames a second without the start."""
    if run.wall_s <= start_s:
        sys.exit(f"{name}: {frames} frames are too few, the start took longer; take more --frames")
    interpolate_gaps = frames / (run.wall_s - start_s)
    first = f"{run.first_s:.1f}" if run.first_s is not None else "-"
    print(
        f"{name:12} {frames / run.wall_s:9.1f} {interpolate_gaps:9.1f} {first:>9} {run.cpu_s:7.1f} "
        f"{run.peak_mb:8.0f}"
    )
    return interpolate_gaps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model")
    parser.add_argument("video", type=Path, help="any video; it is brought to 720p")
    parser.add_argument("--frames", type=int, default=1500)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--every", type=int, help="look at every Nth frame; above 1 with --fill")
    parser.add_argument("--peer", type=Path, help="the yolo command of its own environment")
    parser.add_argument("--peer-model", default="yolo11n.yaml", help="weights make no difference")
    asked = parser.parse_args()
    lstmcli = [str(Path(sys.executable).with_name("lstmcli"))]
    model = str(Path(asked.model).resolve()) if Path(asked.model).exists() else asked.model
    side = max(load_checkpoint(model).canvas_hw)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        source, short = folder / "long.mp4", folder / "short.mp4"
        frames = make_720p(asked.video, source, asked.frames)
        make_720p(asked.video, short, 10)
        limit = transcode(source, folder / "transcode.mp4")
        ours = [*lstmcli, "detect", "--model", model, "--engine", asked.engine, "--no-sound"]
        if asked.every is not None:
            ours += ["--every", str(asked.every), *(["--fill"] if asked.every > 1 else [])]

        def detect(video: Path, out: str) -> Run:
            command = [*ours, "--out", out, "--write", "video", str(video)]
            return measure(command, folder, f"{out}/*.mp4")

        detect(short, "warm")  # a trial of engines and conversions happen once
        start_s = detect(short, "start").wall_s
        run = detect(source, "out")
        print(f"{os.cpu_count()} cores, 720p, {frames} frames, network input {side} pixels")
        print(
            f"{'':12} {'whole f/s':>9} {'warm f/s':>9} {'first s':>9} {'CPU s':>7} {'peak MB':>8}"
        )
        mine = show("lstmcli", run, frames, start_s)
        print(f"{'transcode':12} {limit:9.1f}")
        print(f"bar: half of the transcode's rate: {mine / limit:.2f} (at least 0.5)")
        if run.first_s is not None:
            print(f"bar: the first annotated frame after {run.first_s:.1f} s (at most 3)")
        print(f"bar: {run.peak_mb:.0f} MB resident (at most 1500)")
        if asked.peer is None:
            return
        peer = [
            str(asked.peer), "predict", f"model={asked.peer_model}", f"imgsz={side}",
            "save=True", "device=cpu", "project=peer", "exist_ok=True",
        ]  # fmt: skip
        peer_start_s = measure(
            [*peer, f"source={short}", "name=start"], folder, "peer/start/*"
        ).wall_s
        run = measure([*peer, f"source={source}", "name=out"], folder, "peer/out/*")
        its = show("peer", run, frames, peer_start_s)
        print(f"bar: {mine / its:.2f} times the peer's rate (at least 3)")
        speed = re.findall(r"Speed: .*", run.said)
        if speed:
            print(f"the peer says: {speed[-1]}")


if __name__ == "__main__":
    main()
