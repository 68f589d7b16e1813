"""Videos and pieces of videos as tasks: the same outputs as one process gives."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import MakeVideo

from lstmcli.core.errors import ConfigError, MediaError, OutputError
from lstmcli.core.metadata import ModelMetadata
from lstmcli.core.types import Picture
from lstmcli.video.key_frames import key_frame_times
from lstmcli.workflows.detect import DetectOptions, DetectReport, detect
from lstmcli.workflows.distribute import ClusterOptions, detect_distributed, tasks
from lstmcli.workflows.distribute.pieces import Piece, cut, join
from lstmcli.workflows.distribute.remote_folder import RemoteFolder

HERE = ClusterOptions(on="here")


class Seeing:
    """Detects the brightest square of the canvas: 16 pixels wide, anywhere."""

    metadata, engine, device = ModelMetadata(("bird", "drone"), (64, 96)), "torch", "cpu"

    def step(self, frame: Picture, previous_frame: Picture, state: Any) -> Any:
        bright = np.argwhere(frame[..., 0] > 150)
        boxes = np.zeros((0, 4), np.float32)
        if len(bright):
            (y1, x1), (y2, x2) = bright.min(axis=0), bright.max(axis=0) + 1
            boxes = np.array([[x1, y1, x2, y2]], np.float32)
        scores = np.full((len(boxes), 2), (0.9, 0.0), np.float32)
        return boxes, scores.reshape(-1, 2), state


def load_seeing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every model be one that sees what is bright, also in tasks."""
    loaded = lambda *args, **options: Seeing()  # noqa: E731
    monkeypatch.setattr("lstmcli.inference.runtime_pool.load_runtime", loaded)
    monkeypatch.setattr("lstmcli.inference.loading.load_runtime", loaded)
    tasks._runtimes.cache_clear()


@pytest.fixture(autouse=True)
def _network(monkeypatch: pytest.MonkeyPatch) -> None:
    load_seeing(monkeypatch)


def walk(frames: int, *, gap: range = range(0)) -> Iterator[np.ndarray]:
    """A square that walks to and fro over grey; it is hidden in the gap."""
    for frame in range(frames):
        picture = np.full((64, 96, 3), 60, np.uint8)
        left = abs((frame * 2) % 160 - 80)
        if frame not in gap:
            picture[24:40, left : left + 16] = 220
        yield picture


def options(out: Path, **more: Any) -> DetectOptions:
    return DetectOptions(**{"model": "sky", "out": out, "write": ("video", "jsonl", "csv")} | more)


def both(
    sources: list[Path], tmp_path: Path, cluster: ClusterOptions = HERE, **more: Any
) -> tuple[DetectReport, DetectReport]:
    texts = [str(source) for source in sources]
    return (
        detect(texts, options(tmp_path / "one", **more)),
        detect_distributed(texts, options(tmp_path / "many", **more), cluster),
    )


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }


def test_tasks_write_what_one_process_writes(tmp_path: Path, make_video: MakeVideo) -> None:
    folder = tmp_path / "footage" / "deep"
    folder.mkdir(parents=True)
    for number in range(3):
        make_video(folder / f"{number}.mp4", walk(20 + number))
    one, many = both([tmp_path / "footage"], tmp_path)
    assert files(tmp_path / "one") == files(tmp_path / "many")
    assert len(files(tmp_path / "many")) == 9
    assert [done.frames for done in many.done] == [done.frames for done in one.done]
    assert not [path for path in (tmp_path / "many").rglob("*") if "partial" in path.name]


def test_a_video_that_fails_fails_alone(tmp_path: Path, make_video: MakeVideo) -> None:
    good, bad = make_video(tmp_path / "a.mp4", walk(12)), tmp_path / "b.mp4"
    bad.write_bytes(b"nothing")
    report = detect_distributed([str(bad), str(good)], options(tmp_path / "out"), HERE)
    assert [failed.name for failed in report.failed] == ["b.mp4"]
    assert [done.name for done in report.done] == ["a.mp4"]


