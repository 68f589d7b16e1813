"""When frames are shown: orders, rates, jumps and cuts that containers state badly."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import av
import pytest
from conftest import MakeVideo, grey_level

from lstmcli.video import ReadReport, probe, read_frames

B_FRAMES = {"bf": "2", "preset": "medium", "x264-params": "b-adapt=0:scenecut=0:keyint=12"}


def read(path: Path, **options: object) -> tuple[list[float], list[int], ReadReport]:
    report = ReadReport()
    frames = list(read_frames(path, report=report, **options))  # type: ignore[arg-type]
    greys = [round(float(frame.rgb().mean())) for frame in frames]
    return [frame.time_s for frame in frames], greys, report


def assert_shown_in_order(greys: list[int]) -> None:
    assert all(abs(grey - grey_level(i)) <= 15 for i, grey in enumerate(greys)), greys


@pytest.mark.parametrize(
    ("name", "codec"), [("a.avi", "libx264"), ("a.asf", "libx264"), ("a.avi", "mpeg4")]
)
def test_b_frames_in_containers_without_presentation_times_are_evenly_spaced(
    name: str, codec: str, tmp_path: Path, make_video: MakeVideo
) -> None:
    options = B_FRAMES if codec == "libx264" else {"bf": "2", "qscale": "2"}
    path = make_video(tmp_path / name, 30, codec=codec, options=options)
    times, greys, report = read(path)
    assert times == pytest.approx([i / 25 for i in range(30)], abs=2e-3)
    assert_shown_in_order(greys)
    assert report.sentences() == []


@pytest.mark.parametrize(("name", "codec"), [("a.h264", "libx264"), ("a.hevc", "libx265")])
def test_an_elementary_stream_has_the_rate_of_its_headers(
    name: str, codec: str, tmp_path: Path, make_video: MakeVideo
) -> None:
    options = (
        {"x265-params": "log-level=none"} if codec == "libx265" else {"x264-params": "force-cfr=1"}
    )
    path = make_video(tmp_path / name, 12, rate=50, codec=codec, options=options)
    times, _, report = read(path)
    assert times == pytest.approx([i / 50 for i in range(12)])
    assert probe(path).rate == 50
    assert report.sentences() == []


def test_a_rate_that_nothing_tells_is_assumed_and_told(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    path = make_video(tmp_path / "a.mjpeg", 6, rate=10, codec="mjpeg", pix_fmt="yuvj420p")
    times, _, report = read(path)
    assert times == pytest.approx([i / 25 for i in range(6)])
    assert "--image-rate" in report.sentences()[0]
    times, _, report = read(path, rate=10.0)
    assert times == pytest.approx([i / 10 for i in range(6)])
    assert report.sentences() == []


def cut_without_coding(source_path: Path, path: Path, begin_s: float) -> Path:
    """Copy packets from the key frame before a time on; an edit list hides what lies between."""
    with av.open(str(source_path)) as source, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        packets = [packet for packet in source.demux(video=0) if packet.size]
        keys = [i for i, packet in enumerate(packets) if packet.is_keyframe]
        first = max(i for i in keys if float(packets[i].pts * packets[i].time_base) <= begin_s)
        for packet in packets[first:]:
            shift = round(begin_s / packet.time_base)
            packet.pts -= shift
            packet.dts = None if packet.dts is None else packet.dts - shift
            packet.stream = stream
            out.mux(packet)
    return path


@pytest.mark.parametrize("is_open", [False, True])
@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_a_cut_without_coding_is_no_damage(
    ending: str, is_open: bool, tmp_path: Path, make_video: MakeVideo
) -> None:
    options = dict(B_FRAMES)
    options["x264-params"] += ":open-gop=1" if is_open else ""
    whole = make_video(tmp_path / f"whole.{ending}", 60, options=options)
    cut = cut_without_coding(whole, tmp_path / f"cut.{ending}", 0.72)
    times, _, report = read(cut)
    assert report.sentences() == []
    assert times[0] == pytest.approx(0.0, abs=0.05)
    assert len(times) >= 40


def test_a_jump_of_hours_is_told(tmp_path: Path, make_video: MakeVideo) -> None:
    times = [0.0, 0.04, 0.08, 7200.0, 7200.04]
    found, _, report = read(make_video(tmp_path / "a.mkv", 5, times=times))
    assert found == pytest.approx(times, abs=1e-3)
    assert "jumps ahead by 2:00:00 at frame 3" in report.sentences()[0]


def test_a_clock_that_begins_anew_is_told(tmp_path: Path, make_video: MakeVideo) -> None:
    first = make_video(tmp_path / "a.ts", 50, options=B_FRAMES)
    both = tmp_path / "both.ts"
    both.write_bytes(first.read_bytes() * 2)
    times, greys, report = read(both)
    assert len(times) == 100
    assert_shown_in_order(greys[:50])
    assert [round(b - a, 3) for a, b in pairwise(times)] == [0.04] * 99
    assert report.broken == 0
    assert "the clock jumps back by 2.0 s at frame 50" in report.sentences()[0]
