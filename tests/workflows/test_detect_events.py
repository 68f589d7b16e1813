"""`detect --events`: what happens in videos, as it happens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import MakeVideo, StreamServer
from test_detect import Eye, one, records, run

from lstmcli.core.errors import ConfigError, OutputError
from lstmcli.core.types import Detections, Picture


class Walker(Eye):
    """One object that walks from left to right through the upper half, 4 pixels a frame."""

    def __init__(self, floor: float) -> None:
        super().__init__(floor)
        self.count = 0

    def forward(self, canvas: Picture, time_s: float) -> Detections:
        left = 4.0 * self.count
        self.count += 1
        box = np.array([[left, 10, left + 12, 22]], np.float32)
        return Detections(box, np.array([0.9], np.float32), np.array([0]), np.array([-1]))


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "count.yaml"
    path.write_text(
        "lines: [{name: gate, from: [40, 60], to: [40, 0]}]\n"
        "zones: [{name: yard, points: [[50, 0], [70, 0], [70, 60], [50, 60]]}]\n",
        encoding="utf-8",
    )
    return path


def test_events_of_a_video_are_a_log(tmp_path: Path, make_video: MakeVideo, plan: Path) -> None:
    source, log = make_video(tmp_path / "a.mp4", 20), tmp_path / "events.jsonl"
    report = run(
        source, out=tmp_path / "out", track=True, count=plan, events=str(log),
        make_predictor=Walker,
    )  # fmt: skip
    one(report)
    assert report.notes == ()
    lines = records(log)
    assert [(line["event"], line.get("name"), line.get("direction")) for line in lines] == [
        ("appear", None, None),
        ("line", "gate", "in"),
        ("zone", "yard", "enter"),
        ("zone", "yard", "leave"),
        ("disappear", None, None),
    ]
    assert {line["track_id"] for line in lines} == {1}
    assert {(line["video"], line["class"]) for line in lines} == {("a.mp4", "bird")}
    assert (lines[0]["frame"], lines[-1]["frame"]) == (0, 19)
    assert lines[-1]["visible_s"] == pytest.approx(19 / 25)
    assert "clock" not in lines[0]


def test_the_events_of_several_videos_share_a_log(tmp_path: Path, make_video: MakeVideo) -> None:
    sources = [make_video(tmp_path / f"{name}.mp4", 12) for name in "abc"]
    log = tmp_path / "events.jsonl"
    run(*sources, out=tmp_path / "out", track=True, events=str(log), jobs=3, make_predictor=Walker)
    lines = records(log)
    assert sorted((line["video"], line["event"]) for line in lines) == [
        (f"{name}.mp4", event) for name in "abc" for event in ("appear", "disappear")
    ]


def test_a_live_source_logs_the_time_of_day(tmp_path: Path, make_video: MakeVideo) -> None:
    server = StreamServer(make_video(tmp_path / "a.ts", 30).read_bytes(), pause_s=0.01)
    log = tmp_path / "events.jsonl"
    try:
        run(
            server.address, out=tmp_path / "out", track=True, events=str(log), patience_s=0.3,
            make_predictor=Walker,
        )  # fmt: skip
    finally:
        server.close()
    lines = records(log)
    assert [line["event"] for line in lines][:1] == ["appear"]
    assert all(str(line["clock"]).endswith("+00:00") for line in lines)


def test_a_log_that_exists_is_kept(tmp_path: Path, make_video: MakeVideo) -> None:
    source, log = make_video(tmp_path / "a.mp4", 8), tmp_path / "events.jsonl"
    log.write_text("mine\n", encoding="utf-8")
    with pytest.raises(OutputError, match="exists"):
        run(source, out=tmp_path / "out", track=True, events=str(log))
    assert log.read_text(encoding="utf-8") == "mine\n"


def test_a_dead_webhook_costs_events_and_no_video(
    tmp_path: Path, make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lstmcli.outputs.event_delivery.PAUSES_S", ())
    source = make_video(tmp_path / "a.mp4", 12)
    report = run(
        source, out=tmp_path / "out", track=True, events="http://127.0.0.1:9/x",
        make_predictor=Walker,
    )  # fmt: skip
    assert one(report).frames == 12
    (note,) = report.notes
    assert note.startswith("2 of 2 events were not delivered to http://127.0.0.1:9/x")


def test_events_need_tracks(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--events needs tracks"):
        run(tmp_path / "a.mp4", events="x.jsonl", track=False)
