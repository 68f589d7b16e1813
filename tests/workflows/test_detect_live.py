"""`detect` on what cannot be read twice: a slow stream, written in segments, and standard input."""

from __future__ import annotations

import re
import socket
import sys
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import MakeVideo, StreamServer, grey_level
from rtsp import RtspCamera
from test_detect import assert_in_order, levels, one, records, run

from lstmcli.video import live, read_frames

FRAMES = 50


@pytest.fixture
def stream(
    tmp_path: Path, make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> Iterator[StreamServer]:
    monkeypatch.setattr(live, "_FIRST_PAUSE_S", 0.02)
    server = StreamServer(
        make_video(tmp_path / "a.ts", FRAMES, options={"g": "5"}).read_bytes(), pause_s=0.02
    )
    yield server
    server.close()


def test_a_slow_stream_is_written_whole_and_in_segments(
    stream: StreamServer, tmp_path: Path
) -> None:
    """Every segment is a video of its own; frames that came too fast are counted."""
    out = tmp_path / "out"
    done = one(
        run(stream.address, out=out, write=("video", "jsonl"), segment_s=0.5, patience_s=0.4)
    )
    dropped = sum(int(note.split()[0]) for note in done.notes if "left out" in note)
    assert done.frames + dropped == FRAMES
    videos = sorted(path for path in done.outputs if path.suffix == ".mp4")
    lines = sorted(path for path in done.outputs if path.suffix == ".jsonl")
    assert len(videos) == len(lines) >= 3
    written = [record for path in lines for record in records(path)]
    numbers = [int(str(record["frame"])) for record in written]
    assert len(numbers) == done.frames
    assert all(a < b for a, b in pairwise(numbers))
    seen = np.array(levels(written))
    assert np.abs(seen - [grey_level(number) for number in numbers]).max() <= 5
    times = [float(str(record["time"])) for record in written]
    assert times == sorted(times)
    for video, text in zip(videos, lines, strict=True):
        assert len(list(read_frames(video))) == len(records(text))
    assert not [path for path in out.iterdir() if "partial" in path.name]


def test_the_counts_of_a_stream_have_a_name_of_their_own(
    stream: StreamServer, tmp_path: Path
) -> None:
    plan, out = tmp_path / "count.yaml", tmp_path / "out"
    plan.write_text("lines: [{name: gate, from: [0, 0.5], to: [1, 0.5]}]", encoding="utf-8")
    done = one(run(stream.address, out=out, track=True, count=plan, patience_s=0.4))
    table = done.outputs[-1]
    assert re.search(r"-\d{8}-\d{6}\.counts\.csv$", table.name)
    assert table.is_file()


def test_standard_input_is_a_source(
    tmp_path: Path, make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_video(tmp_path / "a.mkv", 20)
    with source.open("rb") as file:
        monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=file))
        done = one(run("-", out=tmp_path / "out", write=("video", "jsonl")))
    assert done.frames == 20
    assert_in_order(records(done.outputs[1]), 20)
    assert len(list(read_frames(done.outputs[0]))) == 20


def test_an_interrupted_stream_leaves_complete_files(stream: StreamServer, tmp_path: Path) -> None:
    """Ctrl-C is how a camera is ended: what was seen so far is a finished video."""
    from test_detect import Eye

    class Tired(Eye):
        seen = 0

        def forward(self, canvas, time_s):  # type: ignore[no-untyped-def]
            Tired.seen += 1
            if Tired.seen == 15:
                raise KeyboardInterrupt
            return super().forward(canvas, time_s)

    out = tmp_path / "out"
    run(
        stream.address,
        out=out,
        write=("video", "jsonl"),
        make_predictor=Tired,
        segment_s=60,
        patience_s=0.4,
    )
    (video,) = out.glob("*.mp4")
    (text,) = out.glob("*.jsonl")
    assert 1 <= len(records(text)) <= 15
    assert len(list(read_frames(video))) == len(records(text))


