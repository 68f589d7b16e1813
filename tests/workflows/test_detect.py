"""`detect` from end to end with a stand-in for the network: what goes in, what comes out."""

from __future__ import annotations

import csv
import json
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest
from conftest import MakeVideo, grey_level

from lstmcli.core.boxes import Letterbox
from lstmcli.core.errors import ConfigError, LstmcliError, MediaError, ModelError, OutputError
from lstmcli.core.types import Detections, Picture
from lstmcli.outputs import WRITERS
from lstmcli.video import probe, read_frames
from lstmcli.workflows.detect import (
    DetectOptions,
    Detector,
    DetectReport,
    VideoDone,
    choose_model,
    detect,
)
from lstmcli.workflows.schedule import InferenceSchedule


class Eye:
    """Outputs one fixed box whose score is the brightness of the canvas."""

    classes = ("bird", "drone")
    canvas_hw = (64, 96)

    def __init__(self, floor: float) -> None:
        self.floor = floor
        self.layout = Letterbox((64, 96), self.canvas_hw)
        self.starts = 0

    def letterbox(self, size_hw: tuple[int, int]) -> Letterbox:
        return Letterbox(size_hw, self.canvas_hw)

    def start(self, size_hw: tuple[int, int]) -> Letterbox:
        self.layout = self.letterbox(size_hw)
        self.starts += 1
        return self.layout

    def postprocess(self, raw: Detections) -> Detections:
        return raw

    def forward(self, canvas: Picture, time_s: float) -> Detections:
        top, left = self.layout.offset_yx
        height, width = self.layout.inner_hw
        inner = canvas[top : top + height, left : left + width]
        score = 0.5 + float(inner.mean()) / 512
        box = np.array([[left + 0.25 * width, top + 0.25 * height,
                         left + 0.75 * width, top + 0.75 * height]], np.float32)  # fmt: skip
        return Detections(
            self.layout.to_source(box),
            np.array([score], np.float32),
            np.array([1]),
            np.array([-1]),
        )


def run(*sources: Path | str, **options: object) -> DetectReport:
    settings: dict[str, Any] = {"write": ("jsonl",), "track": False} | options
    make_predictor = settings.pop("make_predictor", Eye)
    progress = settings.pop("progress", None)
    return detect(
        [str(source) for source in sources],
        DetectOptions(**settings),
        make_predictor=make_predictor,
        progress=progress,
    )


def one(report: DetectReport) -> VideoDone:
    assert not report.failed
    (done,) = report.done
    return done


