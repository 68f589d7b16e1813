"""Media are found wherever they lie on this computer, and what is missing is said."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lstmcli.core.errors import MediaError
from lstmcli.core.types import LabelSet, VideoLabels
from lstmcli.labels.media import locate_media
from lstmcli.labels.media_finder import MediaFinder, media_files

MakeVideo = Callable[..., Path]


def labels_of(*videos: VideoLabels) -> LabelSet:
    return LabelSet(("a",), videos)


def entry(name: str = "v", media: str | None = "", **changes: object) -> VideoLabels:
    """Give a video with a box in each of its frames 0 to 2."""
    fields: dict[str, object] = {
        "annotated_frames": np.arange(3),
        "box_frames": np.arange(3),
        "boxes": np.array([[1, 2, 3, 4]] * 3, np.float32),
        "labels": np.zeros(3, np.int64),
        "tracks": np.full(3, -1),
        "ignore": np.zeros(3, np.bool_),
        "size_hw": (8, 8),
    }
    return VideoLabels(name, media, **(fields | changes))  # type: ignore[arg-type]


def touched(folder: Path, *names: str) -> Path:
    """Make files that only need to be there."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return folder


@pytest.mark.parametrize(
    ("written", "there"),
    [
        ("films/a b.mp4", "films/a b.mp4"),
        ("./films/../films/a.mp4", "films/a.mp4"),
        ("a.mp4", "videos/a.mp4"),
        ("films/a%20b%C3%A4.mp4", "films/a bä.mp4"),
        ("C:\\Users\\me\\films\\a.mp4", "deep/films/a.mp4"),
        ("/home/user/films/a.mp4", "deep/films/a.mp4"),
        ("file:///data/films/a.mp4", "films/a.mp4"),
        ("https://host/x/a.mp4?token=1", "a.mp4"),
        ("/data/local-files/?d=films/a%20b.mp4", "films/a b.mp4"),
        ("/data/upload/3/0a1b2c3d-a.mp4", "a.mp4"),
        ("A.MP4", "a.mp4"),
        ("a.avi", "films/a.mp4"),
        (unicodedata.normalize("NFD", "Vögel.mp4"), "Vögel.mp4"),
        (unicodedata.normalize("NFC", "Vögel.mp4"), unicodedata.normalize("NFD", "Vögel.mp4")),
    ],
)
def test_a_path_of_any_kind_is_found(written: str, there: str, tmp_path: Path) -> None:
    touched(tmp_path, there, "labels.json", "other/zzz.mp4")
    found = MediaFinder(tmp_path / "labels.json").find(written, video=True)
    assert found is not None
    assert found.resolve() == (tmp_path / there).resolve()


def test_an_absolute_path_that_exists_is_taken(tmp_path: Path) -> None:
    touched(tmp_path, "far/a.mp4", "near/labels.json", "near/a.mp4")
    found = MediaFinder(tmp_path / "near/labels.json").find(f"{tmp_path}/far/a.mp4", video=True)
    assert found == tmp_path / "far/a.mp4"


def test_of_several_the_one_with_the_same_folders_is_taken(tmp_path: Path) -> None:
    touched(tmp_path, "x/one/0001.jpg", "x/two/0001.jpg")
    found = MediaFinder(tmp_path).find("D:/data/two/0001.jpg", video=False)
    assert found == tmp_path / "x/two/0001.jpg"


def test_images_beside_the_folder_of_the_labels_are_found(tmp_path: Path) -> None:
    touched(tmp_path, "set/Annotations/a.xml", "set/JPEGImages/a.png", "0/1/2/a.jpg")
    finder = MediaFinder(tmp_path / "set/Annotations")
    assert finder.find("a.jpg", video=False) == tmp_path / "set/JPEGImages/a.png"


def test_a_mere_number_far_above_is_no_evidence(tmp_path: Path) -> None:
    touched(tmp_path, "labels/000001.txt", "other/deep/set/000001.png")
    assert MediaFinder(tmp_path / "labels").find("000001.jpg", video=False) is None


