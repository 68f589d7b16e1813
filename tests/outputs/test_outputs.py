"""What a run leaves behind: laws of every writer, and what is drawn."""

from __future__ import annotations

import configparser
import csv
import json
from pathlib import Path

import numpy as np
import pytest
from conftest import MakeVideo
from PIL import Image

from lstmcli.core.errors import ConfigError, OutputError
from lstmcli.core.names import file_name
from lstmcli.core.types import Detections
from lstmcli.outputs import WRITERS, AnnotatedFrame, OutputSpec
from lstmcli.outputs.contract import Output
from lstmcli.outputs.draw import (
    Annotator,
    DrawStyle,
    Shape,
    place_label,
    timestamp_text,
    whole_pixels,
)
from lstmcli.outputs.images import crop
from lstmcli.outputs.text_sprites import (
    PALETTE,
    can_draw,
    class_colour,
    font_for,
    ink_on,
    text_sprite,
    to_yuv,
)
from lstmcli.outputs.writer import OutputGroup, output_paths
from lstmcli.video import Planes, probe, read_frames

CLASSES = ("bird", "Möwe, große")
FOUND = Detections(
    np.array([[10.25, 8, 40.5, 30], [60, 20, 90, 50]], np.float32),
    np.array([0.93, 0.5], np.float32),
    np.array([1, 0]),
    np.array([3, -1]),
)


def write_all(
    kind: str,
    tmp_path: Path,
    make_video: MakeVideo,
    *,
    frames: int = 4,
    draw_style: DrawStyle | None = None,
) -> Output:
    """Give a writer four frames, of which the first and the third hold something."""
    source = make_video(tmp_path / "a.mp4", frames)
    (tmp_path / "out").mkdir(exist_ok=True)
    job = OutputSpec("a.mp4", tmp_path / "out" / "a", CLASSES, (64, 96), rate=25, overwrite=True)
    annotator = Annotator(CLASSES, (64, 96), draw_style or DrawStyle())
    output = WRITERS[kind].make(job)
    for frame in read_frames(source):
        found = FOUND if frame.index % 2 == 0 else Detections.none()
        output.write(AnnotatedFrame(frame, found, annotator))
    return output


@pytest.mark.parametrize("kind", WRITERS)
def test_an_output_has_its_name_only_when_it_is_complete(
    kind: str, tmp_path: Path, make_video: MakeVideo
) -> None:
    output = write_all(kind, tmp_path, make_video)
    assert not output.path.exists()
    assert all(".partial" in path.name for path in (tmp_path / "out").iterdir())
    output.close()
    assert [path.name for path in (tmp_path / "out").iterdir()] == [f"a{WRITERS[kind].suffix}"]
    assert output.path.is_dir() == WRITERS[kind].is_folder
    assert output.notes == []


@pytest.mark.parametrize("kind", WRITERS)
def test_an_abandoned_output_stays_partial(
    kind: str, tmp_path: Path, make_video: MakeVideo
) -> None:
    output = write_all(kind, tmp_path, make_video)
    output.abandon()
    assert not output.path.exists()
    assert [".partial" in path.name for path in (tmp_path / "out").iterdir()] == [True]


@pytest.mark.parametrize("kind", WRITERS)
def test_a_second_run_replaces_the_first(kind: str, tmp_path: Path, make_video: MakeVideo) -> None:
    write_all(kind, tmp_path, make_video).abandon()
    write_all(kind, tmp_path, make_video).close()
    write_all(kind, tmp_path, make_video).close()
    assert [path.name for path in (tmp_path / "out").iterdir()] == [f"a{WRITERS[kind].suffix}"]


