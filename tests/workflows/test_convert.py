"""Labels leave as they came: written in each format and read back, they are the same."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from lstmcli.core.errors import ConfigError, DataError, OutputError
from lstmcli.core.types import LabelSet, VideoLabels
from lstmcli.labels.search import read_labels
from lstmcli.labels.warning_collector import WarningCollector
from lstmcli.labels.writers import LABEL_WRITERS
from lstmcli.labels.writers.regions import one_a_class
from lstmcli.workflows.convert import convert

CLOSE = 0.001
"""Pixels; the writers round to 4 digits, YOLO to 8 of the fraction."""

LOSSLESS = ("coco", "mot", "yolo")
"""Formats that keep track numbers and empty films; the others are tested in test_tool_writers."""


def video_labels(
    name: str,
    boxes: list[tuple[int, tuple[float, float, float, float], int, int, bool]],
    *,
    frames: int,
    size_hw: tuple[int, int] | None = (48, 64),
    media: str | None = "",
    images: tuple[str, ...] = (),
) -> VideoLabels:
    """Give a video of (frame, box, label, track, ignore) rows annotated as a whole."""
    rows = sorted(boxes, key=lambda row: row[0])
    return VideoLabels(
        name=name,
        media=media,
        annotated_frames=np.arange(frames),
        box_frames=np.array([row[0] for row in rows], np.int64),
        boxes=np.array([row[1] for row in rows], np.float32).reshape(-1, 4),
        labels=np.array([row[2] for row in rows], np.int64),
        tracks=np.array([row[3] for row in rows], np.int64),
        ignore=np.array([row[4] for row in rows], np.bool_),
        images=images,
        size_hw=size_hw,
        rate=25.0,
        frame_count=frames,
    )


@st.composite
def label_sets(draw: st.DrawFn) -> LabelSet:
    """Give one to three videos of 4 to 9 frames with any boxes inside 64x48 pixels."""
    classes = draw(
        st.lists(st.text("abcäß é1", min_size=1, max_size=6), min_size=1, max_size=4, unique=True)
    )
    classes = list(dict.fromkeys(name.strip() or "x" for name in classes))
    sides = st.floats(0, 1, width=32)
    videos = []
    for n in range(draw(st.integers(1, 3))):
        frames = draw(st.integers(4, 9))
        rows = []
        for _ in range(draw(st.integers(0, 12))):
            x, y = draw(sides) * 50, draw(sides) * 40
            box = (x, y, x + 1 + draw(sides) * 10, y + 1 + draw(sides) * 6)
            label = draw(st.integers(0, len(classes) - 1))
            track = draw(st.integers(0, 1000))
            rows.append((draw(st.integers(0, frames - 1)), box, label, track, draw(st.booleans())))
        rows = list(dict.fromkeys(rows))  # a box written again is kept once
        videos.append(video_labels(f"clips/a film {n}", rows, frames=frames))
    return LabelSet(tuple(classes), tuple(videos))


def rows_of(labels: LabelSet, video: VideoLabels, *, yolo: bool) -> list[tuple[object, ...]]:
    return sorted(
        (
            int(frame),
            labels.classes[label],
            -1 if yolo else int(track),
            bool(ignore),
            *(round(float(side), 2) for side in box),
        )
        for frame, box, label, track, ignore in zip(
            video.box_frames, video.boxes, video.labels, video.tracks, video.ignore, strict=True
        )
        if not (yolo and ignore)
    )


def assert_same(first: LabelSet, second: LabelSet, *, yolo: bool = False) -> None:
    """Say where two sets differ; YOLO knows no tracks, ignored regions, rates."""
    assert first.classes == second.classes
    by_name = {video.name: video for video in second.videos}
    assert sorted(by_name) == sorted(video.name for video in first.videos)
    for video in first.videos:
        other = by_name[video.name]
        np.testing.assert_array_equal(video.annotated_frames, other.annotated_frames)
        mine, theirs = rows_of(first, video, yolo=yolo), rows_of(second, other, yolo=yolo)
        assert [row[:4] for row in mine] == [row[:4] for row in theirs]
        sides = [np.array([row[4:] for row in rows]) for rows in (mine, theirs)]
        np.testing.assert_allclose(*sides, atol=0.01 + CLOSE)
        assert video.size_hw == other.size_hw
        if not yolo or len(video.images) != 1:
            assert (video.rate, video.frame_count) == (other.rate, other.frame_count)


def written(labels: LabelSet, to: str, folder: Path) -> Path:
    folder.mkdir(parents=True)
    out = folder if LABEL_WRITERS[to].FOLDER else folder / "labels.json"
    LABEL_WRITERS[to].write(labels, out, WarningCollector())
    return out


@pytest.mark.parametrize("to", LOSSLESS)
@settings(max_examples=15, deadline=None)
@given(labels=label_sets())
def test_any_set_comes_back_equal(to: str, labels: LabelSet) -> None:
    with tempfile.TemporaryDirectory() as folder:
        again = read_labels(written(labels, to, Path(folder) / "out"), size_hw=(48, 64))
    if to == "yolo":
        labels = without_regions(labels)
    assert_same(labels, again, yolo=to == "yolo")


def without_regions(labels: LabelSet) -> LabelSet:
    """Return what YOLO can say: no frames that hold nothing but ignored regions."""
    videos = []
    for video in labels.videos:
        frames = video.annotated_frames.tolist()
        kept = [n for n in frames if not ((f := video.at(n)) and len(f) and f.ignore.all())]
        videos.append(replace(video, annotated_frames=np.array(kept, np.int64)))
    return replace(labels, videos=tuple(videos))


def with_whole_videos(labels: LabelSet) -> LabelSet:
    """Give every video the name that it was written under."""
    return replace(
        labels,
        videos=tuple(replace(v, name=v.name.removeprefix("images/")) for v in labels.videos),
    )


def test_boxes_come_back_to_a_thousandth_of_a_pixel(tmp_path: Path) -> None:
    box = (0.12345, 1.98765, 1919.87654, 1079.5)
    labels = LabelSet(
        ("a",), (video_labels("v", [(0, box, 0, 1, False)], frames=4, size_hw=(1080, 1920)),)
    )
    for to in LABEL_WRITERS:
        again = read_labels(written(labels, to, tmp_path / to), size_hw=(1080, 1920))
        np.testing.assert_allclose(again.videos[0].boxes[0], box, atol=CLOSE)


def test_unannotated_frames_stay_so_in_coco(tmp_path: Path) -> None:
    video = video_labels("v", [(2, (1, 2, 3, 4), 0, 5, False)], frames=6)
    video = replace(video, annotated_frames=np.array([0, 2, 5]))
    labels = LabelSet(("a",), (video,))
    assert_same(labels, read_labels(written(labels, "coco", tmp_path / "o")))


def test_stills_come_back_as_stills(tmp_path: Path) -> None:
    stills = tuple(
        replace(
            video_labels(f"pics/{n}", [(0, (1, 2, 3, 4), 0, -1, False)], frames=1),
            media=None,
            images=(f"pics/{n}.jpg",),
            rate=None,
        )
        for n in "abc"
    )
    labels = LabelSet(("a",), stills)
    again = read_labels(written(labels, "coco", tmp_path / "c"))
    assert_same(labels, again)
    assert [video.images for video in again.videos] == [video.images for video in stills]


def test_the_path_of_a_video_comes_back(tmp_path: Path) -> None:
    video = video_labels("v", [], frames=4, media="films/ä b.mp4")
    for to in LOSSLESS:
        again = read_labels(written(LabelSet(("a",), (video,)), to, tmp_path / to))
        assert again.videos[0].media == "films/ä b.mp4"


def test_losses_of_a_format_are_counted(tmp_path: Path) -> None:
    warnings = WarningCollector()
    rows = [(0, (1.0, 2.0, 3.0, 4.0), 0, -1, True), (1, (1.0, 2.0, 3.0, 4.0), 0, 4, False)]
    video = replace(video_labels("v", rows, frames=4), annotated_frames=np.array([0, 1]))
    labels = LabelSet(("a",), (video,))
    for to in ("mot", "yolo"):
        (tmp_path / to).mkdir()
        LABEL_WRITERS[to].write(labels, tmp_path / to, warnings)
    counts = {warning.text.partition(";")[0]: warning.count for warning in warnings.collected()}
    assert counts == {
        "an unannotated frame": 2,
        "a box without a track": 1,
        "an ignored region": 1,
        "a track of a box": 1,
        "a frame with nothing but ignored regions": 1,
    }


@pytest.fixture
def coco_file(tmp_path: Path) -> Path:
    rows = [(0, (1.0, 2.0, 30.0, 40.0), 1, 3, False), (2, (5.0, 6.0, 7.0, 8.0), 0, 4, False)]
    labels = LabelSet(("bird", "drone"), (video_labels("v", rows, frames=4),))
    return written(labels, "coco", tmp_path / "source")


def test_convert_writes_each_format_and_counts(coco_file: Path, tmp_path: Path) -> None:
    for to in LOSSLESS:
        result = convert(coco_file, to, tmp_path / to)
        assert (result.videos, result.frames, result.boxes) == (1, 4, 2)
        assert result.classes == ("bird", "drone")
        again = with_whole_videos(read_labels(result.path, size_hw=(48, 64)))
        assert_same(read_labels(coco_file), again, yolo=to == "yolo")


def test_convert_overwrites_only_with_overwrite(coco_file: Path, tmp_path: Path) -> None:
    convert(coco_file, "mot", tmp_path / "out")
    with pytest.raises(OutputError, match="exists") as caught:
        convert(coco_file, "mot", tmp_path / "out")
    assert "--overwrite" in caught.value.hint
    convert(coco_file, "yolo", tmp_path / "out", overwrite=True)
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == [".lstmcli-files", "data.yaml", "labels"]


def test_convert_never_deletes_other_peoples_files(coco_file: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(OutputError, match=r"holiday\.jpg"):
        convert(coco_file, "mot", tmp_path / "out", overwrite=True)


def test_convert_needs_size_where_nothing_gives_it(tmp_path: Path) -> None:
    rows = [(0, (1.0, 2.0, 3.0, 4.0), 0, 1, False)]
    labels = LabelSet(("a",), (video_labels("v", rows, frames=4, size_hw=None),))
    source = written(labels, "mot", tmp_path / "mot")
    with pytest.raises(DataError, match="size is not known") as caught:
        convert(source, "yolo", tmp_path / "yolo")
    assert "--size" in caught.value.hint
    assert not (tmp_path / "yolo").exists()
    assert convert(source, "yolo", tmp_path / "yolo", size_hw=(10, 10)).boxes == 1


def test_convert_names_the_nearest_format(coco_file: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        convert(coco_file, "coko", tmp_path / "out")
    assert caught.value.hint == "did you mean 'coco'?"


@pytest.mark.real
@pytest.mark.parametrize("to", LOSSLESS)
def test_every_real_sample_survives_writing_and_reading(
    to: str, shared: Path, tmp_path: Path
) -> None:
    folder = shared / "data" / "formats"
    not_said = {
        "an ignored region; YOLO cannot say so, left out",
        "a box outside of the picture; YOLO cannot say so, left out",
    }
    too_long = {"labelstudio_video"}  # framesCount is 10,000,000 there, a file a frame in YOLO
    names = {path.name for path in folder.iterdir() if path.is_dir()} - too_long
    for n, name in enumerate(sorted(names)):
        labels = read_labels(folder / name, size_hw=(1000, 2000))
        once = convert(folder / name, to, tmp_path / f"{n}", size_hw=(1000, 2000))
        again = read_labels(once.path, size_hw=(1000, 2000))
        if any("one image file under two ids" in w.text for w in again.warnings):
            continue  # a picture that two samples label is one picture afterwards
        lost = sum(w.count for w in once.warnings if w.text in not_said)
        before = labels if to == "yolo" else one_a_class(labels)
        assert sum(len(v.labels) for v in before.videos) == lost + sum(
            len(v.labels) for v in again.videos
        ), name
        if to == "coco":
            assert_same(*(replace(s, videos=by_name(s)) for s in (before, again)))


def by_name(labels: LabelSet) -> tuple[VideoLabels, ...]:
    """Give the videos with the frame count that their ground truth needs."""
    return tuple(
        replace(video, frame_count=None, rate=None)
        for video in sorted(labels.videos, key=lambda video: video.name)
    )


def test_a_region_of_every_class_is_written_for_each(tmp_path: Path) -> None:
    boxes = [(0, (1.0, 2.0, 9.0, 9.0), -1, -1, True), (0, (3.0, 4.0, 9.0, 9.0), 1, 5, False)]
    labels = LabelSet(("cat", "dog"), (video_labels("v", boxes, frames=1),))
    for to in ("coco", "mot"):
        again = read_labels(written(labels, to, tmp_path / to)).videos[0]
        assert sorted(zip(again.labels.tolist(), again.ignore.tolist(), strict=True)) == [
            (0, True),
            (1, False),
            (1, True),
        ]


@pytest.mark.parametrize("to", sorted(LABEL_WRITERS))
def test_the_division_of_a_set_is_kept_by_every_format(to: str, tmp_path: Path) -> None:
    rows = [(0, (1.0, 2.0, 9.0, 9.0), 0, -1, False)]
    for part in ("train", "val"):
        video = video_labels(f"film {part[0]}", rows, frames=1)
        (tmp_path / "set" / part).mkdir(parents=True)
        LABEL_WRITERS["coco"].write(
            LabelSet(("a",), (video,)), tmp_path / "set" / part / "a.json", WarningCollector()
        )
    result = convert(tmp_path / "set", to, tmp_path / "out")
    assert not any("split" in warning.text for warning in result.warnings)
    again = {video.name[-6:]: video.split for video in read_labels(result.path).videos}
    assert again == {"film t": "train", "film v": "val"}
    if to == "yolo":
        text = (tmp_path / "out" / "data.yaml").read_text(encoding="utf-8")
        assert "train: images/train\n" in text
        assert "val: images/val\n" in text


@settings(max_examples=20, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 3), st.integers(-1, 4), st.integers(0, 20)),
        min_size=1,
        max_size=12,
    ),
    columns=st.integers(6, 10),
    repeats=st.integers(1, 3),
)
def test_mot_rows_of_any_width_come_once_and_on_their_frames(
    rows: list[tuple[int, int, int]], columns: int, repeats: int
) -> None:
    """Random ids, repeated rows and 6 to 10 columns; a row that is written again is kept once."""
    first = {
        (frame, track if track >= 0 else x + 100): (frame, track, x) for frame, track, x in rows
    }
    unique = set(first.values())
    lines = [
        ",".join(map(str, [frame + 1, track, x, 5, 8, 9, 1, 1, 1, -1][:columns]))
        for frame, track, x in sorted(unique)
        for _ in range(repeats)
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "s"
        (folder / "gt").mkdir(parents=True)
        (folder / "gt" / "gt.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (folder / "seqinfo.ini").write_text(
            "[Sequence]\nname=s\nframeRate=25\nseqLength=4\nimWidth=64\nimHeight=48\n",
            encoding="utf-8",
        )
        labels = read_labels(folder, format="mot")
    (video,) = labels.videos
    read = sorted(
        (int(frame), round(float(box[0])))
        for frame, box in zip(video.box_frames, video.boxes, strict=True)
    )
    assert read == sorted((frame, x) for frame, _, x in unique)