def test_media_of_the_neighbouring_data_set_are_not_taken(tmp_path: Path) -> None:
    touched(tmp_path, "birds/labels.json", "cats/video.mp4")
    assert MediaFinder(tmp_path / "birds").find("video.mp4", video=True) is None
    assert MediaFinder(tmp_path / "birds/labels.json").find("video.mp4", video=True) is None


def test_only_media_are_ever_opened(tmp_path: Path) -> None:
    touched(tmp_path, "secret", "labels/a.json")
    finder = MediaFinder(tmp_path / "labels/a.json")
    assert finder.find("../secret", video=True) is None
    assert finder.find("/etc/passwd", video=False) is None


def test_hidden_prepared_and_annotated_files_are_no_media(tmp_path: Path) -> None:
    touched(tmp_path, ".trash/a.mp4", "dataset/dataset.json", "dataset/b.mp4", "c.annotated.mp4")
    touched(tmp_path, "d.mp4")
    assert [path.name for path in media_files(tmp_path)] == ["d.mp4"]


def test_a_folder_that_contains_itself_ends(tmp_path: Path) -> None:
    touched(tmp_path, "in/a.mp4")
    (tmp_path / "in" / "again").symlink_to(tmp_path)
    assert [path.name for path in media_files(tmp_path)] == ["a.mp4"]


def test_a_video_without_a_told_path_is_found_by_its_name(tmp_path: Path) -> None:
    touched(tmp_path, "v.mp4", "w.mp4")
    (video,) = locate_media(labels_of(entry("w")), tmp_path).videos
    assert video.media == str(tmp_path / "w.mp4")


def test_the_only_video_beside_the_labels_is_it(tmp_path: Path) -> None:
    touched(tmp_path, "whatever.mp4", "labels.txt")
    (video,) = locate_media(labels_of(entry("task 1")), tmp_path / "labels.txt").videos
    assert video.media == str(tmp_path / "whatever.mp4")


def test_a_told_path_is_not_replaced_by_any_video(tmp_path: Path) -> None:
    touched(tmp_path, "whatever.mp4")
    with pytest.raises(MediaError, match=r"'films/a\.mp4' is not found") as caught:
        locate_media(labels_of(entry(media="films/a.mp4")), tmp_path)
    assert "--media" in caught.value.hint


def test_the_media_folder_of_the_person_comes_first(tmp_path: Path) -> None:
    touched(tmp_path, "labels/a.mp4", "films/a.mp4")
    (video,) = locate_media(
        labels_of(entry(media="a.mp4")), tmp_path / "labels", tmp_path / "films"
    ).videos
    assert video.media == str(tmp_path / "films/a.mp4")


def test_the_media_may_be_one_file(tmp_path: Path) -> None:
    touched(tmp_path, "labels/a.json", "films/other.mp4")
    (video,) = locate_media(
        labels_of(entry(media="a.mp4")), tmp_path / "labels", tmp_path / "films/other.mp4"
    ).videos
    assert video.media == str(tmp_path / "films/other.mp4")


def test_a_media_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="no such folder"):
        locate_media(labels_of(entry()), tmp_path, tmp_path / "nowhere")


def test_a_missing_video_is_left_out_and_counted(tmp_path: Path) -> None:
    touched(tmp_path, "a.mp4")
    found = locate_media(labels_of(entry("a", "a.mp4"), entry("b", "b.mp4")), tmp_path)
    assert [video.name for video in found.videos] == ["a"]
    assert [(w.text, w.where, w.count) for w in found.warnings] == [
        ("a video that is not there; left out", "b.mp4", 1)
    ]


def test_a_missing_image_takes_its_frame_with_it(tmp_path: Path) -> None:
    touched(tmp_path, "f/0.jpg", "f/2.jpg")
    frames = entry(media=None, images=("f/0.jpg", "f/1.jpg", "f/2.jpg"))
    found = locate_media(labels_of(frames), tmp_path)
    (video,) = found.videos
    np.testing.assert_array_equal(video.annotated_frames, [0, 2])
    np.testing.assert_array_equal(video.box_frames, [0, 2])
    assert video.images == (str(tmp_path / "f/0.jpg"), "", str(tmp_path / "f/2.jpg"))
    assert found.warnings[0].count == 1


