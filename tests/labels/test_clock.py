"""Labels count by a clock of their own; the film's time stamps decide."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstmcli.core.errors import DataError
from lstmcli.core.types import VideoLabels
from lstmcli.labels.clock import align, nearest_frames
from lstmcli.labels.media import locate_media
from lstmcli.labels.search import ReadOptions, read_labels
from lstmcli.labels.warning_collector import WarningCollector
from lstmcli.video import frame_times, read_frames

MakeVideo = Callable[..., Path]


@given(st.lists(st.floats(0.01, 2), min_size=1, max_size=30), st.floats(-1, 70))
def test_the_nearest_frame_is_that_of_brute_force(steps: list[float], wanted: float) -> None:
    times = np.cumsum(steps)
    found = int(nearest_frames(times, wanted))
    assert abs(times[found] - wanted) <= np.abs(times - wanted).min() + 1e-6


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_times_are_those_of_the_decoded_frames(
    suffix: str, tmp_path: Path, make_video: MakeVideo
) -> None:
    path = make_video(tmp_path / f"a{suffix}", 10, rate=25)
    decoded = [frame.time_s for frame in read_frames(path)]
    np.testing.assert_allclose(np.diff(frame_times(path)), np.diff(decoded), atol=2e-3)


def labels_of(frames: list[int], **more: Any) -> VideoLabels:
    n = len(frames)
    video = VideoLabels(
        name="a",
        media="a.mp4",
        annotated_frames=np.array(frames, np.int64),
        box_frames=np.array(frames, np.int64),
        boxes=np.array([[frame, 0, frame + 5, 5] for frame in frames], np.float32),
        labels=np.zeros(n, np.int64),
        tracks=np.full(n, -1, np.int64),
        ignore=np.zeros(n, np.bool_),
    )
    return replace(video, **more)


def test_labels_of_another_length_are_refused_with_both_numbers(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    path = make_video(tmp_path / "a.mp4", 30, rate=30)
    with pytest.raises(
        DataError, match="24 frames at 24 a second, the film has 30 at 30"
    ) as caught:
        align(labels_of([0, 6], rate=24.0, frame_count=24), path, None, WarningCollector())
    assert "--label-rate 24" in caught.value.hint
    placed = align(labels_of([0, 12], rate=24.0, frame_count=24), path, 24.0, WarningCollector())
    assert placed.annotated_frames.tolist() == [0, 15]
    assert placed.box_frames.tolist() == [0, 15]
    kept = align(labels_of([0, 12], rate=24.0, frame_count=24), path, "film", WarningCollector())
    assert kept.annotated_frames.tolist() == [0, 12]


def test_another_rate_with_as_many_frames_is_said(tmp_path: Path, make_video: MakeVideo) -> None:
    path = make_video(tmp_path / "a.mp4", 30, rate=30)
    warnings = WarningCollector()
    align(labels_of([3], rate=25.0, frame_count=30), path, None, warnings)
    assert "different rates" in warnings.collected()[0].text


@given(st.sets(st.integers(0, 40), min_size=1), st.sampled_from([12.5, 24, 25, 30, 50]))
def test_every_box_keeps_its_frame_when_labels_are_placed_by_time(
    frames: set[int], rate: float
) -> None:
    from lstmcli.labels import clock

    times = np.arange(40) / 25

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lstmcli.video.frame_times", lambda path: times)
        video = labels_of(sorted(frames), rate=None)
        placed = clock.align(video, Path("a.mp4"), rate, WarningCollector())
    assert len(set(placed.annotated_frames.tolist())) == len(placed.annotated_frames)
    assert set(placed.box_frames.tolist()) <= set(placed.annotated_frames.tolist())
    for frame, box in zip(placed.box_frames, placed.boxes, strict=True):
        assert abs(times[frame] - box[0] / rate) <= 1 / 25 + 1e-6


def vott(times: list[float]) -> str:
    assets = {
        str(n): {
            "asset": {
                "name": f"clip.mp4#t={time}",
                "type": 3,
                "state": 2,
                "timestamp": time,
                "parent": {"name": "clip.mp4"},
            },
            "regions": [
                {
                    "tags": ["bee"],
                    "boundingBox": {"left": 1, "top": 2, "width": 30, "height": 40},
                }
            ],
        }
        for n, time in enumerate(times)
    }
    return json.dumps({"assets": assets})


def test_seconds_are_placed_by_the_time_stamps_of_a_varying_rate(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    times = [0.0, 0.1, 0.2, 0.3, 0.32, 0.34, 0.36, 0.38]
    make_video(tmp_path / "clip.mp4", 8, times=times)
    (tmp_path / "a.json").write_text(vott([0.1, 0.3, 0.36]), encoding="utf-8")
    assert read_labels(tmp_path / "a.json").videos[0].annotated_frames.tolist() == [1, 3, 6]


def test_seconds_after_the_end_of_the_film_are_refused(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    make_video(tmp_path / "clip.mp4", 8)
    (tmp_path / "a.json").write_text(vott([9.0]), encoding="utf-8")
    with pytest.raises(DataError, match=r"9 s of 'clip\.mp4', which ends at"):
        read_labels(tmp_path / "a.json")


def test_label_studio_is_placed_by_its_own_times(tmp_path: Path, make_video: MakeVideo) -> None:
    make_video(tmp_path / "clip.mp4", 60, rate=30)
    keys = [
        {"frame": 1 + n, "time": n / 24, "x": n, "y": 1, "width": 10, "height": 10, "enabled": True}
        for n in (0, 24)
    ]
    value = {"framesCount": 48, "duration": 2.0, "sequence": keys, "labels": ["bee"]}
    result = {"id": "r", "type": "videorectangle", "value": value}
    result |= {"original_width": 100, "original_height": 100}
    task = {"data": {"video": "clip.mp4"}, "annotations": [{"result": [result]}]}
    (tmp_path / "a.json").write_text(json.dumps([task]), encoding="utf-8")
    (video,) = read_labels(tmp_path / "a.json").videos
    found = video.at(30)
    assert found is not None
    np.testing.assert_allclose(found.boxes, [[24, 1, 34, 11]], atol=1e-3)
    as_numbers = read_labels(tmp_path / "a.json", options=ReadOptions(label_rate="film"))
    assert as_numbers.videos[0].at(24) is not None
    assert as_numbers.videos[0].frame_count == 48


def test_seconds_in_a_table_place_its_rows(tmp_path: Path, make_video: MakeVideo) -> None:
    """The table counts 24 frames a second, the film has 30."""
    make_video(tmp_path / "clip.mp4", 60, rate=30)
    rows = [f"clip.mp4,{frame},{frame / 24:.4f},bee,1,2,30,40" for frame in (0, 12, 24)]
    text = "\n".join(["video,frame,time,class,x1,y1,x2,y2", *rows])
    path = tmp_path / "a.csv"
    path.write_text(text, encoding="utf-8")
    assert read_labels(path).videos[0].annotated_frames.tolist() == [0, 15, 30]
    by_number = read_labels(path, options=ReadOptions(label_rate="film"))
    assert by_number.videos[0].annotated_frames.tolist() == [0, 12, 24]


def test_labelbox_of_another_length_is_refused(tmp_path: Path, make_video: MakeVideo) -> None:
    make_video(tmp_path / "clip.mp4", 60, rate=30)
    label = {"annotations": {"frames": {"7": {"objects": {}}}}}
    row = {
        "data_row": {"id": "1", "external_id": "clip.mp4"},
        "media_attributes": {"frame_count": 48, "frame_rate": 24, "width": 96, "height": 64},
        "projects": {"p": {"labels": [label]}},
    }
    path = tmp_path / "a.ndjson"
    path.write_text(json.dumps(row), encoding="utf-8")
    with pytest.raises(DataError, match="48 frames at 24 a second, the film has 60 at 30"):
        locate_media(read_labels(path), path)


COUNTED = {
    "coco": (
        "a.json",
        '{"videos": [{"id": 1, "file_name": "clip.mp4", "length": 48, "fps": 24}], "images": '
        '[{"id": 1, "video_id": 1, "frame_id": 3, "file_name": ""}], "categories": [{"id": 1, '
        '"name": "bee"}], "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": '
        "[1, 2, 9, 9]}]}",
    ),
    "supervisely": (
        "clip.mp4.json",
        '{"size": {"height": 64, "width": 96}, "framesCount": 48, "objects": [], "frames": '
        '[{"index": 3, "figures": []}]}',
    ),
    "mot": (
        "seqinfo.ini",
        "[Sequence]\nname=clip\nimDir=clip.mp4\nframeRate=24\nseqLength=48\n",
    ),
    "yolo": (
        "data.yaml",
        "names: [bee]\ntrain: images\nvideos: {clip: {media: clip.mp4, frames: 48, rate: 24}}\n",
    ),
}


@pytest.mark.parametrize("name", COUNTED)
def test_every_format_that_counts_frames_is_compared_with_the_film(
    name: str, tmp_path: Path, make_video: MakeVideo
) -> None:
    make_video(tmp_path / "clip.mp4", 60, rate=30)
    file, text = COUNTED[name]
    (tmp_path / file).write_text(text, encoding="utf-8")
    source = tmp_path / file
    if name == "mot":
        (tmp_path / "gt").mkdir()
        (tmp_path / "gt" / "gt.txt").write_text("1,1,1,2,9,9,1,1,1\n")
        source = tmp_path
    if name == "yolo":
        (tmp_path / "labels" / "clip").mkdir(parents=True)
        (tmp_path / "labels" / "clip" / "frame_000003.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    labels = read_labels(source, options=ReadOptions(format=name, size_hw=(64, 96)))
    with pytest.raises(DataError, match=r"48 frames.*the film has 60") as caught:
        locate_media(labels, source)
    assert "--label-rate 24" in caught.value.hint


@pytest.mark.parametrize("frames", [range(1, 9), (1, 4, 8)])
def test_frames_counted_from_1_are_refused(
    frames: tuple[int, ...], tmp_path: Path, make_video: MakeVideo
) -> None:
    path = make_video(tmp_path / "a.mp4", 8)
    with pytest.raises(DataError, match=r"frames 1 to 8 of .*, which has frames 0 to 7") as caught:
        align(labels_of(list(frames)), path, None, WarningCollector())
    assert "from 1" in caught.value.hint


@pytest.mark.parametrize("frames", [(0, 7), (1, 7), (2, 8), (1, 20)])
def test_other_frames_are_not_suspected_of_another_base(
    frames: tuple[int, ...], tmp_path: Path, make_video: MakeVideo
) -> None:
    path = make_video(tmp_path / "a.mp4", 8)
    video = labels_of(list(frames))
    assert align(video, path, None, WarningCollector()) is video


def test_times_of_another_clock_do_not_place_the_rows_of_a_table(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    """Milliseconds, or the time of day."""
    make_video(tmp_path / "clip.mp4", 60, rate=30)
    rows = [f"clip.mp4,{frame},{1.7e9 + frame},bee,1,2,30,40" for frame in (0, 12, 24)]
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["video,frame,time,class,x1,y1,x2,y2", *rows]), encoding="utf-8")
    labels = read_labels(path)
    assert labels.videos[0].annotated_frames.tolist() == [0, 12, 24]
    assert any("no seconds of the film" in warning.text for warning in labels.warnings)
