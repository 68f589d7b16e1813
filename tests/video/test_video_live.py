"""Sources: what may be named, and streams that break off and come back."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
from conftest import MakeVideo, StreamServer

from lstmcli.core.errors import MediaError
from lstmcli.video import (
    Frame,
    ReadReport,
    Source,
    find_sources,
    latest,
    open_frames,
    output_names,
    read_live,
)
from lstmcli.video import live as live_module

FAST_START = {"movflags": "+faststart"}


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files with their sizes, but never a part of one."""

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_module, "_FIRST_PAUSE_S", 0.02)


@pytest.fixture
def server(tmp_path: Path, make_video: MakeVideo) -> Iterator[StreamServer]:
    data = make_video(tmp_path / "a.ts", 50, options={"g": "5"}).read_bytes()
    server = StreamServer(data, connections=3, length=len(data) * 2 // 3 // 188 * 188)
    yield server
    server.close()


@pytest.mark.usefixtures("quick")
def test_a_stream_that_breaks_off_is_connected_again_and_ends_after_the_patience(
    server: StreamServer,
) -> None:
    source = Source("live", "stream", server.address)
    report = ReadReport()
    frames = list(read_live(source, patience_s=0.5, report=report))
    assert server.connections > 3
    assert len(frames) > 60  # three times two thirds of fifty, less what a break spoils
    assert [frame.index for frame in frames] == list(range(len(frames)))
    times = [frame.time_s for frame in frames]
    assert times[0] == 0
    assert all(a < b for a, b in pairwise(times))
    assert report.reconnects >= 3
    assert any("connect again" in sentence for sentence in report.sentences())


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("name", ["a.ts", "a.mp4"])
def test_a_file_behind_an_address_is_read_once_and_whole(
    name: str, tmp_path: Path, make_video: MakeVideo
) -> None:
    make_video(tmp_path / name, 60, sound="aac", container_options=FAST_START)
    handler = partial(QuietHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
        source = Source("a", "stream", f"http://127.0.0.1:{http.server_address[1]}/{name}")
        report = ReadReport()
        numbers = []
        for frame in islice(open_frames(source, patience_s=1.0, report=report), 200):
            numbers.append(frame.index)
            time.sleep(0.002)  # slower than the file comes
        http.shutdown()
    assert numbers == list(range(60))
    assert (report.reconnects, report.dropped) == (0, 0)
    assert report.has_sound


@pytest.mark.usefixtures("quick")
def test_a_stream_that_never_comes_is_an_error_that_says_why() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/live.ts"
    with pytest.raises(MediaError, match="refused") as caught:
        list(read_live(Source("x", "stream", address), patience_s=0.2, report=ReadReport()))
    assert "--patience" in caught.value.hint


@pytest.mark.usefixtures("quick")
def test_a_camera_that_is_not_there_is_an_error() -> None:
    with pytest.raises(MediaError, match="77"):
        list(read_live(Source("c", "camera", "77"), patience_s=0.1, report=ReadReport()))


@pytest.mark.usefixtures("quick")
def test_a_stream_can_be_stopped(server: StreamServer) -> None:
    stop = threading.Event()
    source = Source("live", "stream", server.address)
    taken = 0
    for _ in read_live(source, patience_s=60, report=ReadReport(), stop=stop):
        taken += 1
        if taken == 5:
            stop.set()
    assert taken == 5


def test_the_newest_frame_is_taken_and_the_others_are_counted() -> None:
    gate = threading.Event()

    def frames() -> Iterator[int]:
        yield 0
        gate.wait(5)
        yield from range(1, 50)

    report = ReadReport()
    taken: list[object] = []
    for frame in latest(frames(), report):  # type: ignore[arg-type]
        taken.append(frame)
        gate.set()
        threading.Event().wait(0.01)
    assert taken[0] == 0
    assert taken[-1] == 49
    assert taken == sorted(taken)  # type: ignore[type-var]
    assert len(taken) + report.dropped == 50


def test_an_error_behind_the_newest_frame_comes_out() -> None:
    def frames() -> Iterator[Frame]:
        raise MediaError("gone")
        yield

    with pytest.raises(MediaError, match="gone"):
        list(latest(frames(), ReadReport()))


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def test_a_folder_gives_its_videos_and_rows_of_images_in_natural_order(tmp_path: Path) -> None:
    touch(tmp_path, "clip10.mp4", "clip9.MP4", "deep/b.mkv", "notes.txt", ".hidden/c.mp4")
    touch(tmp_path, "clip9.annotated.mp4", "clip9.annotated.partial.mp4", "a.crops/bird/1.jpg")
    touch(tmp_path, "row/2.png", "row/10.png", "row/1.jpg")
    found = find_sources([str(tmp_path)])
    names = [source.name for source in found]
    assert names == ["clip9.MP4", "clip10.mp4", str(Path("deep") / "b.mkv"), "row"]
    assert [path.name for path in found[-1].images] == ["1.jpg", "2.png", "10.png"]


def test_a_pattern_leaves_our_own_outputs_out_unless_it_names_them(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "a.annotated.mp4", "a.annotated.partial.mp4")

    def names(pattern: str) -> list[str]:
        return [source.name for source in find_sources([str(tmp_path / pattern)])]

    assert names("*.mp4") == ["a.mp4"]
    assert names("*.annotated.mp4") == ["a.annotated.mp4"]


def test_every_kind_of_source_is_recognised(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "b.mp4", "x_001.png", "x_002.png")
    texts = [
        str(tmp_path / "?.mp4"),
        str(tmp_path / "x_%03d.png"),
        "camera:0",
        "rtsp://user:secret@10.0.0.7:554/door?x=1",
        "-",
        f"file://{tmp_path / 'a.mp4'}",
    ]
    found = find_sources(texts)
    assert [source.kind for source in found] == [
        *["file"] * 2, "images", "camera", "stream", "stdin",
    ]  # fmt: skip
    assert [source.name for source in found] == [
        "a.mp4", "b.mp4", tmp_path.name, "camera0", "10.0.0.7-554-door", "stdin",
    ]  # fmt: skip
    assert [source.is_live for source in found] == [False, False, False, True, True, False]
    assert len(found[2].images) == 2


def test_an_absent_source_is_an_error_with_a_hint(tmp_path: Path) -> None:
    for text in (str(tmp_path / "absent.mp4"), str(tmp_path / "*.mp4"), "camer:0"):
        with pytest.raises(MediaError, match="no such") as caught:
            find_sources([text])
        assert "camera:0" in caught.value.hint


def test_outputs_are_named_after_their_sources_and_no_two_alike() -> None:
    def named(*names: str) -> list[str]:
        return output_names([Source(name, "file", name) for name in names])

    assert named("a.mp4", "b.tar.mkv", "row") == ["a", "b.tar", "row"]
    assert named("a.mp4", "a.avi") == ["a.mp4", "a.avi"]
    assert named("a.mp4", "a.mp4") == ["a.mp4", "a.mp4-2"]


def test_damage_of_any_kind_never_crashes(tmp_path: Path, make_video: MakeVideo) -> None:
    """Bytes turned over at random places: frames, or an error that says what is wrong."""
    from lstmcli.video import read_frames

    whole = make_video(tmp_path / "a.mp4", 12, sound="aac").read_bytes()
    rng = np.random.default_rng(3)
    outcomes = set()
    for turn in range(25):
        data = bytearray(whole)
        for place in rng.integers(0, len(data), 1 + turn):
            data[place] = rng.integers(0, 256)
        path = tmp_path / f"{turn}.mp4"
        path.write_bytes(data[: int(rng.integers(len(data) // 3, len(data) + 1))])
        try:
            outcomes.add("frames" if list(read_frames(path)) else "nothing")
        except MediaError as error:
            outcomes.add("error" if error.hint else "an error without a hint")
    assert outcomes <= {"frames", "error"}
