"""A real Ray of several workers on this machine, one of which is killed."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import MakeVideo

from lstmcli.workflows.detect import DetectOptions, detect
from lstmcli.workflows.distribute import ClusterOptions, detect_distributed

WORKERS, CLIPS = 4, 40


def workers_at_work() -> list[int]:
    """Return the processes that run tasks: Ray names them for it."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                title = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
            except OSError:
                continue
            if title.startswith(b"ray::_work"):
                found.append(int(entry.name))
    return found


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_a_killed_worker_loses_its_task_only_and_nothing_differs(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    pytest.importorskip("ray")
    footage = tmp_path / "footage"
    footage.mkdir()
    random = np.random.default_rng(0)
    for number in range(CLIPS):
        noise = random.integers(0, 255, (4, 6, 3), np.uint8).repeat(16, 0).repeat(16, 1)
        make_video(footage / f"{number:02d}.mp4", [np.roll(noise, 3 * t, 1) for t in range(6)])
    options = {"model": "sky", "device": "cpu", "engine": "torch", "write": ("jsonl",)}
    detect([str(footage)], DetectOptions(**options, out=tmp_path / "one", threshold=0.01))
    killed: list[int] = []

    def kill_one() -> None:
        while not killed:
            for process in workers_at_work()[:1]:
                time.sleep(0.3)
                os.kill(process, signal.SIGKILL)
                killed.append(process)
            time.sleep(0.05)

    killer = threading.Thread(target=kill_one, daemon=True)
    killer.start()
    report = detect_distributed(
        [str(footage)],
        DetectOptions(**options, out=tmp_path / "many", threshold=0.01, jobs=WORKERS),
        ClusterOptions(on="ray"),
    )
    assert killed
    assert len(report.done) == CLIPS
    assert not report.failed
    one, many = (
        {path.name: path.read_bytes() for path in (tmp_path / name).glob("*.jsonl")}
        for name in ("one", "many")
    )
    assert one == many
    assert len(many) == CLIPS
    assert sum(b'"score"' in data for data in many.values()) > 0