def records(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def levels(lines: list[dict[str, object]]) -> list[int]:
    """The brightness that the network saw, from the scores."""
    return [round((line["detections"][0]["score"] - 0.5) * 512) for line in lines]


def assert_in_order(lines: list[dict[str, object]], count: int, *, every: int = 1) -> None:
    frames = list(range(0, count, every))
    assert [line["frame"] for line in lines] == frames
    expected = [grey_level(frame) for frame in frames]
    assert np.abs(np.subtract(levels(lines), expected)).max() <= 5


UNEVEN = [0.0, 0.04, 0.1, 0.5, 0.51, 0.6, 0.9, 2.0]
TABLE: dict[str, dict[str, object]] = {
    "plain.mp4": {},
    "sound.mp4": {"frames": 50, "sound": "aac"},
    "raw_sound.mov": {"frames": 50, "sound": "pcm_s16le"},
    "opus.webm": {"frames": 50, "sound": "libopus"},
    "broadcast.ts": {"frames": 50, "sound": "mp2"},
    "uneven.mp4": {"times": UNEVEN},
    "turned.mp4": {"turn": 90},
    "upside_down.mp4": {"turn": 180},
    "ten_bit.mkv": {"pix_fmt": "yuv420p10le"},
    "444.mp4": {"pix_fmt": "yuv444p"},
    "grey.mkv": {"pix_fmt": "gray", "codec": "ffv1"},
    "full_range.mp4": {"full_range": True},
    "interlaced.mp4": {"interlaced": True},
    "old.avi": {"codec": "mpeg4", "options": {"qscale": "2"}},
    "palette.gif": {"codec": "gif", "pix_fmt": "rgb8"},
    "odd.mp4": {"size_hw": (63, 97), "pix_fmt": "yuv444p"},
    "slow.mp4": {"rate": 5},
    "ntsc.mp4": {"rate": 29.97},
}


@pytest.mark.parametrize("name", TABLE)
def test_every_source_gives_a_video_with_its_frames_times_sound_and_sides(
    name: str, tmp_path: Path, make_video: MakeVideo
) -> None:
    """The table of issue 5: sources by properties."""
    source = make_video(tmp_path / name, **TABLE[name])
    before = probe(source)
    done = one(run(source, out=tmp_path / "out", write=("video", "jsonl")))
    video, lines = done.outputs
    assert video.name == f"{source.stem}.annotated.mp4"
    came, went = list(read_frames(source)), list(read_frames(video))
    assert len(went) == len(came) == done.frames
    begins = before.begins_s
    assert [frame.time_s for frame in went] == pytest.approx(
        [frame.time_s - begins for frame in came], abs=2e-3
    )
    height, width = before.size_hw
    after = probe(video)
    assert after.size_hw == (height + height % 2, width + width % 2)
    assert after.rotation == 0
    assert after.duration_s == pytest.approx(before.duration_s, abs=0.1)
    assert after.has_audio == before.has_audio == ("sound" in TABLE[name])
    with av.open(str(video)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        if before.has_audio:
            sound = container.streams.audio[0]
            samples = sum(frame.samples for frame in container.decode(sound))
            assert samples / sound.codec_context.sample_rate == pytest.approx(2.0, abs=0.1)
    written = records(lines)
    assert_in_order(written, len(came))
    assert [line["time"] for line in written] == pytest.approx([f.time_s for f in came], abs=1e-6)
    box = written[0]["detections"][0]["box"]
    assert box == pytest.approx([0.25 * width, 0.25 * height, 0.75 * width, 0.75 * height], abs=1)


def test_all_writers_together_leave_complete_outputs_and_nothing_else(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    source = make_video(tmp_path / "a.mp4", 12)
    done = one(run(source, out=tmp_path / "out", write=tuple(WRITERS), track=True))
    expected = sorted(f"a{kind.suffix}" for kind in WRITERS.values())
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == expected
    assert (done.frames, done.detections, done.objects) == (12, 12, 1)


def test_start_end_and_every_choose_frames_that_keep_number_and_time(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    source = make_video(tmp_path / "a.mp4", 100, sound="aac")
    options = {"start_s": 1.0, "end_s": 3.0, "every": 5, "write": ("video", "jsonl")}
    video, lines = one(run(source, out=tmp_path / "out", **options)).outputs
    assert [line["frame"] for line in records(lines)] == list(range(25, 75, 5))
    times = [frame.time_s for frame in read_frames(video)]
    assert times == pytest.approx([0.2 * i for i in range(10)], abs=1e-3)
    info = probe(video)
    assert info.duration_s == pytest.approx(2.0, abs=0.02)
    with av.open(str(video)) as container:
        sound = container.streams.audio[0]
        length = sum(f.samples for f in container.decode(sound)) / 48000
    assert length == pytest.approx(2.0, abs=0.1)


def test_fill_outputs_frames_without_inference_with_interpolated_boxes(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    source = make_video(tmp_path / "a.mp4", 31, sound="aac")
    options = {"every": 3, "interpolate": True, "track": True, "write": ("video", "jsonl")}
    video, lines = one(run(source, out=tmp_path / "out", **options)).outputs
    written = records(lines)
    assert [line["frame"] for line in written] == list(range(31))
    assert [len(line["detections"]) for line in written] == [1] * 31
    assert {line["detections"][0]["track_id"] for line in written} == {1}
    inferences = [round((line["detections"][0]["score"] - 0.5) * 512) for line in written[::3]]
    times = [frame.time_s for frame in read_frames(video)]
    assert times == pytest.approx([frame.time_s for frame in read_frames(source)], abs=1e-3)
    assert len(set(inferences)) > 5  # each inference has its own frame
    assert probe(video).duration_s == pytest.approx(probe(source).duration_s, abs=0.1)


@pytest.mark.parametrize(
    ("times", "inferences"),
    [
        (np.arange(60) / 60, 15),
        (np.arange(50) / 50, 17),
        (np.arange(30) / 30, 15),
        (np.arange(30) * 1001 / 30000, 15),
        (np.round(np.arange(90) / 30, 3), 45),
        (np.arange(28) / 28, 28),
        (np.arange(25) / 25, 25),
        (np.arange(10) / 10, 10),
        (np.arange(100) / 1000, 7),  # never more than 15 frames from one look to the next
        (np.concatenate((np.arange(30) / 30, 1 + np.arange(10) / 10)), 25),  # slower at the end
        (np.concatenate((np.arange(30) / 30, np.arange(30) / 30)), 30),  # the clock begins anew
    ],
)
def test_by_default_the_network_runs_fifteen_times_a_second(
    times: npt.NDArray[np.float64], inferences: int
) -> None:
    schedule = InferenceSchedule(None)
    should_run = [schedule.should_run(float(time_s)) for time_s in times]
    assert should_run[0]
    assert sum(should_run) == schedule.inferences == inferences
    assert schedule.frames == len(times)


@pytest.mark.parametrize(
    ("options", "inferences"),
    [({}, 16), ({"every": 1}, 32), ({"track": False}, 32), ({"every": 5, "interpolate": True}, 7)],
)
def test_a_file_of_thirty_frames_a_second_has_detections_at_every_frame(
    options: dict[str, object], inferences: int, tmp_path: Path, make_video: MakeVideo
) -> None:
    source = make_video(tmp_path / "a.mp4", 32, rate=30)  # no inference at the last frame
    done = one(run(source, out=tmp_path / "out", **{"track": True, "write": ("jsonl",), **options}))
    assert (done.frames, done.inferences) == (32, inferences)
    (lines,) = done.outputs
    written = records(lines)
    assert [line["frame"] for line in written] == list(range(32))
    assert [len(line["detections"]) for line in written] == [1] * 32


def test_filling_needs_tracks(tmp_path: Path, make_video: MakeVideo) -> None:
    with pytest.raises(ConfigError, match="--fill needs tracks"):
        run(make_video(tmp_path / "a.mp4"), every=2, interpolate=True, track=False)


def test_filling_holds_a_few_frames_only(tmp_path: Path, make_video: MakeVideo) -> None:
    with pytest.raises(ConfigError, match="--every 500") as caught:
        run(make_video(tmp_path / "a.mp4"), every=500, interpolate=True, track=True)
    assert "15th" in caught.value.hint


def test_only_the_chosen_classes_are_written(tmp_path: Path, make_video: MakeVideo) -> None:
    source = make_video(tmp_path / "a.mp4")
    assert one(run(source, out=tmp_path / "1", classes=("drone",))).detections == 8
    assert one(run(source, out=tmp_path / "2", classes=("bird",))).detections == 0
    with pytest.raises(ConfigError, match="no class 'brid'") as caught:
        run(source, out=tmp_path / "3", classes=("brid",))
    assert "bird" in caught.value.hint


@pytest.mark.parametrize(
    "options",
    [
        {"threshold": 0.0},
        {"threshold": 1.5},
        {"every": 0},
        {"quality": 60},
        {"jobs": 0},
        {"start_s": -1.0},
        {"start_s": 3.0, "end_s": 2.0},
        {"write": ("vidio",)},
        {"codec": "h265"},
    ],
)
def test_options_that_do_not_fit_are_errors_before_anything_is_written(
    options: dict[str, object], tmp_path: Path, make_video: MakeVideo
) -> None:
    source = make_video(tmp_path / "a.mp4")
    with pytest.raises(LstmcliError) as caught:
        run(source, out=tmp_path / "out", **{"write": ("video",)} | options)
    assert caught.value.hint
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_counting_needs_tracks(tmp_path: Path, make_video: MakeVideo) -> None:
    with pytest.raises(ConfigError, match="tracks"):
        run(make_video(tmp_path / "a.mp4"), count=tmp_path / "count.yaml")


def test_existing_outputs_are_kept_without_overwrite(tmp_path: Path, make_video: MakeVideo) -> None:
    source, out = make_video(tmp_path / "a.mp4"), tmp_path / "out"
    run(source, out=out)
    with pytest.raises(OutputError, match="exists") as caught:
        run(source, out=out)
    assert "--overwrite" in caught.value.hint
    assert one(run(source, out=out, overwrite=True)).frames == 8
    report = run(source, out=out, skip_existing=True)
    assert (report.skipped, report.done) == (("a.mp4",), ())


def test_a_failed_file_does_not_stop_the_others(tmp_path: Path, make_video: MakeVideo) -> None:
    folder = tmp_path / "footage"
    (folder / "deep").mkdir(parents=True)
    make_video(folder / "a.mp4")
    (folder / "b.mp4").write_bytes(b"no video")
    make_video(folder / "deep" / "c.mp4")
    make_video(folder / "a.annotated.mp4")
    for jobs in (1, 3):
        report = run(folder, out=tmp_path / f"out{jobs}", jobs=jobs)
        assert [done.name for done in report.done] == ["a.mp4", str(Path("deep") / "c.mp4")]
        assert [(failed.name, "damaged" in failed.problem) for failed in report.failed] == [
            ("b.mp4", True)
        ]
        assert (tmp_path / f"out{jobs}" / "deep" / "c.detections.jsonl").is_file()
        for done in report.done:
            assert_in_order(records(done.outputs[0]), 8)


class Stumbling(Eye):
    """A network that fails in a way that nobody foresaw, in the largest of the videos."""

    error: Exception

    def start(self, size_hw: tuple[int, int]) -> Letterbox:
        if size_hw == (128, 192):
            raise self.error
        return super().start(size_hw)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(28, "No space left on device"), "b.mp4: no space left"),
        (MemoryError(), "b.mp4: out of memory"),
        (
            ValueError("odd"),
            "b.mp4: internal error (please report): ValueError: odd (test_detect.py",
        ),
    ],
)
def test_an_unexpected_failure_does_not_stop_the_others(
    error: Exception, words: str, tmp_path: Path, make_video: MakeVideo
) -> None:
    for name, size_hw in (("a", (64, 96)), ("b", (128, 192)), ("c", (64, 96))):
        make_video(tmp_path / f"{name}.mp4", size_hw=size_hw)
    network = type("Network", (Stumbling,), {"error": error})
    report = run(tmp_path / "?.mp4", out=tmp_path / "out", make_predictor=network)
    assert [done.name for done in report.done] == ["a.mp4", "c.mp4"]
    (failed,) = report.failed
    assert failed.name == "b.mp4"
    assert failed.problem.startswith(words)
    assert failed.hint


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere all names are Unicode")
def test_a_name_that_is_no_utf8_is_written_with_a_replacement(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    source = make_video(tmp_path / "plain.mp4").rename(tmp_path / "caf\udce9.mp4")
    done = one(run(source, out=tmp_path / "out", write=("video", "jsonl", "csv")))
    assert done.name == "caf\ufffd.mp4"
    assert records(done.outputs[1])[0]["video"] == done.name


def test_a_source_is_never_overwritten_by_an_output(tmp_path: Path, make_video: MakeVideo) -> None:
    sources = [make_video(tmp_path / name) for name in ("a.mp4", "a.annotated.mp4")]
    before = sources[1].read_bytes()
    with pytest.raises(OutputError, match="has the name of a source"):
        run(*sources, out=tmp_path, write=("video",), overwrite=True)
    assert sources[1].read_bytes() == before


def test_a_stopped_batch_continues(tmp_path: Path, make_video: MakeVideo) -> None:
    folder, out = tmp_path / "footage", tmp_path / "out"
    folder.mkdir()
    for name in "abc":
        make_video(folder / f"{name}.mp4")
    run(folder / "a.mp4", out=out)
    (out / "b.detections.partial.jsonl").write_text("{", encoding="utf-8")
    report = run(folder, out=out, skip_existing=True, jobs=2)
    assert report.skipped == ("a.mp4",)
    assert [done.name for done in report.done] == ["b.mp4", "c.mp4"]
    shown = sorted(p.name for p in out.iterdir() if not p.name.startswith("."))
    assert shown == [f"{n}.detections.jsonl" for n in "abc"]


def test_another_video_of_the_same_name_is_not_skipped(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    for folder, size_hw in (("a", (64, 96)), ("b", (32, 48))):
        (tmp_path / folder).mkdir()
        make_video(tmp_path / folder / "clip.mp4", size_hw=size_hw)
    out = tmp_path / "out"
    run(tmp_path / "a" / "clip.mp4", out=out, write=("video", "jsonl"))
    again = run(tmp_path / "a" / "clip.mp4", out=out, write=("video", "jsonl"), skip_existing=True)
    assert again.skipped == ("clip.mp4",)
    other = run(tmp_path / "b" / "clip.mp4", out=out, write=("video", "jsonl"), skip_existing=True)
    assert other.skipped == ()


def test_odd_sides_are_reported(tmp_path: Path, make_video: MakeVideo) -> None:
    path = make_video(tmp_path / "odd.mp4", size_hw=(63, 97), pix_fmt="yuv444p")
    (done,) = run(path, out=tmp_path / "out", write=("video",)).done
    assert any("97x63 has odd sides" in note and "98x64" in note for note in done.notes)


def test_two_sources_of_one_name_have_outputs_of_two_names(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    (tmp_path / "x").mkdir()
    sources = [make_video(tmp_path / name) for name in ("a.mp4", "a.mkv", "x/a.mkv")]
    report = run(*sources, out=tmp_path / "out")
    assert len({done.outputs[0] for done in report.done}) == 3


def test_the_only_source_that_fails_is_the_error(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video")
    with pytest.raises(MediaError, match=r"a\.mp4"):
        run(tmp_path / "a.mp4", out=tmp_path / "out")
    with pytest.raises(MediaError, match="no such file"):
        run(tmp_path / "absent.mp4")
    (tmp_path / "empty").mkdir()
    with pytest.raises(MediaError, match="no videos and no images"):
        run(tmp_path / "empty")


def test_rows_of_images_are_videos(tmp_path: Path) -> None:
    from PIL import Image

    for i in range(12):
        Image.new("RGB", (96, 64), (grey_level(i),) * 3).save(tmp_path / f"shot{i}.png")
    for which in (tmp_path, tmp_path / "shot*.png", tmp_path / "shot%d.png"):
        done = one(
            run(
                which, out=tmp_path / "out", image_rate=10, overwrite=True, write=("video", "jsonl")
            )
        )
        assert_in_order(records(done.outputs[1]), 12)
        info = probe(done.outputs[0])
        assert (info.frame_count, info.rate) == (12, pytest.approx(10))


def test_images_of_several_sizes_are_one_video_and_a_note(tmp_path: Path) -> None:
    from PIL import Image

    for i, size in enumerate([(96, 64), (64, 96), (200, 100)]):
        Image.new("RGB", size, (grey_level(i),) * 3).save(tmp_path / f"shot{i}.png")
    done = one(run(tmp_path, out=tmp_path / "out", write=("video", "jsonl")))
    assert [frame.size_hw for frame in read_frames(done.outputs[0])] == [(64, 96)] * 3
    assert any("another size" in note for note in done.notes)


class SlowEye(Eye):
    """A network that now and then takes its time."""

    def forward(self, canvas: Picture, time_s: float) -> Detections:
        time.sleep(0.01 if int(time_s * 25) % 7 == 0 else 0)
        return super().forward(canvas, time_s)


def test_order_and_count_hold_when_network_and_disk_are_slow(
    tmp_path: Path, make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lstmcli.outputs.records import LinesFile

    plain = LinesFile.write

    def slow(self: LinesFile, line: str) -> None:
        time.sleep(0.002)
        plain(self, line)

    monkeypatch.setattr(LinesFile, "write", slow)
    source = make_video(tmp_path / "a.mp4", 60)
    done = one(run(source, out=tmp_path, make_predictor=SlowEye, write=("video", "jsonl")))
    assert_in_order(records(done.outputs[1]), 60)
    assert len(list(read_frames(done.outputs[0]))) == 60


def test_few_frames_are_buffered(tmp_path: Path, make_video: MakeVideo) -> None:
    """Memory does not grow with the video: decoding never runs far ahead of writing."""
    made: list[int] = []

    class Counting(Eye):
        def forward(self, canvas: Picture, time_s: float) -> Detections:
            made.append(1)
            return super().forward(canvas, time_s)

    source = make_video(tmp_path / "a.mp4", 80)
    detector = Detector(Counting)
    for taken, _ in enumerate(detector.stream(source)):
        time.sleep(0.001)
        assert len(made) - taken <= 4
    assert len(made) == 80


class Broken(Eye):
    """A network that fails at its fifth frame."""

    def forward(self, canvas: Picture, time_s: float) -> Detections:
        if time_s > 0.15:
            raise ModelError("the network broke", hint="mend it")
        return super().forward(canvas, time_s)


def test_an_error_of_the_network_is_raised_and_leaves_partial_outputs(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    source, out = make_video(tmp_path / "a.mp4", 40), tmp_path / "out"
    with pytest.raises(ModelError, match="the network broke"):
        run(source, out=out, make_predictor=Broken, write=("video", "jsonl"))
    assert sorted(path.name for path in out.iterdir()) == [
        "a.annotated.partial.mp4",
        "a.detections.partial.jsonl",
    ]
    assert_in_order(records(out / "a.detections.partial.jsonl"), 4)
    assert len(list(read_frames(out / "a.annotated.partial.mp4"))) == 4
    assert threading.active_count() < 20


class Interrupting:
    """A progress view that presses Ctrl-C at the twentieth frame."""

    def track(
        self, items: Iterator[object], *, total: int | None = None, label: str = ""
    ) -> Iterator[object]:
        for i, item in enumerate(items):
            if i == 20:
                raise KeyboardInterrupt
            yield item

    def note(self, text: str) -> None:
        self.said = text


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_interruption_leaves_playable_videos_and_whole_lines(
    jobs: int, tmp_path: Path, make_video: MakeVideo
) -> None:
    folder, out = tmp_path / "footage", tmp_path / "out"
    folder.mkdir()
    for name in "ab"[:jobs]:
        make_video(folder / f"{name}.mp4", 300)
    view = Interrupting()
    with pytest.raises(KeyboardInterrupt):
        run(folder, out=out, jobs=jobs, progress=view, write=("video", "jsonl"))
    assert ".partial" in view.said
    assert all(".partial." in path.name for path in out.iterdir())
    lines = records(out / "a.detections.partial.jsonl")
    assert_in_order(lines, len(lines))
    assert len(list(read_frames(out / "a.annotated.partial.mp4"))) == len(lines)


def test_a_full_disk_is_an_error_that_says_so(
    tmp_path: Path, make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lstmcli.outputs.records.os.fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        run(make_video(tmp_path / "a.mp4"), out=tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.detections.partial.jsonl"]


class Mover(Eye):
    """Answers a box that goes from top to bottom within fifty frames."""

    def forward(self, canvas: Picture, time_s: float) -> Detections:
        y = 64 * time_s / 2
        box = np.array([[40, y - 6, 52, y + 6]], np.float32)
        one_row = np.ones(1)
        return Detections(
            box, one_row.astype(np.float32), np.zeros(1, np.int64), -one_row.astype(int)
        )


def test_lines_are_counted_drawn_and_written(tmp_path: Path, make_video: MakeVideo) -> None:
    plan = tmp_path / "count.yaml"
    plan.write_text("lines: [{name: gate, from: [0, 0.5], to: [1, 0.5]}]", encoding="utf-8")
    source = make_video(tmp_path / "a.mp4", 50)
    done = one(run(source, out=tmp_path / "out", make_predictor=Mover, track=True, count=plan))
    assert done.counts == {("gate", "in", "bird"): 1}
    table = done.outputs[-1]
    rows = list(csv.reader(table.read_text(encoding="utf-8").splitlines()))
    assert rows[0] == ["video", "name", "direction", "class", "track_id", "frame", "time"]
    assert [row[:5] for row in rows[1:]] == [["a.mp4", "gate", "in", "bird", "1"]]
    assert 24 <= int(rows[1][5]) <= 29
    assert float(rows[1][6]) == pytest.approx(int(rows[1][5]) / 25, abs=1e-3)


def test_the_python_api_streams_pictures_and_detections(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    detector = Detector(Eye)
    assert detector.classes == ("bird", "drone")
    pairs = list(detector.stream(make_video(tmp_path / "a.mp4", 10)))
    assert [picture.shape for picture, _ in pairs] == [(64, 96, 3)] * 10
    assert [found.track_ids.tolist() for _, found in pairs] == [[1]] * 10
    greys = [float(picture.mean()) for picture, _ in pairs]
    assert greys == pytest.approx([grey_level(i) for i in range(10)], abs=5)


@pytest.mark.parametrize("options", [{"every": 0}, {"every": -1}, {"start_s": -1.0}])
def test_the_python_api_refuses_what_the_command_line_refuses(
    options: dict[str, Any], tmp_path: Path, make_video: MakeVideo
) -> None:
    with pytest.raises(ConfigError):
        next(Detector(Eye).stream(make_video(tmp_path / "a.mp4"), **options))
    with pytest.raises(ConfigError, match="threshold"):
        Detector(Eye, threshold=2)


def test_leaving_a_stream_early_closes_it(tmp_path: Path, make_video: MakeVideo) -> None:
    before = threading.active_count()
    stream = Detector(Eye).stream(make_video(tmp_path / "a.mp4", 200))
    next(stream)
    stream.close()
    assert threading.active_count() == before


def test_the_newest_run_is_taken_and_then_the_shipped_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    from lstmcli.workflows.detect import sources as module

    for age, name in ((200, "old"), (100, "new")):
        path = tmp_path / "runs" / name / "best.pt"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"weights")
        os.utime(path, (time.time() - age,) * 2)
    path, sentence = choose_model(tmp_path)
    assert path == tmp_path / "runs" / "new" / "best.pt"
    assert "new" in sentence
    monkeypatch.setattr(module, "shipped_models", lambda: {"sky": Path("sky.safetensors")})
    assert choose_model(tmp_path / "elsewhere")[0] == Path("sky.safetensors")
    monkeypatch.setattr(module, "shipped_models", dict)
    with pytest.raises(ModelError, match="no run"):
        choose_model(tmp_path / "elsewhere")