@pytest.mark.parametrize("kind", WRITERS)
def test_a_folder_that_cannot_be_written_is_an_error(kind: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    job = OutputSpec("a.mp4", tmp_path / "file" / "a", CLASSES, (64, 96))
    with pytest.raises(OutputError):
        OutputGroup([kind], job)


def test_json_lines_hold_every_frame(tmp_path: Path, make_video: MakeVideo) -> None:
    output = write_all("jsonl", tmp_path, make_video)
    output.close()
    records = [json.loads(line) for line in output.path.read_text(encoding="utf-8").splitlines()]
    assert [record["frame"] for record in records] == [0, 1, 2, 3]
    assert [record["time"] for record in records] == pytest.approx([0, 0.04, 0.08, 0.12])
    assert [len(record["detections"]) for record in records] == [2, 0, 2, 0]
    assert records[0] == {
        "video": "a.mp4",
        "frame": 0,
        "time": 0.0,
        "detections": [
            {
                "class": "Möwe, große",
                "class_id": 1,
                "score": 0.93,
                "box": [10.25, 8.0, 40.5, 30.0],
                "track_id": 3,
            },
            {
                "class": "bird",
                "class_id": 0,
                "score": 0.5,
                "box": [60.0, 20.0, 90.0, 50.0],
                "track_id": -1,
            },
        ],
    }


def test_csv_holds_a_row_a_detection(tmp_path: Path, make_video: MakeVideo) -> None:
    output = write_all("csv", tmp_path, make_video)
    output.close()
    lines = output.path.read_text(encoding="utf-8").splitlines()
    assert lines[0] == "video,frame,time,track_id,class,score,x1,y1,x2,y2"
    assert lines[1] == 'a.mp4,0,0.0,3,"Möwe, große",0.93,10.25,8.0,40.5,30.0'
    rows = list(csv.reader(lines))
    assert [row[1] for row in rows[1:]] == ["0", "0", "2", "2"]
    assert rows[1][4] == "Möwe, große"


def test_mot_frames_count_from_one_pixels_from_zero(tmp_path: Path, make_video: MakeVideo) -> None:
    output = write_all("mot", tmp_path, make_video)
    output.close()
    rows = (output.path / "gt" / "gt.txt").read_text(encoding="utf-8").splitlines()
    assert rows[0] == "1,3,10.25,8.00,30.25,22.00,0.9300,2,1"
    assert [row.split(",")[0] for row in rows] == ["1", "1", "3", "3"]
    info = (output.path / "seqinfo.ini").read_text(encoding="utf-8")
    assert "seqLength=4\nimWidth=96\nimHeight=64\n" in info
    names = (output.path / "gt" / "labels.txt").read_text(encoding="utf-8")
    assert names == "bird\nMöwe, große\n"


def test_coco_holds_videos_images_and_boxes(tmp_path: Path, make_video: MakeVideo) -> None:
    output = write_all("coco", tmp_path, make_video)
    output.close()
    data = json.loads(output.path.read_text(encoding="utf-8"))
    assert [image["frame_id"] for image in data["images"]] == [0, 1, 2, 3]
    assert [box["image_id"] for box in data["annotations"]] == [1, 1, 3, 3]
    assert data["annotations"][0]["bbox"] == [10.25, 8.0, 30.25, 22.0]
    assert data["annotations"][0]["category_id"] == 2
    assert data["categories"] == [{"id": 1, "name": "bird"}, {"id": 2, "name": "Möwe, große"}]


def test_crops_are_the_undrawn_objects_in_a_folder_a_class(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    output = write_all("crops", tmp_path, make_video)
    output.close()
    files = sorted(path.relative_to(output.path).as_posix() for path in output.path.rglob("*.jpg"))
    assert files == [
        "Möwe, große/000000_t3_0.93.jpg",
        "Möwe, große/000002_t3_0.93.jpg",
        "bird/000000_n1_0.50.jpg",
        "bird/000002_n1_0.50.jpg",
    ]
    with Image.open(output.path / files[0]) as picture:
        assert picture.size == (37, 28)
        assert np.asarray(picture).std() < 3


def test_frames_are_drawn_where_something_was_found(tmp_path: Path, make_video: MakeVideo) -> None:
    output = write_all("frames", tmp_path, make_video)
    output.close()
    assert sorted(path.name for path in output.path.glob("*.jpg")) == ["000000.jpg", "000002.jpg"]
    with Image.open(output.path / "000000.jpg") as picture:
        assert picture.size == (96, 64)
        assert np.asarray(picture).std() > 10


def test_the_video_has_every_frame(tmp_path: Path, make_video: MakeVideo) -> None:
    output = write_all("video", tmp_path, make_video)
    output.close()
    assert probe(output.path).frame_count == 4


def test_an_unknown_writer_is_an_error_with_the_nearest_name(tmp_path: Path) -> None:
    job = OutputSpec("a.mp4", tmp_path / "a", CLASSES, (64, 96))
    with pytest.raises(ConfigError, match="vidoe") as caught:
        output_paths(["vidoe"], job)
    assert "video" in caught.value.hint


def test_names_of_classes_become_names_of_folders_on_every_system() -> None:
    assert file_name("Möwe, große") == "Möwe, große"
    assert file_name('a/b\\c:"?') == "a_b_c___"
    assert file_name(" ..") == "_"


def test_a_crop_is_never_empty() -> None:
    picture = np.zeros((20, 30, 3), np.uint8)
    assert crop(picture, np.array([29.5, 19.5, 80, 80]), 0.1).shape[0] >= 1
    assert crop(picture, np.array([-5.0, -5, -1, -1]), 0).shape == (1, 1, 3)


def paint(
    size_hw: tuple[int, int],
    found: Detections,
    draw_style: DrawStyle,
    *,
    level: int = 128,
    **options: object,
) -> Planes:
    planes = Planes.from_rgb(np.full((*size_hw, 3), level, np.uint8))
    annotator = Annotator(CLASSES, size_hw, draw_style)
    annotator.paint(planes, found, frame=12, time_s=3.5, **options)
    return planes


def test_a_box_is_drawn_around_its_object_in_the_colour_of_its_class() -> None:
    found = FOUND.select(np.array([0]))
    picture = paint((64, 96), found, DrawStyle(labels=False)).rgb().astype(int)
    assert np.abs(picture[12:26, 14:36] - 128).max() <= 3  # the object stays as it was
    assert np.abs(picture[20, 8:10] - class_colour(1)).max() <= 40  # the line is outside it
    assert np.abs(picture[50:, :] - 128).max() <= 3


@pytest.mark.parametrize("size_hw", [(8, 8), (63, 97), (240, 320), (720, 1280), (2160, 3840)])
def test_nothing_leaves_the_picture_at_any_size(size_hw: tuple[int, int]) -> None:
    height, width = size_hw
    boxes = np.array(
        [
            [-50, -50, 20, 20],
            [width - 5, height - 5, width + 99, height + 99],
            [0, 0, width, height],
            [width / 2, height / 2, width / 2, height / 2],
        ],
        np.float32,
    )
    found = Detections(boxes, np.full(4, 0.5, np.float32), np.array([0, 1, 0, 1]), np.arange(4))
    shapes = (Shape(((-9.0, -9.0), (width + 9.0, height / 2)), text="a long name of a line"),)
    planes = paint(size_hw, found, DrawStyle(timestamp="both"), shapes=shapes)
    assert planes.y.shape == size_hw
    assert (planes.y != Planes.from_rgb(np.full((8, 8, 3), 128, np.uint8)).y[0, 0]).any()


@pytest.mark.parametrize("size_hw", [(240, 320), (2160, 3840)])
def test_labels_can_be_read_on_small_and_large_pictures(size_hw: tuple[int, int]) -> None:
    annotator = Annotator(CLASSES, size_hw, DrawStyle())
    assert 0.02 <= annotator.font_px / size_hw[0] <= 0.05
    assert annotator.font_px >= 11
    assert 2 <= annotator.line_px <= size_hw[0] / 100


def test_labels_stay_inside_and_avoid_each_other() -> None:
    size, label = (100, 200), (14, 60)
    assert place_label((50, 40, 90, 80), label, size, []) == (50, 26)
    assert place_label((50, 4, 90, 40), label, size, []) == (50, 40)  # no room above: below
    assert place_label((190, 40, 199, 80), label, size, [])[0] == 140  # moved to the left
    assert place_label((50, 40, 90, 80), label, size, [(50, 26, 110, 40)]) == (50, 80)
    assert place_label((0, 0, 200, 100), label, size, []) == (0, 0)  # the whole picture: in it
    for box in ((0, 0, 3, 3), (197, 97, 200, 100), (0, 97, 200, 100)):
        left, top = place_label(box, label, size, [])
        assert 0 <= left <= size[1] - label[1]
        assert 0 <= top <= size[0] - label[0]


def test_boxes_in_whole_pixels_lie_in_the_picture() -> None:
    assert whole_pixels([-4.0, 2.4, 7.6, 300.0], (100, 50)) == (0, 2, 8, 100)
    assert whole_pixels([60.0, 120.0, 70.0, 130.0], (100, 50)) == (48, 98, 50, 100)


def test_a_name_in_any_script_is_drawn_as_written() -> None:
    """Another text gives another picture, and no letter is the box for what a font lacks."""
    for text in ("Möwe", "птица", "γλάρος", "نورس"):
        assert can_draw(text)
    first = text_sprite("птица", (0, 158, 115), 24, 500, False)
    other = text_sprite("птицы", (0, 158, 115), 24, 500, False)
    assert first.y.shape != other.y.shape or (first.y != other.y).any()
    assert not can_draw("\U0010fffe")


def test_a_label_is_shortened_to_the_width_of_the_picture() -> None:
    sprite = text_sprite("a very long name of a class 0.99", (86, 180, 233), 16, 60, False)
    assert sprite.size_hw[1] <= 60
    assert sprite.size_hw[0] % 2 == sprite.size_hw[1] % 2 == 0
    assert sprite.u.shape == (sprite.size_hw[0] // 2, sprite.size_hw[1] // 2)


def test_fonts_are_found_for_plain_letters() -> None:
    assert font_for("bird 0.93", 20).getlength("bird") > 20


def test_colours_are_told_apart_by_colour_blind_people() -> None:
    """Simulated deuteranopia (Viénot, Brettel, Mollon 1999): the first seven stay apart."""
    linear = (np.array(PALETTE[:7]) / 255.0) ** 2.2
    seen = linear @ np.array([[0.2928, 0.7072, 0], [0.2928, 0.7072, 0], [-0.0223, 0.0223, 1]]).T
    shown = np.clip(seen, 0, 1) ** (1 / 2.2)
    apart = np.abs(shown[:, None] - shown[None]).max(axis=2) + np.eye(7)
    assert apart.min() > 0.08


def test_ink_can_be_read_on_every_colour() -> None:
    """Contrast of at least 3 : 1 as WCAG 2.1 defines it, for large text."""

    def luminance(colour: tuple[int, int, int]) -> float:
        parts = np.array(colour) / 255
        linear = np.where(parts <= 0.03928, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ (0.2126, 0.7152, 0.0722))

    for colour in PALETTE:
        light, dark = sorted((luminance(colour), luminance(ink_on(colour))), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 3


@pytest.mark.parametrize("bt709", [False, True])
def test_colours_turn_into_yuv_as_swscale_does_it(bt709: bool) -> None:
    size_hw = (720, 16) if bt709 else (16, 16)
    for colour in PALETTE:
        planes = Planes.from_rgb(np.full((*size_hw, 3), colour, np.uint8))
        seen = (int(planes.y[8, 8]), int(planes.u[4, 4]), int(planes.v[4, 4]))
        assert np.abs(np.subtract(seen, to_yuv(colour, bt709=bt709))).max() <= 2


@pytest.mark.parametrize("style", ["blur", "pixelate"])
def test_what_was_found_is_hidden_with_a_margin_and_nothing_else(style: str) -> None:
    """A fine pattern loses its detail in the box; outside it stays to the last digit."""
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (128, 128, 3), dtype=np.uint8)
    planes, before = Planes.from_rgb(picture), Planes.from_rgb(picture)
    found = Detections(
        np.array([[40, 40, 90, 100]], np.float32), np.ones(1, np.float32), np.zeros(1, int),
        np.zeros(1, int),
    )  # fmt: skip
    Annotator(CLASSES, (128, 128), DrawStyle(style=style)).paint(planes, found, frame=0, time_s=0.0)
    assert planes.y[40:100, 40:90].std() < 0.35 * before.y[40:100, 40:90].std()
    edges = np.abs(np.diff(planes.y[36:104, 36:94].astype(int), axis=1)).mean()
    assert edges < 0.1 * np.abs(np.diff(before.y[36:104, 36:94].astype(int), axis=1)).mean()
    np.testing.assert_array_equal(planes.y[:30], before.y[:30])
    np.testing.assert_array_equal(planes.y[:, 100:], before.y[:, 100:])


def test_a_trace_shows_where_an_object_came_from() -> None:
    draw_style, size_hw = DrawStyle(labels=False), (64, 200)
    annotator = Annotator(CLASSES, size_hw, draw_style)
    for i in range(10):
        box = np.array([[10 + 15 * i, 30, 20 + 15 * i, 40]], np.float32)
        planes = Planes.from_rgb(np.full((*size_hw, 3), 128, np.uint8))
        found = Detections(box, np.ones(1, np.float32), np.zeros(1, int), np.array([5]))
        annotator.paint(planes, found, frame=i, time_s=i / 25)
    assert np.abs(planes.y[35, 20:140].astype(int) - 126).min() > 10
    assert (planes.y[50:] == planes.y[63, 0]).all()


@pytest.mark.parametrize(
    ("stamp", "text"),
    [("time", "1:01:01.500"), ("frame", "#12"), ("both", "1:01:01.500  #12"), ("none", "")],
)
def test_the_clock_says_hours_minutes_and_seconds(stamp: str, text: str) -> None:
    assert timestamp_text(stamp, 12, 3661.5) == text
    assert timestamp_text("time", 0, 59.9996) == "0:01:00.000"


def test_a_group_completes_or_abandons_all(tmp_path: Path, make_video: MakeVideo) -> None:
    source = make_video(tmp_path / "a.mp4", 4)
    job = OutputSpec("a.mp4", tmp_path / "new" / "folder" / "a", CLASSES, (64, 96), rate=25)
    for ends in ("close", "abandon"):
        group = OutputGroup(["video", "jsonl"], job)
        annotator = Annotator(CLASSES, (64, 96), DrawStyle())
        for frame in read_frames(source):
            group.write(AnnotatedFrame(frame, FOUND, annotator))
        group.sync()
        getattr(group, ends)()
    names = sorted(path.name for path in job.stem.parent.iterdir())
    assert names == [
        "a.annotated.mp4",
        "a.annotated.partial.mp4",
        "a.detections.jsonl",
        "a.detections.partial.jsonl",
    ]


def test_a_sequence_counts_frames_at_the_rate_of_its_source(tmp_path: Path) -> None:
    job = OutputSpec("a.mp4", tmp_path / "50%", CLASSES, (64, 96), rate=7.5, source_rate=30.0)
    output = WRITERS["mot"].make(job)
    output.close()
    parser = configparser.ConfigParser()
    parser.read(output.path / "seqinfo.ini", encoding="utf-8")
    assert parser["Sequence"]["frameRate"] == "30"
    assert parser["Sequence"]["name"] == "50%"


@pytest.mark.parametrize("kind", ["mot", "crops", "frames"])
def test_a_folder_that_cannot_get_its_name_is_an_error_that_names_it(
    kind: str, tmp_path: Path, make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    output = write_all(kind, tmp_path, make_video)
    monkeypatch.setattr("pathlib.Path.rename", full)
    with pytest.raises(OutputError, match=f"a.{kind}: .*No space left"):
        output.close()


@pytest.mark.parametrize("far", [1e8, 1e30])
def test_a_line_to_far_away_is_drawn_as_far_as_the_picture_goes(far: float) -> None:
    planes = Planes((64, 96))
    planes.y[:] = 16
    annotator = Annotator(CLASSES, (64, 96), DrawStyle())
    shape = Shape(((-far, 32.0), (far, 32.0)))
    annotator.paint(planes, Detections.none(), frame=0, time_s=0.0, shapes=(shape,))
    assert planes.y[32].min() > 200
    assert planes.y[:24].max() == planes.y[40:].max() == 16
