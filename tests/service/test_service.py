"""The service as its clients meet it: real sockets, a stand-in for the network."""

from __future__ import annotations

import io
import json
import socket
import stat
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import MakeVideo
from PIL import Image

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
client = pytest.importorskip("websockets.sync.client")
from websockets.exceptions import ConnectionClosed, InvalidStatus  # noqa: E402

from lstmcli.core.errors import ConfigError, OutputError  # noqa: E402
from lstmcli.core.metadata import ModelMetadata  # noqa: E402
from lstmcli.core.names import upload_name  # noqa: E402
from lstmcli.core.progress import SilentProgress  # noqa: E402
from lstmcli.core.types import Picture  # noqa: E402
from lstmcli.inference.runtime_pool import RuntimePool  # noqa: E402
from lstmcli.service.metrics import labelled  # noqa: E402
from lstmcli.service.options import CameraSpec, ServeOptions  # noqa: E402
from lstmcli.service.server import listen, make_server  # noqa: E402
from lstmcli.service.state import ServiceState  # noqa: E402
from lstmcli.workflows.detect import DetectOptions, detect  # noqa: E402


class Counting:
    """Its score grows with the frames that its state has seen: 0.50, 0.51, 0.52 ..."""

    metadata, engine, device = ModelMetadata(("bird", "drone"), (64, 96)), "torch", "cpu"

    def step(self, frame: Picture, previous_frame: Picture, state: Any) -> Any:
        seen = 0 if state is None else state
        boxes = np.array([[24, 16, 72, 48]], np.float32)
        return boxes, np.array([[0.5 + 0.01 * seen, 0.0]], np.float32), seen + 1


COUNTING = RuntimePool(lambda size_hw: Counting())


class Batching(Counting):
    """The same on a pretended CUDA device, where steps take a moment; keeps the batch sizes."""

    device = "cuda:0"

    def __init__(self) -> None:
        self.batches: list[int] = []

    def step_many(
        self, frames: list[Picture], previous_frames: list[Picture], states: list[Any]
    ) -> list[Any]:
        self.batches.append(len(frames))
        time.sleep(0.01)
        return [self.step(*one) for one in zip(frames, previous_frames, states, strict=True)]


