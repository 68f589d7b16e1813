"""How many sessions a service carries until a frame waits for too long: a load test.

    lstmcli serve general --port 8765 &
    python tests/benchmarks/bench_serve.py video.mp4 --fps 5 --seconds 20

Sessions send frames of a video at a fixed rate. More begin until the 95th percentile of the time
from a frame to its detections passes 200 ms. Every frame has to be answered in order; at the end
no session may be left, and the memory that the service holds is shown for each step.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import threading
import time
import urllib.request
from pathlib import Path

import numpy as np
from PIL import Image
from websockets.sync.client import connect

from lstmcli.video import read_frames

LIMIT_S = 0.2


def pictures(path: Path, count: int, width: int) -> list[bytes]:
    """Return frames of a video as JPEG files of a width."""
    made = []
    for frame in read_frames(path):
        picture = Image.fromarray(frame.rgb())
        picture.thumbnail((width, width))
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=85)
        made.append(file.getvalue())
        if len(made) == count:
            break
    return made


class Session(threading.Thread):
    """Sends frames at a rate and waits for the answer to each."""

    def __init__(self, address: str, frames: list[bytes], fps: float, seconds: float) -> None:
        super().__init__(daemon=True)
        self.address, self.frames, self.fps, self.seconds = address, frames, fps, seconds
        self.latencies: list[float] = []
        self.sent = 0
        self.late_s = 0.0

    def run(self) -> None:
        with connect(f"{self.address}/session", proxy=None, compression=None) as socket:
            began = time.monotonic()
            while (due := self.sent / self.fps) < self.seconds:
                time.sleep(max(0.0, began + due - time.monotonic()))
                sent = time.monotonic()
                socket.send(self.frames[self.sent % len(self.frames)])
                record = json.loads(socket.recv(timeout=60))
                assert record["frame"] == self.sent, record
                self.sent += 1
                # a frame that could not be sent in time has waited, too
                self.latencies.append(time.monotonic() - min(sent, began + due))
                if time.monotonic() - began > 3 * self.seconds:
                    break


def metric(address: str, name: str) -> float:
    with urllib.request.urlopen(f"{address}/metrics", timeout=20) as answer:
        found = re.search(rf"^{name} (\S+)$", answer.read().decode(), re.MULTILINE)
    return float(found[1]) if found else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", type=Path)
    parser.add_argument("--address", default="127.0.0.1:8765")
    parser.add_argument("--fps", type=float, default=5.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--most", type=int, default=32)
    options = parser.parse_args()
    frames = pictures(options.video, 100, options.width)
    web, socket = f"http://{options.address}", f"ws://{options.address}"
    warm = Session(socket, frames, 5.0, 2.0)
    warm.start()
    warm.join()
    print("sessions  frames  lost  p50 ms  p95 ms  frames/s  memory MB")
    count = 1
    while count <= options.most:
        sessions = [Session(socket, frames, options.fps, options.seconds) for _ in range(count)]
        began = time.monotonic()
        for one in sessions:
            one.start()
            time.sleep(1 / options.fps / count)  # clients do not beat together
        for one in sessions:
            one.join()
        took = time.monotonic() - began
        latencies = np.array([value for one in sessions for value in one.latencies])
        sent = sum(one.sent for one in sessions)
        p50, p95 = np.percentile(latencies, (50, 95))
        memory = metric(web, "process_resident_memory_bytes") / 1e6
        print(
            f"{count:8d}  {sent:6d}  {sent - len(latencies):4d}  {p50 * 1e3:6.0f}  "
            f"{p95 * 1e3:6.0f}  {sent / took:8.1f}  {memory:9.0f}",
            flush=True,
        )
        if p95 > LIMIT_S:
            break
        count += 1 if count < 4 else 2
    ends = time.monotonic() + 20
    while metric(web, "lstmcli_sessions") and time.monotonic() < ends:
        time.sleep(0.2)
    print(f"sessions left: {metric(web, 'lstmcli_sessions'):.0f}")


if __name__ == "__main__":
    main()