def test_frames_whose_images_are_gone_are_taken_from_the_video(tmp_path: Path) -> None:
    touched(tmp_path, "films/clip.mp4")
    frames = entry("one", media=None, images=("clip/0.jpg", "clip/1.jpg", "clip/2.jpg"))
    (video,) = locate_media(labels_of(frames), tmp_path).videos
    assert (video.media, video.images) == (str(tmp_path / "films/clip.mp4"), ())
    np.testing.assert_array_equal(video.annotated_frames, [0, 1, 2])


def test_stills_whose_images_are_gone_become_frames_of_their_film(tmp_path: Path) -> None:
    touched(tmp_path, "clip.mp4", "other.mp4")
    stills = [
        entry(
            f"clip_{n:04d}",
            None,
            images=(f"exports/clip_{n:04d}.jpg",),
            annotated_frames=np.zeros(1, np.int64),
            box_frames=np.zeros(3, np.int64),
        )
        for n in (1, 7)
    ]
    found = locate_media(labels_of(*stills), tmp_path)
    (video,) = found.videos
    assert video.media == str(tmp_path / "clip.mp4")
    np.testing.assert_array_equal(video.annotated_frames, [0, 6])
    np.testing.assert_array_equal(video.box_frames, [0, 0, 0, 6, 6, 6])
    assert "counted from 1" in found.warnings[0].text


def test_sizes_are_asked_of_the_media_only_where_nobody_told_them(
    make_video: MakeVideo, tmp_path: Path
) -> None:
    make_video(tmp_path / "turned.mp4", frames=2, size_hw=(64, 96), turn=90)
    Image.new("RGB", (30, 20)).save(tmp_path / "a.png")
    touched(tmp_path, "empty.mp4")
    found = locate_media(
        labels_of(
            entry("turned", "turned.mp4", size_hw=None),
            entry(
                "a", None, images=("a.png",), size_hw=None, annotated_frames=np.zeros(1, np.int64)
            ),
            entry("empty", "empty.mp4"),
        ),
        tmp_path,
    )
    assert [video.size_hw for video in found.videos] == [(96, 64), (20, 30), (8, 8)]


def test_an_image_that_does_not_open_is_told(tmp_path: Path) -> None:
    touched(tmp_path, "a.png")
    with pytest.raises(MediaError, match=r"a\.png"):
        locate_media(labels_of(entry("a", None, images=("a.png",), size_hw=None)), tmp_path)


@pytest.mark.real
def test_every_video_of_the_real_sets_is_found(shared: Path) -> None:
    from lstmcli.labels.search import read_labels

    data = shared / "data"
    for source, count in ((data / "sky/val", 35), (data / "people", 3), (data / "flies", 1)):
        found = locate_media(read_labels(source), source)
        assert len(found.videos) == count
        assert all(Path(v.media or v.images[0]).is_file() for v in found.videos)


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("annotations/instances_train2017.json", "train2017/1.png"),
        ("annotations/instances_val2017.json", "val2017/1.png"),
        ("val2017/deep/a.json", "val2017/1.png"),
    ],
)
def test_of_equal_names_the_one_that_the_label_file_tells_is_taken(
    source: str, wanted: str, tmp_path: Path
) -> None:
    for name in ("train2017/1.png", "val2017/1.png"):
        touched(tmp_path, name)
        (tmp_path / name).write_text(name)
    touched(tmp_path, source)
    finder = MediaFinder(tmp_path / source, tmp_path)
    assert finder.find("1.png", video=False) == tmp_path / wanted


def test_equal_names_that_nothing_tells_apart_are_told_unless_they_are_copies(
    tmp_path: Path,
) -> None:
    touched(tmp_path, "x/1.png", "y/1.png")
    assert MediaFinder(tmp_path).find("1.png", video=False) == tmp_path / "x/1.png"
    (tmp_path / "y/1.png").write_text("other")
    with pytest.raises(MediaError, match=r"x/1\.png or .*y/1\.png"):
        MediaFinder(tmp_path).find("1.png", video=False)