def test_a_udp_stream_is_a_source(
    tmp_path: Path, make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transport stream comes in datagrams, as from an encoder on the network; then silence."""
    monkeypatch.setattr(live, "_TIMEOUT_S", 1.0)
    monkeypatch.setattr(live, "_FIRST_PAUSE_S", 0.02)
    data = make_video(tmp_path / "a.ts", FRAMES, options={"g": "5"}).read_bytes()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    stop = threading.Event()

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            for start in range(0, len(data), 7 * 188):
                if stop.wait(0.01):
                    return
                out.sendto(data[start : start + 7 * 188], ("127.0.0.1", port))

    def send_until_told() -> None:  # who listens late must not miss it
        while not stop.is_set():
            send()

    sender = threading.Thread(target=send_until_told)
    sender.start()
    threading.Timer(4.0, stop.set).start()
    try:
        done = one(
            run(
                f"udp://127.0.0.1:{port}",
                out=tmp_path / "out",
                write=("video", "jsonl"),
                patience_s=1.0,
            )
        )
    finally:
        stop.set()
        sender.join()
    assert done.frames >= 10
    numbers = [int(str(record["frame"])) for record in records(done.outputs[1])]
    assert all(a < b for a, b in pairwise(numbers))
    assert len(list(read_frames(done.outputs[0]))) == done.frames


@pytest.fixture
def footage(tmp_path: Path, make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(live, "_FIRST_PAUSE_S", 0.02)
    return make_video(tmp_path / "camera.ts", FRAMES, options={"g": "5", "bf": "0"})


@pytest.mark.parametrize("over", ["tcp", "udp"])
def test_a_network_camera_is_a_source_by_either_transport(
    over: str, footage: Path, tmp_path: Path
) -> None:
    camera = RtspCamera(footage, over=over)
    try:
        done = one(
            run(camera.address, out=tmp_path / "out", write=("video", "jsonl"), patience_s=1.0)
        )
    finally:
        camera.close()
    video, lines = done.outputs
    written = records(lines)
    numbers = [int(str(record["frame"])) for record in written]
    # a busy machine leaves frames out, and says how many
    out = sum(int(note.split()[0]) for note in done.notes if "left out" in note)
    assert FRAMES // 2 <= len(written) + out <= FRAMES
    assert len(written) >= 2
    assert np.abs(np.subtract(levels(written), [grey_level(n) for n in numbers])).max() <= 5
    assert len(list(read_frames(video))) == len(written)
    steps = np.diff([float(str(record["time"])) for record in written]) / np.diff(numbers)
    assert steps == pytest.approx(1 / 25, abs=0.002)


def test_a_camera_runs_until_an_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FFmpeg's own test pattern, as a device that gives a frame each 40 ms, is the camera."""
    from test_detect import Eye

    class Tired(Eye):
        seen = 0

        def forward(self, canvas, time_s):  # type: ignore[no-untyped-def]
            Tired.seen += 1
            if Tired.seen == 40:
                raise KeyboardInterrupt
            return super().forward(canvas, time_s)

    monkeypatch.setattr(live, "_CAMERAS", {sys.platform: ("lavfi", "", "")})
    out = tmp_path / "out"
    run(
        "camera:testsrc=size=96x64:rate=25,realtime",
        out=out,
        write=("video", "jsonl"),
        make_predictor=Tired,
        segment_s=0.5,
    )
    videos, lines = sorted(out.glob("*.mp4")), sorted(out.glob("*.jsonl"))
    assert len(videos) == len(lines) >= 3
    written = [record for path in lines for record in records(path)]
    assert 30 <= len(written) <= 40
    steps = np.diff([float(str(record["time"])) for record in written])
    assert np.median(steps) == pytest.approx(0.04, abs=0.005)
    for video, text in zip(videos, lines, strict=True):
        assert len(list(read_frames(video))) == len(records(text))
    assert not [path for path in out.iterdir() if "partial" in path.name]


def test_a_network_camera_is_reconnected(footage: Path, tmp_path: Path) -> None:
    camera = RtspCamera(footage, connections=3)
    try:
        done = one(run(camera.address, out=tmp_path / "out", write=("jsonl",), patience_s=1.0))
    finally:
        camera.close()
    dropped = sum(int(note.split()[0]) for note in done.notes if "left out" in note)
    assert camera.connections == 3
    assert done.frames + dropped == 3 * FRAMES
    assert any("again" in note or "broke" in note for note in done.notes), done.notes


def test_a_silent_camera_ends_after_the_timeout(footage: Path, tmp_path: Path) -> None:
    camera = RtspCamera(footage, hangs=True)
    began = time.monotonic()
    try:
        done = one(run(camera.address, out=tmp_path / "out", write=("jsonl",), patience_s=1.0))
    finally:
        camera.close()
    assert done.frames > 0
    assert time.monotonic() - began < live._TIMEOUT_S
