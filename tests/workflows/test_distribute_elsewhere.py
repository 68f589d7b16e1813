"""Sources and outputs on other machines: a web server and an object store on the loopback."""

from __future__ import annotations

import functools
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from conftest import MakeVideo
from test_distribute import HERE, files, load_seeing, options, walk

from lstmcli.core.errors import ConfigError, MediaError, OutputError
from lstmcli.workflows.detect import detect
from lstmcli.workflows.distribute import ClusterOptions, detect_distributed, tasks
from lstmcli.workflows.distribute.remote import find_remote

fsspec = pytest.importorskip("fsspec")
pytestmark = pytest.mark.filterwarnings("ignore")  # of the clients of these stores


@pytest.fixture(autouse=True)
def _network(monkeypatch: pytest.MonkeyPatch) -> None:
    load_seeing(monkeypatch)


@pytest.fixture
def memory() -> Iterator[Any]:
    """A file system that is empty before and after."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()


class Files(SimpleHTTPRequestHandler):
    """Serves a folder, and counts the bytes of the videos that it sends."""

    sent = 0

    def copyfile(self, source: Any, target: Any) -> None:
        data = source.read()
        if self.path.partition("?")[0].endswith(".mp4"):
            Files.sent += len(data)
        target.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and the address at which a web server shows it."""
    pytest.importorskip("aiohttp")
    folder = tmp_path / "site"
    folder.mkdir()
    handler = functools.partial(Files, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_videos_of_a_web_server_are_sources(
    site: tuple[Path, str], tmp_path: Path, make_video: MakeVideo
) -> None:
    folder, address = site
    (folder / "deep").mkdir()
    for name in ("a b.mp4", "deep/c.mp4"):
        make_video(folder / name, walk(12))
    out = options(tmp_path / "out", write=("jsonl",))
    report = detect_distributed([f"{address}/"], out, HERE)
    assert [done.name for done in report.done] == ["a b.mp4", "deep/c.mp4"]
    detect([str(folder)], options(tmp_path / "own", write=("jsonl",)))
    assert files(tmp_path / "out") == files(tmp_path / "own")


def test_a_video_of_a_web_server_is_read_once_and_named_without_its_signature(
    site: tuple[Path, str], tmp_path: Path, make_video: MakeVideo
) -> None:
    folder, address = site
    size = make_video(folder / "a.mp4", walk(12)).stat().st_size
    Files.sent = 0
    signed = f"{address}/a.mp4?key=a/b*c&signature=1"
    report = detect_distributed([signed], options(tmp_path / "out", write=("jsonl",)), HERE)
    (path,) = report.done[0].outputs
    assert Path(path).name == "a.detections.jsonl"
    assert Files.sent == size


def test_work_on_a_web_server_resumes_by_content(
    site: tuple[Path, str], tmp_path: Path, make_video: MakeVideo
) -> None:
    """Its listing has names alone; every file is asked for its date."""
    folder, address = site
    make_video(folder / "a.mp4", walk(12))
    again = options(tmp_path / "out", write=("jsonl",), skip_existing=True)
    assert len(detect_distributed([f"{address}/"], again, HERE, out="").done) == 1
    first, *_ = find_remote(f"{address}/")
    assert "Last-Modified" in first.key
    os.utime(folder / "a.mp4", (1_000_000_000, 1_000_000_000))
    second, *_ = find_remote(f"{address}/")
    assert second.key != first.key


def test_what_a_web_server_does_not_have_or_take_is_said(
    site: tuple[Path, str], tmp_path: Path, make_video: MakeVideo
) -> None:
    _, address = site
    with pytest.raises(MediaError, match="there is no such file"):
        detect_distributed([f"{address}/none.mp4"], options(tmp_path / "out"), HERE)
    with pytest.raises(MediaError, match="there is no video"):
        detect_distributed([f"{address}/"], options(tmp_path / "out"), HERE)
    source = make_video(tmp_path / "a.mp4", walk(12))
    with pytest.raises(ConfigError, match="can only be read"):
        detect_distributed([str(source)], options(tmp_path), HERE, out=address)


def test_outputs_elsewhere_are_replaced_only_when_that_is_wanted(
    memory: Any, tmp_path: Path, make_video: MakeVideo
) -> None:
    source, out = [str(make_video(tmp_path / "a.mp4", walk(12)))], "memory://results"
    made = detect_distributed(source, options(Path(), write=("jsonl",)), HERE, out=out)
    assert made.done[0].outputs == ("memory://results/a.detections.jsonl",)
    memory.pipe("/results/a.detections.jsonl", b"mine")
    with pytest.raises(OutputError, match=r"memory://results/a\.detections\.jsonl exists"):
        detect_distributed(source, options(Path(), write=("jsonl",)), HERE, out=out)
    assert memory.cat("/results/a.detections.jsonl") == b"mine"
    wanted = options(Path(), write=("jsonl",), overwrite=True)
    detect_distributed(source, wanted, HERE, out=out)
    assert memory.cat("/results/a.detections.jsonl") != b"mine"


def test_events_of_tasks_elsewhere_reach_the_log(
    memory: Any, tmp_path: Path, make_video: MakeVideo
) -> None:
    for name in "ab":
        source = make_video(tmp_path / f"{name}.mp4", walk(30))
        memory.pipe(f"/footage/{name}.mp4", source.read_bytes())
    here, there = str(tmp_path / "here.jsonl"), str(tmp_path / "there.jsonl")
    sources = [str(tmp_path / f"{name}.mp4") for name in "ab"]
    detect(sources, options(tmp_path / "out", write=("jsonl",), events=here))
    detect_distributed(
        ["memory://footage"],
        options(Path(), write=("jsonl",), events=there),
        HERE,
        out="memory://results",
    )
    assert Path(there).read_bytes() == Path(here).read_bytes()
    assert '"appear"' in Path(there).read_text(encoding="utf-8")
    assert not [name for name in memory.find("/results") if "events" in name]


def test_a_log_that_exists_is_said_before_the_work(tmp_path: Path, make_video: MakeVideo) -> None:
    source, log = make_video(tmp_path / "a.mp4", walk(12)), tmp_path / "events.jsonl"
    log.write_text("mine\n", encoding="utf-8")
    with pytest.raises(OutputError, match="exists"):
        detect_distributed([str(source)], options(tmp_path / "out", events=str(log)), HERE)
    assert not list((tmp_path / "out").glob("*.jsonl"))


def test_events_of_an_interrupted_run_are_gathered_by_the_next(
    tmp_path: Path, make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = [str(make_video(tmp_path / f"{name}.mp4", walk(30))) for name in "ab"]
    log = tmp_path / "events.jsonl"
    wanted = options(tmp_path / "out", write=("jsonl",), events=str(log), skip_existing=True)
    work, done = tasks._run, []

    def interrupted(task: Any, count: Any) -> Any:
        if done:
            raise KeyboardInterrupt
        done.append(task)
        return work(task, count)

    monkeypatch.setattr(tasks, "_run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        detect_distributed(sources, wanted, HERE)
    monkeypatch.undo()
    _network.__wrapped__(monkeypatch)
    assert detect_distributed(sources, wanted, HERE).skipped == ("a.mp4",)
    names = [json.loads(line)["video"] for line in log.read_text(encoding="utf-8").splitlines()]
    assert set(names) == {"a.mp4", "b.mp4"}


def test_pieces_of_videos_elsewhere_are_refused_aloud(
    memory: Any, tmp_path: Path, make_video: MakeVideo
) -> None:
    memory.pipe("/footage/a.mp4", make_video(tmp_path / "a.mp4", walk(30)).read_bytes())
    said: list[str] = []

    class Said(tasks.SilentProgress):
        def note(self, text: str) -> None:
            said.append(text)

    detect_distributed(
        ["memory://footage"],
        options(tmp_path / "out", write=("jsonl",)),
        ClusterOptions(on="here", piece_s=12.0),
        progress=Said(),
    )
    assert [text for text in said if "stay whole" in text]


def test_a_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(address: str) -> None:
        raise ImportError("Please install gcsfs to access Google Storage")

    monkeypatch.setattr(fsspec, "url_to_fs", missing)
    with pytest.raises(ConfigError, match="gcsfs") as caught:
        detect_distributed(["gs://bucket/a.mp4"], options(tmp_path), HERE)
    assert caught.value.hint == "pip install gcsfs"
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(ConfigError, match="fsspec is not installed") as caught:
        detect_distributed(["gs://bucket/a.mp4"], options(tmp_path), HERE)
    assert "lstmcli[remote]" in caught.value.hint


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    """An object store on the loopback."""
    pytest.importorskip("s3fs")
    pytest.importorskip("moto.server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ends = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            assert process.poll() is None
            assert time.monotonic() < ends
            time.sleep(0.1)
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(20)


@pytest.fixture
def bucket(store: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A bucket `footage` of an S3 store, and the file system that holds it."""
    for name, value in {
        "AWS_ENDPOINT_URL": store,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    system = fsspec.filesystem("s3")
    system.mkdir("footage")
    yield system
    system.rm("footage", recursive=True)
    fsspec.get_filesystem_class("s3").clear_instance_cache()


def test_an_object_store_holds_sources_and_outputs(
    bucket: Any, tmp_path: Path, make_video: MakeVideo
) -> None:
    """As on one machine, to the byte; it resumes by content, and leaves no unfinished name."""
    for name in ("a.mp4", "deep/b.mp4"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        bucket.put_file(str(make_video(path, walk(20))), f"footage/in/{name}")
    detect([str(tmp_path / "in")], options(tmp_path / "own"))
    made = detect_distributed(
        ["s3://footage/in"], options(Path()), HERE, out="s3://footage/results"
    )
    assert [len(done.outputs) for done in made.done] == [3, 3]
    names = sorted(name.removeprefix("footage/results/") for name in bucket.find("footage/results"))
    own = sorted(
        path.relative_to(tmp_path / "own").as_posix()
        for path in (tmp_path / "own").rglob("*")
        if path.is_file()
    )
    assert [name for name in names if not name.endswith(".done.json")] == own
    for name in own:
        assert bucket.cat(f"footage/results/{name}") == (tmp_path / "own" / name).read_bytes()
    again = options(Path(), skip_existing=True)
    make_video(tmp_path / "new.mp4", walk(31))
    bucket.put_file(str(tmp_path / "new.mp4"), "footage/in/a.mp4")
    report = detect_distributed(["s3://footage/in"], again, HERE, out="s3://footage/results")
    assert [done.frames for done in report.done] == [31]
    assert report.skipped == ("deep/b.mp4",)


def test_an_object_store_says_what_is_missing(
    bucket: Any, tmp_path: Path, make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = str(make_video(tmp_path / "a.mp4", walk(12)))
    with pytest.raises(MediaError, match="there is no such file"):
        detect_distributed(["s3://footage/none.mp4"], options(tmp_path / "out"), HERE)
    with pytest.raises(OutputError, match="there is no such bucket"):
        detect_distributed([source], options(Path()), HERE, out="s3://nobucket/x")
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(MediaError, match="credentials") as caught:
        detect_distributed(["s3://footage/a.mp4"], options(tmp_path / "out"), HERE)
    assert "AWS_PROFILE" in caught.value.hint
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    fsspec.get_filesystem_class("s3").clear_instance_cache()