def test_work_resumes_by_content(tmp_path: Path, make_video: MakeVideo) -> None:
    for number in range(3):
        make_video(tmp_path / f"{number}.mp4", walk(12 + number))
    texts, out = [str(tmp_path / f"{n}.mp4") for n in range(3)], tmp_path / "out"
    detect_distributed(texts, options(out), HERE)
    with pytest.raises(OutputError, match="exists"):
        detect_distributed(texts, options(out), HERE)
    again = options(out, skip_existing=True)
    assert len(detect_distributed(texts, again, HERE).skipped) == 3
    make_video(tmp_path / "1.mp4", walk(30))  # another video of the same name
    report = detect_distributed(texts, again, HERE)
    assert [done.name for done in report.done] == ["1.mp4"]
    assert report.done[0].frames == 30
    other = options(out, skip_existing=True, threshold=0.5)  # other settings
    assert len(detect_distributed(texts, other, HERE).done) == 3


def test_one_machine_resumes_what_tasks_did(tmp_path: Path, make_video: MakeVideo) -> None:
    source, out = make_video(tmp_path / "a.mp4", walk(12)), tmp_path / "out"
    detect_distributed([str(source)], options(out, device="cpu", engine="torch"), HERE)
    report = detect([str(source)], options(out, skip_existing=True))
    assert report.skipped == ("a.mp4",)


def test_pieces_are_joined_to_the_uncut_result(tmp_path: Path, make_video: MakeVideo) -> None:
    """Boxes, ids and counts agree over seams; state and tracks are warm there."""
    source = make_video(tmp_path / "long.mp4", walk(1000), options={"g": "25", "sc_threshold": "0"})
    plan = tmp_path / "count.yaml"
    plan.write_text("lines: [{name: mid, from: [0.5, 1], to: [0.5, 0]}]", encoding="utf-8")
    cluster = ClusterOptions(on="here", piece_s=12.0)
    log = tmp_path / "many.jsonl"
    uncut = detect(
        [str(source)], options(tmp_path / "one", count=plan, events=str(tmp_path / "one.jsonl"))
    )
    joined = detect_distributed(
        [str(source)], options(tmp_path / "many", count=plan, events=str(log)), cluster
    )
    assert files(tmp_path / "one") == files(tmp_path / "many")
    assert log.read_bytes() == (tmp_path / "one.jsonl").read_bytes()
    assert joined.done[0].counts == uncut.done[0].counts
    assert joined.done[0].frames == 1000
    assert not list((tmp_path / "many").glob(".*pieces"))


def test_a_track_that_is_hidden_at_a_seam_gets_a_new_id(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    source = make_video(
        tmp_path / "long.mp4",
        walk(600, gap=range(250, 400)),
        options={"g": "25", "sc_threshold": "0"},
    )
    detect_distributed(
        [str(source)],
        options(tmp_path / "out", write=("jsonl",)),
        ClusterOptions(on="here", piece_s=12.0),
    )
    lines = (tmp_path / "out" / "long.detections.jsonl").read_text(encoding="utf-8").splitlines()
    ids = [{one["track_id"] for one in json.loads(line)["detections"]} for line in lines]
    assert set.union(*ids[:250]) == {1}
    assert set.union(*ids[400:]) == {2}


def test_videos_are_cut_before_key_frames() -> None:
    keys = [float(second) for second in range(0, 100, 3)]
    pieces = cut(100.0, keys, 30.0)
    assert [round(piece.begins_s) for piece in pieces] == [0, 30, 60]
    assert all(a.ends_s == b.begins_s for a, b in pairwise(pieces))
    assert pieces[-1].ends_s is None
    for key in keys:
        assert sum(piece.owns(key) for piece in pieces) == 1
    assert pieces[0].reads_from_s is None
    assert cut(100.0, [0.0], 30.0) == [Piece(0.0, None)]


def test_key_frames_are_found_without_decoding(tmp_path: Path, make_video: MakeVideo) -> None:
    source = make_video(tmp_path / "a.mp4", 50, options={"g": "10", "sc_threshold": "0"})
    np.testing.assert_allclose(key_frame_times(source), np.arange(0, 50, 10) / 25, atol=1e-6)
    assert key_frame_times(make_video(tmp_path / "a.avi", 50)) == []


def record(frame: int, rows: list[tuple[int, float]]) -> dict[str, Any]:
    return {
        "frame": frame,
        "time": float(frame),
        "detections": [
            {"box": [x, 0, x + 10, 10], "score": 0.5, "class_id": 0, "track_id": track}
            for track, x in rows
        ],
    }


def write(path: Path, records: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in records), encoding="utf-8")
    return path