class Service:
    """A running service: its address, and what it holds."""

    def __init__(self, state: ServiceState, port: int) -> None:
        self.state, self.port = state, port
        self.address = f"127.0.0.1:{port}"

    def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        return self.send("GET", path, **headers)

    def send(
        self, method: str, path: str, data: bytes | None = None, **headers: str
    ) -> tuple[int, bytes]:
        request = urllib.request.Request(
            f"http://{self.address}{path}", data=data, method=method, headers=headers
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def session(self, path: str = "/session", **options: Any) -> Any:
        return client.connect(f"ws://{self.address}{path}", proxy=None, **options)


@contextmanager
def running(runtimes: RuntimePool | None = COUNTING, **options: Any) -> Iterator[Service]:
    settings = ServeOptions(port=0, **options)
    with listen("127.0.0.1", 0) as listener:
        state = ServiceState(settings, SilentProgress(), runtimes)
        server = make_server(state)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            until(lambda: server.started)
            yield Service(state, listener.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join(20)


def until(holds: Callable[[], object], *, limit_s: float = 20.0) -> None:
    ends = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < ends, "it did not happen in time"
        time.sleep(0.01)


def jpeg(level: int = 128, size_wh: tuple[int, int] = (96, 64)) -> bytes:
    made = io.BytesIO()
    Image.new("RGB", size_wh, (level,) * 3).save(made, "JPEG")
    return made.getvalue()


def scores(record: dict[str, Any]) -> list[float]:
    return [one["score"] for one in record["detections"]]


def test_each_session_has_a_memory_of_its_own() -> None:
    with running() as service, service.session() as first, service.session() as second:
        records = []
        for frame in range(4):
            first.send(jpeg())
            records.append(json.loads(first.recv()))
            if frame % 2:
                second.send(jpeg())
                other = json.loads(second.recv())
        assert [record["frame"] for record in records] == [0, 1, 2, 3]
        single = [scores(record)[0] for record in records]
        assert single == sorted(single)
        assert single[0] == 0.5
        assert single[-1] > single[1] == scores(other)[0]  # the second session's second frame
        assert {one["track_id"] for record in records for one in record["detections"]} == {1}


def test_sessions_on_a_cuda_device_are_stepped_as_one_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And each keeps its own memory: scores grow with the frames of its session alone."""
    network, sessions, frames = Batching(), 6, 4
    monkeypatch.setattr("lstmcli.inference.runtime_pool.load_runtime", lambda *_, **__: network)
    with running(runtimes=None, model="general") as service:
        start = threading.Barrier(sessions)
        records: list[list[dict[str, Any]]] = []

        def send() -> None:
            with service.session() as one:
                start.wait(10)
                got = []
                for _ in range(frames):
                    one.send(jpeg())
                    got.append(json.loads(one.recv()))
                records.append(got)

        threads = [threading.Thread(target=send) for _ in range(sessions)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert sum(network.batches) == sessions * frames
    assert max(network.batches) > 1
    assert len(network.batches) < sessions * frames
    assert len(records) == sessions
    with running() as service, service.session() as alone:
        expected = []
        for _ in range(frames):
            alone.send(jpeg())
            expected.append(scores(json.loads(alone.recv())))
    assert all([scores(record) for record in got] == expected for got in records)


def test_frames_that_are_sent_at_once_are_all_answered_in_order() -> None:
    with running() as service, service.session() as socket_:
        for frame in range(50):
            socket_.send(json.dumps({"time": frame / 25}))
            socket_.send(jpeg())
        records = [json.loads(socket_.recv()) for _ in range(50)]
    assert [record["frame"] for record in records] == list(range(50))
    assert [record["time"] for record in records] == [frame / 25 for frame in range(50)]


def test_a_frame_that_is_no_picture_is_refused_and_the_session_continues() -> None:
    with running(max_pixels=100_000) as service, service.session() as socket_:
        for data in (b"no picture", jpeg(size_wh=(1000, 1000)), jpeg()):
            socket_.send(data)
        refused, large, good = (json.loads(socket_.recv()) for _ in range(3))
        assert "no JPEG picture" in refused["error"]
        assert "1000x1000" in large["error"]
        assert good["frame"] == 0
        socket_.send("nonsense")
        assert "error" in json.loads(socket_.recv())


def test_a_message_that_is_too_large_ends_the_session() -> None:
    with running(max_frame=1000) as service, service.session() as socket_:
        socket_.send(b"x" * 2000)
        with pytest.raises(ConnectionClosed):
            socket_.recv()
        until(lambda: service.state.sessions.taken == 0)


def test_too_many_sessions_get_429_and_a_dead_client_frees_its_place() -> None:
    with running(max_sessions=1) as service:
        first = service.session()
        with pytest.raises(InvalidStatus) as refusal:
            service.session()
        assert refusal.value.response.status_code == 429
        assert refusal.value.response.headers["Retry-After"]
        first.socket.shutdown(socket.SHUT_RDWR)  # it dies without a word
        until(lambda: service.state.sessions.taken == 0)
        with service.session() as second:
            second.send(jpeg())
            assert json.loads(second.recv())["frame"] == 0
        assert 'lstmcli_rejected_total{what="sessions"} 1' in service.get("/metrics")[1].decode()


def test_a_client_that_vanishes_without_a_word_frees_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its machine lost power, or it never reads: the connection stays, pings are not answered."""
    monkeypatch.setattr("lstmcli.service.server.PING_S", 0.2)
    with running(max_sessions=1) as service:
        with socket.create_connection(("127.0.0.1", service.port)) as raw:
            raw.sendall(
                f"GET /session HTTP/1.1\r\nHost: {service.address}\r\nUpgrade: websocket\r\n"
                "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
            )
            until(lambda: service.state.sessions.taken == 1)
            until(lambda: service.state.sessions.taken == 0, limit_s=5.0)
        with service.session() as second:
            second.send(jpeg())
            assert json.loads(second.recv())["frame"] == 0


def test_an_idle_session_ends() -> None:
    with running(idle_s=0.1) as service, service.session() as socket_:
        with pytest.raises(ConnectionClosed, match="no frame for"):
            socket_.recv()
        until(lambda: service.state.sessions.taken == 0)


def test_a_video_gives_what_detect_gives(tmp_path: Path, make_video: MakeVideo) -> None:
    source = make_video(tmp_path / "clip one.mp4", 30)
    with running(out=tmp_path / "served", model="sky") as service:
        status, body = service.send("PUT", "/videos/clip%20one.mp4", source.read_bytes())
        made = json.loads(body)
        assert (status, made["name"]) == (202, "clip_one.mp4")
        path = f"/videos/{made['id']}"
        until(lambda: json.loads(service.get(path)[1])["state"] == "done")
        record = json.loads(service.get(path)[1])
        assert (record["frames"], record["total"], record["problem"]) == (30, 30, "")
        lines = service.get(record["outputs"][0])[1]
        video = service.get(record["outputs"][1])[1]
        assert json.loads(service.get("/videos")[1])[0]["id"] == made["id"]
        assert service.send("DELETE", path)[0] == 204
        assert service.get(path)[0] in (404, 405)
        assert list((tmp_path / "served").iterdir()) == []
    copy = tmp_path / "clip_one.mp4"
    copy.write_bytes(source.read_bytes())
    detect(
        [str(copy)],
        DetectOptions(model="sky", out=tmp_path / "own"),
        runtimes=RuntimePool(lambda size_hw: Counting()),
    )
    assert lines == (tmp_path / "own" / "clip_one.detections.jsonl").read_bytes()
    assert video == (tmp_path / "own" / "clip_one.annotated.mp4").read_bytes()


NASTY = {
    "../../../etc/passwd": "passwd",
    "..": "video",
    "/etc/shadow.mp4": "shadow.mp4",
    "a\\..\\b.mp4": "b.mp4",
    ".hidden.mp4": "hidden.mp4",
    "--overwrite": "overwrite",
    "nul\x00byte.mp4": "nul_byte.mp4",
    "x" * 300 + ".mp4": "x" * 80 + ".mp4",
    "": "video",
    "frame%04d*.mp4": "frame_04d_.mp4",
}


@pytest.mark.parametrize("name", NASTY, ids=range(len(NASTY)))
def test_no_name_leaves_the_folder(name: str) -> None:
    assert upload_name(name) == NASTY[name]


def test_an_upload_is_never_written_outside_its_folder(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    data = make_video(tmp_path / "a.mp4").read_bytes()
    out = tmp_path / "deep" / "served"
    with running(out=out, model="sky") as service:
        for path in ("/videos/..%2f..%2fevil.mp4", "/videos/%2e%2e/%2e%2e/evil.mp4"):
            status, body = service.send("PUT", path, data)
            assert status == 202, body
        until(lambda: all(job.state == "done" for job in service.state.videos.all()))
        for path in ("/videos/..%2f..%2fa.mp4", "/videos/x/../../a.mp4"):
            assert service.get(path)[0] in (404, 405)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "deep"]
    assert [path.name for path in out.parent.iterdir()] == ["served"]


@pytest.mark.parametrize(
    "data", [b"#EXTM3U\n/etc/passwd\n", b"ffconcat version 1.0\nfile /etc/passwd\n", b"", b"<xml>"]
)
def test_playlists_and_other_texts_are_refused(data: bytes, tmp_path: Path) -> None:
    with running(out=tmp_path) as service:
        status, _ = service.send("PUT", "/videos/a.mp4", data)
        assert status in (400, 415)
        assert service.state.videos.all() == []
    assert list(tmp_path.iterdir()) == []


def test_a_video_that_cannot_be_decoded_fails_with_a_reason(tmp_path: Path) -> None:
    with running(out=tmp_path) as service:
        _, body = service.send("PUT", "/videos/a.mp4", b"\0\0\0\x18ftypisom" + bytes(2000))
        path = f"/videos/{json.loads(body)['id']}"
        until(lambda: json.loads(service.get(path)[1])["state"] == "failed")
        record = json.loads(service.get(path)[1])
        assert record["problem"].startswith("a.mp4")
        assert str(tmp_path) not in json.dumps(record)
        assert service.get(f"{path}/video.mp4")[0] == 409


def test_uploads_have_limits(tmp_path: Path, make_video: MakeVideo) -> None:
    data = make_video(tmp_path / "a.mp4", 50).read_bytes()
    out = tmp_path / "out"
    with running(out=out, max_upload=len(data) - 1) as service:
        assert service.send("PUT", "/videos/a.mp4", data)[0] == 413
        chunked = urllib.request.Request(
            f"http://{service.address}/videos/a.mp4", data=iter([data]), method="PUT"
        )  # no length is given beforehand
        with pytest.raises(urllib.error.HTTPError) as refusal:
            urllib.request.urlopen(chunked, timeout=20)
        refusal.value.close()
        assert refusal.value.code == 413
    assert list(out.iterdir()) == []
    with running(out=out, max_videos=0) as service:
        assert service.send("PUT", "/videos/a.mp4", data)[0] == 429
    with running(out=out, video_s=0.0) as service:
        _, body = service.send("PUT", "/videos/a.mp4", data)
        path = f"/videos/{json.loads(body)['id']}"
        until(lambda: json.loads(service.get(path)[1])["state"] == "failed")
        assert "took longer" in json.loads(service.get(path)[1])["problem"]


def test_an_upload_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    with running(out=tmp_path) as service:
        with socket.create_connection(("127.0.0.1", service.port)) as raw:
            raw.sendall(
                f"PUT /videos/a.mp4 HTTP/1.1\r\nHost: {service.address}\r\n"
                "Content-Length: 1000\r\n\r\n1234".encode()
            )
            until(lambda: service.state.videos.all())
        until(lambda: not service.state.videos.all())
    assert list(tmp_path.iterdir()) == []


def test_an_upload_that_stalls_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lstmcli.service.app.CHUNK_TIMEOUT_S", 0.1)
    with running(out=tmp_path) as service:
        with socket.create_connection(("127.0.0.1", service.port), 20) as raw:
            raw.sendall(
                f"PUT /videos/a.mp4 HTTP/1.1\r\nHost: {service.address}\r\n"
                "Content-Length: 1000\r\n\r\n1234".encode()
            )
            assert raw.recv(1000).startswith(b"HTTP/1.1 408 ")
        until(lambda: not service.state.videos.all())
    assert list(tmp_path.iterdir()) == []


def test_a_full_queue_of_videos_gets_429_and_loses_none(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    data, goes_on = make_video(tmp_path / "a.mp4", 8).read_bytes(), threading.Event()

    class Held(Counting):
        def step(self, *one: Any) -> Any:
            goes_on.wait(20)
            return super().step(*one)

    held = RuntimePool(lambda size_hw: Held())
    with running(held, out=tmp_path / "served", max_videos=2, model="sky") as service:
        answers = [service.send("PUT", "/videos/a.mp4", data) for _ in range(8)]
        goes_on.set()
        taken = [json.loads(body)["id"] for status, body in answers if status == 202]
        refused = [body for status, body in answers if status == 429]
        assert len(taken) + len(refused) == 8
        assert refused
        assert all(b"too many videos wait" in body for body in refused)
        for key in taken:
            until(lambda key=key: json.loads(service.get(f"/videos/{key}")[1])["state"] == "done")
        wanted = f'lstmcli_rejected_total{{what="videos"}} {len(refused)}'
        assert wanted in service.get("/metrics")[1].decode()


def test_a_token_guards_everything_but_health() -> None:
    with running(token="correct horse") as service:
        assert service.get("/health") == (200, b'{"status":"ok"}')
        for path in ("/", "/state", "/metrics", "/videos", "/state?token=wrong"):
            assert service.get(path)[0] == 401
        assert service.send("PUT", "/videos/a.mp4", b"x")[0] == 401
        assert service.get("/state", Authorization="Bearer correct horse")[0] == 200
        assert service.get("/state", Cookie='lstmcli_token="correct horse"')[0] == 200
        with pytest.raises(InvalidStatus) as refusal:
            service.session()
        assert refusal.value.response.status_code == 401
        with service.session("/session?token=correct%20horse") as socket_:
            socket_.send(jpeg())
            assert json.loads(socket_.recv())["frame"] == 0


def test_pages_of_other_sites_are_refused() -> None:
    with running() as service:
        assert service.get("/state", Host="evil.example")[0] == 403
        assert service.get("/state", Origin="http://evil.example")[0] == 403
        assert service.get("/state", Origin=f"http://{service.address}")[0] == 200
        with pytest.raises(InvalidStatus) as refusal:
            service.session(origin="http://evil.example")
        assert refusal.value.response.status_code == 403


def test_the_network_is_open_only_with_a_token() -> None:
    with pytest.raises(ConfigError, match="without a token"):
        ServeOptions(host="0.0.0.0")
    ServeOptions(host="0.0.0.0", token="long enough")
    with pytest.raises(ConfigError, match="too short"):
        ServeOptions(token="x")
    with pytest.raises(ConfigError, match="two cameras"):
        ServeOptions(cameras=(CameraSpec("a", "x"), CameraSpec("a", "y")))


def test_a_camera_is_shown_live_with_counts_and_events(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    source = make_video(tmp_path / "a.mp4", 25)
    plan = tmp_path / "count.yaml"
    plan.write_text("lines: [{name: gate, from: [0, 0.9], to: [1, 0.9]}]", encoding="utf-8")
    log = tmp_path / "events.jsonl"
    cameras = (CameraSpec("yard", str(source)), CameraSpec('odd "name"/1', str(source)))
    with running(cameras=cameras, count=plan, events=str(log), max_viewers=1) as service:
        page = service.get("/")[1].decode()
        assert 'data-camera="yard"' in page
        assert "odd &#34;name&#34;/1" in page
        with service.session("/cameras/odd%20%22name%22%2F1/live") as view:
            view.send("next")
            picture = Image.open(io.BytesIO(view.recv()))
            assert picture.size == (96, 64)
            with pytest.raises(InvalidStatus):
                service.session("/cameras/yard/live")
        with pytest.raises(InvalidStatus) as refusal:
            service.session("/cameras/nobody/live")
        assert refusal.value.response.status_code == 404
        until(lambda: service.state.cameras["yard"].frames > 50)  # it plays again and again
        state = json.loads(service.get("/state")[1])
        assert [camera["state"] for camera in state["cameras"]] == ["live", "live"]
        assert state["events"][-1]["event"] == "appear"
        metrics = service.get("/metrics")[1].decode()
        assert 'lstmcli_camera_up{camera="yard"} 1' in metrics
        assert 'lstmcli_events_total{event="appear"} 2' in metrics
    assert "appear" in log.read_text(encoding="utf-8")


def test_a_camera_that_fails_is_shown_and_the_others_continue(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"nothing")
    cameras = (
        CameraSpec("broken", str(broken)),
        CameraSpec("good", str(make_video(tmp_path / "a.mp4", 25))),
    )
    with running(cameras=cameras) as service:
        until(lambda: service.state.cameras["broken"].failures)
        until(lambda: service.state.cameras["good"].frames)
        first, second = json.loads(service.get("/state")[1])["cameras"]
        assert first["state"] == "no signal"
        assert first["problem"]
        assert second["state"] == "live"


def test_latencies_are_a_histogram() -> None:
    with running() as service, service.session() as socket_:
        for _ in range(3):
            socket_.send(jpeg())
            socket_.recv()
        text = service.get("/metrics")[1].decode()
        assert 'lstmcli_session_latency_seconds_bucket{le="+Inf"} 3' in text
        assert "lstmcli_session_latency_seconds_count 3" in text
        assert "lstmcli_sessions 1" in text


def test_labels_are_escaped() -> None:
    assert labelled({"camera": 'a"\\\n'}) == '{camera="a\\"\\\\\\n"}'


def test_uploads_in_a_temporary_folder_are_for_no_other_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with running() as service:
        folder = service.state.videos.folder
        assert folder.parent == tmp_path
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_service_left_unfinished_is_removed(tmp_path: Path) -> None:
    out = tmp_path / "served"
    for name, parts in {
        "0" * 32: ("in/a.mp4",),
        "1" * 32: ("in/a.mp4", "out/a.partial.mp4"),
        "2" * 32: ("in/", "out/a.detections.jsonl"),
        "3" * 32: ("in/a.mp4", "notes.txt"),
        "mine": ("in/a.mp4",),
    }.items():
        for part in parts:
            path = out / name / part
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir(exist_ok=True) if part.endswith("/") else path.touch()
    with running(out=out), pytest.raises(OutputError, match="another process"), running(out=out):
        pass
    assert sorted(path.name for path in out.iterdir()) == ["2" * 32, "3" * 32, "mine"]