def test_tracks_are_joined_one_to_one(tmp_path: Path) -> None:
    """Two objects side by side; the later piece numbers them the other way round."""
    first = write(tmp_path / "0", [record(f, [(1, 0.0), (4, 4.0)]) for f in range(12)])
    rows = [record(f, [(1, 4.0), (2, 0.0), *([(9, 50.0)] if f > 11 else [])]) for f in range(5, 20)]
    second = write(tmp_path / "1", rows)
    pieces = [(Piece(0.0, 10.0), first), (Piece(10.0, None), second)]
    joined = list(join(pieces, origin_s=0.0))
    assert [number for number, _ in joined] == list(range(20))
    for number, found in joined:
        ids = dict(zip(found.boxes[:, 0].tolist(), found.track_ids.tolist(), strict=True))
        assert (ids[0.0], ids[4.0]) == (1, 4), number
        assert ids.get(50.0, 5) == 5


def test_sources_and_outputs_may_lie_elsewhere(tmp_path: Path, make_video: MakeVideo) -> None:
    fsspec = pytest.importorskip("fsspec")
    system = fsspec.filesystem("memory")
    for name in ("a.mp4", "deep/b.mkv", "notes.txt"):
        source = make_video(tmp_path / "x.mp4", walk(12))
        system.pipe(f"/footage/{name}", source.read_bytes())
    made = detect_distributed(["memory://footage"], options(Path()), HERE, out="memory://results")
    assert not made.failed
    found = sorted(system.find("/results"))
    assert found == sorted(
        f"/results/{name}"
        for stem in ("a", "deep/b")
        for name in (
            f"{stem}.annotated.mp4", f"{stem}.detections.jsonl", f"{stem}.detections.csv",
            f"{'deep/' if '/' in stem else ''}.{stem.split('/')[-1]}.done.json",
        )
    )  # fmt: skip
    detect([str(tmp_path / "x.mp4")], options(tmp_path / "one"))
    own = (tmp_path / "one" / "x.annotated.mp4").read_bytes()
    assert system.cat("/results/a.annotated.mp4") == own
    again = options(Path(), skip_existing=True)
    assert len(
        detect_distributed(["memory://footage"], again, HERE, out="memory://results").skipped
    ) == 2  # fmt: skip
    system.pipe("/footage/a.mp4", make_video(tmp_path / "y.mp4", walk(15)).read_bytes())
    report = detect_distributed(["memory://footage"], again, HERE, out="memory://results")
    assert [done.frames for done in report.done] == [15]
    system.rm("/footage", recursive=True)
    system.rm("/results", recursive=True)


def test_a_record_that_may_not_be_read_is_not_taken_for_missing_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fsspec = pytest.importorskip("fsspec")
    system = fsspec.filesystem("memory")
    assert RemoteFolder("memory://records").record("a") is None
    system.pipe("/records/.a.done.json", b"[")
    assert RemoteFolder("memory://records").record("a") is None
    system.pipe("/records/.a.done.json", b'{"source": "1"}')
    assert RemoteFolder("memory://records").record("a") == {"source": "1"}

    def refuse(*_: object) -> bytes:
        raise PermissionError("403 Forbidden")

    monkeypatch.setattr(type(system), "cat_file", refuse)
    with pytest.raises(OutputError, match="403 Forbidden"):
        RemoteFolder("memory://records").record("a")
    monkeypatch.undo()
    system.rm("/records", recursive=True)


def test_a_listing_cannot_name_outputs_outside_of_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsspec = pytest.importorskip("fsspec")
    system = fsspec.filesystem("memory")
    system.pipe("/footage/a.mp4", b"")
    listed = {"/footage/../../evil.mp4": {"size": 1, "type": "file"}}
    monkeypatch.setattr(type(system), "find", lambda *_, **__: listed)
    with pytest.raises(MediaError, match=r"a file outside of itself \(.*evil\.mp4"):
        detect_distributed(["memory://footage"], options(tmp_path / "out"), HERE)
    monkeypatch.undo()
    system.rm("/footage", recursive=True)
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    with pytest.raises(MediaError, match="memory://none"):
        detect_distributed(["memory://none"], options(tmp_path), HERE)
    with pytest.raises(MediaError, match="cannot be tasks"):
        detect_distributed(["camera:0"], options(tmp_path), HERE)
    with pytest.raises(ConfigError, match="place to run"):
        detect_distributed(["a.mp4"], options(tmp_path), ClusterOptions(on="moon"))
    with pytest.raises(ConfigError, match="--piece"):
        ClusterOptions(piece_s=1.0)
