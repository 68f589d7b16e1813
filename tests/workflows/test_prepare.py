"""prepare: annotated videos in, a checked and split dataset out, or one line that says why not."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import grey_level, write_video
from PIL import Image

from lstmcli.cli.console import Console
from lstmcli.core.boxes import LETTERBOX_GREY, Letterbox
from lstmcli.core.errors import ConfigError, DataError, LstmcliError, MediaError, OutputError
from lstmcli.core.progress import SilentProgress
from lstmcli.dataset import frame_store
from lstmcli.dataset.manifest import Dataset
from lstmcli.dataset.plan import TimeSplit
from lstmcli.workflows.prepare import PrepareOptions, prepare

FRAMES = 8
SIZE_HW = (64, 96)
Labels = dict[str, Any]


def box_at(frame: int) -> list[float]:
    """Return x, y, width, height of the object in a frame."""
    return [10.0 + 2 * frame, 20.0, 24.0, 16.0]


def coco(videos: int = 2, frames: int = FRAMES, folder: str = "") -> Labels:
    """Return CocoVID labels of videos `folder/0.mp4` ..., one object a frame."""
    images = [
        {"id": 100 * v + f, "video_id": v, "frame_id": f, "file_name": f"{v}/{f:06d}.jpg"}
        for v in range(videos)
        for f in range(frames)
    ]
    return {
        "videos": [
            {
                "id": v,
                "name": f"clip-{v}",
                "file_name": f"{folder}{v}.mp4",
                "width": SIZE_HW[1],
                "height": SIZE_HW[0],
                "fps": 25,
            }
            for v in range(videos)
        ],
        "images": images,
        "annotations": [
            {
                "id": number,
                "image_id": image["id"],
                "category_id": 1 + int(str(image["video_id"])) % 2,
                "bbox": box_at(int(str(image["frame_id"]))),
                "instance_id": 5,
            }
            for number, image in enumerate(images)
        ],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}],
    }


def write(path: Path, labels: Labels, *, videos: int = 2, **more: Any) -> Path:
    """Write labels and the videos that they speak of beside them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for number in range(videos):
        write_video(path.parent / f"{number}.mp4", FRAMES, size_hw=SIZE_HW, **more)
    path.write_text(json.dumps(labels), encoding="utf-8")
    return path


def write_mot(folder: Path, *, frames: int = FRAMES) -> Path:
    """Write a MOT sequence: JPEGs, a pedestrian in every frame, a row that is not active."""
    (folder / "img1").mkdir(parents=True)
    (folder / "gt").mkdir()
    rows = []
    for frame in range(frames):
        picture = np.full((*SIZE_HW, 3), grey_level(frame), np.uint8)
        Image.fromarray(picture).save(folder / "img1" / f"{frame + 1:06d}.jpg", quality=95)
        x, y, width, height = box_at(frame)
        rows.append(f"{frame + 1},1,{x + 1},{y + 1},{width},{height},1,1,1")
        rows.append(f"{frame + 1},2,60,5,10,10,0,1,1")
    (folder / "gt" / "gt.txt").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (folder / "seqinfo.ini").write_text(
        f"[Sequence]\nname={folder.name}\nimDir=img1\nframeRate=20\nseqLength={frames}\n"
        f"imWidth={SIZE_HW[1]}\nimHeight={SIZE_HW[0]}\nimExt=.jpg\n",
        encoding="utf-8",
    )
    return folder


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labels of two videos, to be read and not to be changed."""
    return write(tmp_path_factory.mktemp("footage") / "labels.json", coco())


def files_of(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_cocovid_becomes_a_dataset(footage: Path, tmp_path: Path) -> None:
    prepared = prepare([footage], out=tmp_path / "dataset", options=PrepareOptions(every=1))
    dataset = Dataset.load(tmp_path / "dataset")
    assert dataset.classes == ("cat", "dog")
    assert dataset.canvas_hw == SIZE_HW
    assert sorted(video.name for video in dataset.videos) == ["clip-0", "clip-1"]
    assert sorted(video.split for video in dataset.videos) == ["train", "val"]
    for video in dataset.videos:
        assert Path(video.path) == footage.parent / f"{video.name[-1]}.mp4"
        assert (video.size_hw, video.rate) == (SIZE_HW, 25.0)
        assert video.frames.tolist() == list(range(FRAMES))
        np.testing.assert_allclose(video.times, np.arange(FRAMES) / 25, atol=1e-3)
        for frame in range(FRAMES):
            gt = video.labels.at(frame)
            assert gt is not None
            x, y, width, height = box_at(frame)
            assert gt.boxes.tolist() == [[x, y, x + width, y + height]]
            assert gt.tracks.tolist() == [5]
            assert gt.labels.tolist() == [int(video.name[-1]) % 2]
    assert prepared.dataset.folder == (tmp_path / "dataset").resolve()
    rows = {row.split: row for row in prepared.counts}
    assert set(rows) == {"train", "val"}
    assert rows["train"].frames == rows["train"].labelled == FRAMES
    assert sum(rows["train"].boxes.values()) == FRAMES
    assert rows["train"].median_side == pytest.approx((24 * 16) ** 0.5)
    assert not (tmp_path / "dataset.part").exists()


@pytest.mark.parametrize("store", ["raw", "jpeg"])
def test_the_frames_are_those_of_the_video(store: str, footage: Path, tmp_path: Path) -> None:
    out = tmp_path / "dataset"
    prepare([footage], out=out, options=PrepareOptions(store=store, every=1))
    dataset = Dataset.load(out)
    for video in dataset.videos:
        for frame, _, picture in dataset.frames(video):
            assert picture.shape == (*SIZE_HW, 3)
            assert np.abs(picture.astype(int) - grey_level(frame)).max() <= 5


def test_mot_becomes_a_dataset(tmp_path: Path) -> None:
    one, two = (write_mot(tmp_path / name) for name in ("MOT17-01", "MOT17-02"))
    prepare([one], val=[two], out=tmp_path / "dataset", options=PrepareOptions(every=1))
    dataset = Dataset.load(tmp_path / "dataset")
    assert dataset.classes == ("pedestrian",)
    assert {video.name: video.split for video in dataset.videos} == {
        "MOT17-01": "train",
        "MOT17-02": "val",
    }
    for video in dataset.videos:
        assert video.rate == 20.0
        for frame, time_s, picture in dataset.frames(video):
            assert time_s == pytest.approx(frame / 20)
            assert np.abs(picture.astype(int) - grey_level(frame)).max() <= 5
            gt = video.labels.at(frame)
            assert gt is not None
            assert gt.ignore.sum() == len(gt) - 1
            x, y, width, height = box_at(frame)
            np.testing.assert_allclose(
                gt.boxes[~gt.ignore], [[x, y, x + width, y + height]], atol=1.01
            )


def test_a_letterbox_is_undone_exactly(tmp_path: Path) -> None:
    """A canvas of another shape has grey bars; boxes go there and come back."""
    source = write(tmp_path / "labels.json", coco())
    prepare([source], out=tmp_path / "dataset", options=PrepareOptions(size_wh=(128, 128)))
    dataset = Dataset.load(tmp_path / "dataset")
    video = dataset.videos[0]
    letterbox = Letterbox(video.size_hw, dataset.canvas_hw)
    (height, width), (top, left) = letterbox.inner_hw, letterbox.offset_yx
    assert (height, width, top, left) == (85, 128, 21, 0)
    for frame, _, picture in dataset.frames(video):
        inside = picture[top + 2 : top + height - 2].astype(int)
        assert np.abs(inside - grey_level(frame)).max() <= 5
        bars = np.concatenate((picture[: top - 2], picture[top + height + 2 :])).astype(int)
        assert np.abs(bars - LETTERBOX_GREY).max() <= 2
        gt = video.labels.at(frame)
        assert gt is not None
        shown = dataset.canvas_boxes(video, gt.boxes)
        np.testing.assert_allclose(letterbox.to_source(shown), gt.boxes, atol=1e-3)


def test_previews_show_every_split(footage: Path, tmp_path: Path) -> None:
    prepared = prepare([footage], out=tmp_path / "dataset", options=PrepareOptions(previews=3))
    assert len(prepared.previews) >= 4
    for path in prepared.previews:
        assert path.parent == tmp_path / "dataset" / "preview"
        with Image.open(path) as picture:
            assert picture.size == (96, 64)
            colours = np.asarray(picture.convert("RGB")).reshape(-1, 3)
        assert (colours == (0xFF, 0xB0, 0x00)).all(axis=1).any()  # a box
        assert len(np.unique(colours, axis=0)) > 10  # and cells, grid, words
    assert {path.name.split("-")[0] for path in prepared.previews} == {"train", "val"}


def test_a_dataset_can_be_moved_without_its_videos(tmp_path: Path) -> None:
    source = write(tmp_path / "footage" / "labels.json", coco())
    prepare([source], out=tmp_path / "dataset")
    shutil.rmtree(tmp_path / "footage")
    (tmp_path / "dataset").rename(tmp_path / "moved")
    dataset = Dataset.load(tmp_path / "moved")
    assert all(not Path(video.store).is_absolute() for video in dataset.videos)
    assert sum(len(list(dataset.frames(video))) for video in dataset.videos) > 2


def test_the_named_sources_are_the_splits(tmp_path: Path) -> None:
    sources = [write(tmp_path / name / f"{name}.json", coco(), videos=2) for name in "abc"]
    prepared = prepare([sources[0]], val=[sources[1]], test=[sources[2]], out=tmp_path / "dataset")
    splits = [video.split for video in prepared.dataset.videos]
    assert splits == ["train", "train", "val", "val", "test", "test"]
    names = [video.name for video in prepared.dataset.videos]
    assert len(set(names)) == 6
    assert [row.split for row in prepared.counts] == ["train", "val", "test"]


def test_a_video_can_be_divided_in_time_with_a_gap(tmp_path: Path) -> None:
    labels = coco(videos=1, frames=50)
    source = write(tmp_path / "labels.json", labels, videos=0)
    write_video(tmp_path / "0.mp4", 50, size_hw=SIZE_HW)
    prepare(
        [source],
        out=tmp_path / "dataset",
        options=PrepareOptions(split_time=TimeSplit(0.6, gap_s=0.2), every=1),
    )
    train, val = Dataset.load(tmp_path / "dataset").videos
    assert (train.split, val.split) == ("train", "val")
    assert train.frames.tolist() == list(range(30))
    assert val.frames.tolist() == list(range(35, 50))  # 0.2 s are five frames
    for video in (train, val):
        assert video.labels.annotated_frames.tolist() == video.frames.tolist()
        assert video.times[0] == pytest.approx(video.frames[0] / 25, abs=1e-3)


def test_every_second_frame_can_be_taken(footage: Path, tmp_path: Path) -> None:
    prepared = prepare([footage], out=tmp_path / "dataset", options=PrepareOptions(every=2))
    for video in prepared.dataset.videos:
        assert video.frames.tolist() == [0, 2, 4, 6]
        np.testing.assert_allclose(video.times, video.frames / 25, atol=1e-3)


def test_classes_are_kept_in_the_given_order(footage: Path, tmp_path: Path) -> None:
    options = PrepareOptions(classes=("hound", "cat"), rename={"dog": "hound"})
    prepared = prepare([footage], out=tmp_path / "dataset", options=options)
    assert prepared.dataset.classes == ("hound", "cat")
    for video in prepared.dataset.videos:
        assert set(video.labels.labels.tolist()) == {1 - int(video.name[-1])}


def test_the_same_seed_splits_alike(tmp_path: Path) -> None:
    source = write(tmp_path / "labels.json", coco(videos=6), videos=6)
    splits = [
        [
            video.split
            for video in prepare(
                [source], out=tmp_path / str(number), options=PrepareOptions(seed=seed)
            ).dataset.videos
        ]
        for number, seed in enumerate((0, 0, 1, 2, 3))
    ]
    assert splits[0] == splits[1]
    assert any(split != splits[0] for split in splits[2:])


def test_unannotated_frames_stay_unannotated(tmp_path: Path) -> None:
    labels = coco()
    labels["images"] = [image for image in labels["images"] if image["frame_id"] in (1, 6)]
    kept = {image["id"] for image in labels["images"]}
    labels["annotations"] = [a for a in labels["annotations"] if a["image_id"] in kept]
    source = write(tmp_path / "labels.json", labels)
    prepared = prepare([source], out=tmp_path / "dataset", options=PrepareOptions(every=1))
    for video in prepared.dataset.videos:
        assert video.frames.tolist() == [1, 2, 3, 4, 5, 6]
        assert video.labels.annotated_frames.tolist() == [1, 6]
    assert all(row.labelled == 2 for row in prepared.counts)


def change(labels: Labels, number: int, box: list[float]) -> None:
    labels["annotations"][number]["bbox"] = box


def test_equal_warnings_are_merged_and_counted(tmp_path: Path) -> None:
    labels = coco()
    for number in (0, 1, 2):
        change(labels, number, [-10, 20, 24, 16])
    for number in (3, 4):
        change(labels, number, [200, 20, 24, 16])
    change(labels, 5, [10, 20, 0, 16])
    source = write(tmp_path / "labels.json", labels)
    prepared = prepare([source], out=tmp_path / "dataset", options=PrepareOptions(every=1))
    by_text = {warning.text: warning for warning in prepared.warnings}
    counts = {
        word: [warning.count for text, warning in by_text.items() if word in text]
        for word in ("beyond the picture", "outside the picture", "area")
    }
    assert counts == {"beyond the picture": [3], "outside the picture": [2], "area": [1]}
    for text, warning in by_text.items():
        if "picture" in text:
            assert warning.where.startswith("clip-0, frame ")
    ignored = [video.labels.ignore for video in prepared.dataset.videos]
    assert sum(int((~ignore).sum()) for ignore in ignored) == 2 * FRAMES - 3
    assert sum(int(ignore.sum()) for ignore in ignored) == 3, "their frames are never empty"


def test_a_frame_without_boxes_is_annotated(tmp_path: Path) -> None:
    labels = coco()
    labels["annotations"] = [a for a in labels["annotations"] if a["image_id"] != 3]
    source = write(tmp_path / "labels.json", labels)
    prepared = prepare([source], out=tmp_path / "dataset", options=PrepareOptions(every=1))
    gt = next(v for v in prepared.dataset.videos if v.name == "clip-0").labels.at(3)
    assert gt is not None
    assert len(gt) == 0


def test_a_dataset_is_replaced_only_with_overwrite(footage: Path, tmp_path: Path) -> None:
    out = tmp_path / "dataset"
    prepare([footage], out=out)
    before = (out / "dataset.json").read_bytes()
    with pytest.raises(OutputError, match="exists") as caught:
        prepare([footage], out=out, options=PrepareOptions(grid=16))
    assert "--overwrite" in caught.value.hint
    assert (out / "dataset.json").read_bytes() == before
    prepare([footage], out=out, options=PrepareOptions(grid=16), overwrite=True)
    assert Dataset.load(out).grid == 16


def test_a_folder_of_other_things_is_never_replaced(footage: Path, tmp_path: Path) -> None:
    (tmp_path / "precious.txt").touch()
    with pytest.raises(OutputError, match="holds other files"):
        prepare([footage], out=tmp_path, overwrite=True)
    with pytest.raises(OutputError):
        prepare([footage], out=tmp_path / "precious.txt", overwrite=True)
    assert files_of(tmp_path) == {"precious.txt"}


def test_a_failed_replacement_leaves_the_older_dataset(tmp_path: Path) -> None:
    source = write(tmp_path / "footage" / "labels.json", coco())
    prepare([source], out=tmp_path / "dataset")
    before = files_of(tmp_path)
    (tmp_path / "footage" / "1.mp4").write_bytes(b"no video any more")
    with pytest.raises(MediaError):
        prepare([source], out=tmp_path / "dataset", overwrite=True)
    assert files_of(tmp_path) == before
    Dataset.load(tmp_path / "dataset")


# --- bad input: what was found, where, what to do; nothing is left behind -----------------------

Case = tuple[Callable[[Path], Any], dict[str, Any], type[LstmcliError], str, str]


def labels_with(change_labels: Callable[[Labels], Any]) -> Callable[[Path], Path]:
    def lay_down(folder: Path) -> Path:
        labels = coco()
        changed = change_labels(labels)
        return write(folder / "labels.json", labels if changed is None else changed)

    return lay_down


def video_with(content: Callable[[bytes], bytes] | None) -> Callable[[Path], Path]:
    def lay_down(folder: Path) -> Path:
        path = write(folder / "labels.json", coco())
        video = folder / "1.mp4"
        if content is None:
            for medium in folder.glob("*.mp4"):
                medium.unlink()
        else:
            video.write_bytes(content(video.read_bytes()))
        return path

    return lay_down


def text(name: str, content: str) -> Callable[[Path], Path]:
    def lay_down(folder: Path) -> Path:
        path = folder / name
        path.write_text(content, encoding="utf-8")
        return path

    return lay_down


def none_at_all(labels: Labels) -> None:
    labels["annotations"] = []


def one_video(labels: Labels) -> Labels:
    return coco(videos=1)


def too_late(labels: Labels) -> None:
    labels["images"].append({"id": 999, "video_id": 1, "frame_id": 50, "file_name": "1/000050.jpg"})
    labels["annotations"].append(
        {"id": 999, "image_id": 999, "category_id": 1, "bbox": [1, 2, 3, 4]}
    )


def set_box(box: list[Any]) -> Callable[[Labels], None]:
    return lambda labels: change(labels, 3, box)


def other_size(labels: Labels) -> None:
    for video in labels["videos"]:
        video["width"], video["height"] = 192, 128


BAD: dict[str, Case] = {
    "labels that are missing": (
        lambda folder: folder / "none.json",
        {},
        DataError,
        "none.json",
        "",
    ),
    "labels that are empty": (text("labels.json", ""), {}, DataError, "labels.json", ""),
    "labels that are cut short": (
        text("labels.json", json.dumps(coco())[:900]),
        {},
        DataError,
        "labels.json",
        "",
    ),
    "labels that are none": (text("labels.txt", "hello\n"), {}, DataError, "labels.txt", ""),
    "an empty folder": (lambda folder: folder, {}, DataError, "", ""),
    "an unknown format": (
        labels_with(lambda labels: None),
        {"options": PrepareOptions(format="coccoo")},
        ConfigError,
        "'coccoo'",
        "'coco'",
    ),
    "videos that are missing": (video_with(None), {}, MediaError, "0.mp4", "--media"),
    "a video that is empty": (video_with(lambda data: b""), {}, MediaError, "1.mp4", ""),
    "a video that is none": (
        video_with(lambda data: b"just text, no video"),
        {},
        MediaError,
        "1.mp4",
        "",
    ),
    "a video that is cut short": (
        video_with(lambda data: data[: len(data) // 3]),
        {},
        LstmcliError,
        "",
        "",
    ),
    "a folder for media that is not there": (
        labels_with(lambda labels: None),
        {"options": PrepareOptions(media=Path("nowhere"))},
        MediaError,
        "nowhere: there is no such folder",
        "--media",
    ),
    "a frame that the video does not have": (
        labels_with(too_late),
        {},
        DataError,
        "clip-1: 1 boxes lie after the video's end, up to frame 50; it has frames 0 to 7",
        "another video",
    ),
    "a coordinate that is not a number": (
        labels_with(set_box([1, float("nan"), 3, 4])),
        {},
        DataError,
        "labels.json",
        "finite",
    ),
    "a coordinate without end": (
        labels_with(set_box([1, 2, float("inf"), 4])),
        {},
        DataError,
        "labels.json",
        "finite",
    ),
    "a coordinate that is text": (
        labels_with(set_box([1, 2, "wide", 4])),
        {},
        DataError,
        "annotation 3: the bbox is [1, 2, 'wide', 4]",
        "[x, y, width, height]",
    ),
    "no boxes": (
        labels_with(none_at_all),
        {},
        DataError,
        "there is no box in these labels",
        "annotate",
    ),
    "one video": (
        labels_with(one_video),
        {},
        DataError,
        "there is only one video",
        "--split-time",
    ),
    "videos of another size": (
        labels_with(other_size),
        {},
        MediaError,
        "0.mp4: 96x64 pixels, the labels have 192x128",
        "another copy",
    ),
    "a class that is not there": (
        labels_with(lambda labels: None),
        {"options": PrepareOptions(classes=("cta",))},
        DataError,
        "the labels have no class 'cta'",
        "'cat'",
    ),
    "a size that does not divide": (
        labels_with(lambda labels: None),
        {"options": PrepareOptions(size_wh=(100, 100))},
        DataError,
        "--size 100,100: sides must be multiples of 32",
        "--size 96,96",
    ),
    "an unknown store": (
        labels_with(lambda labels: None),
        {"options": PrepareOptions(store="zip")},
        ConfigError,
        "no frame store named 'zip'",
        "raw",
    ),
    "the present folder": (
        labels_with(lambda labels: None),
        {"out": "."},
        OutputError,
        ".: ",
        "--out",
    ),
    "a file in the way": (
        labels_with(lambda labels: None),
        {"out": "in-the-way/dataset"},
        OutputError,
        "Not a directory",
        "--out",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_invalid_data_is_an_error_and_leaves_no_dataset(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay_down, asked, kind, problem, hint = BAD[name]
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "footage"
    folder.mkdir()
    (tmp_path / "in-the-way").touch()
    source = lay_down(folder)
    before = files_of(tmp_path)
    with pytest.raises(LstmcliError) as caught:
        prepare([source], out=Path(asked.get("out", "dataset")), options=asked.get("options"))
    assert isinstance(caught.value, kind), repr(caught.value)
    assert problem in caught.value.problem
    assert hint in caught.value.hint
    assert caught.value.hint
    assert "\n" not in caught.value.problem
    assert files_of(tmp_path) == before
    assert not (tmp_path / "dataset").exists()
    assert not (tmp_path / "dataset.part").exists()


@pytest.mark.parametrize(
    ("number", "word"), [(errno.ENOSPC, "No space left"), (errno.EDQUOT, "quota")]
)
def test_a_full_disk_is_an_error_and_leaves_nothing(
    number: int, word: str, footage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    added = frame_store.FrameStoreWriter.add

    def add(self: frame_store.FrameStoreWriter, canvas: Any) -> None:
        if len(self._offsets) > 3:
            raise OSError(number, "No space left on device" if number == 28 else "Disk quota")
        added(self, canvas)

    monkeypatch.setattr(frame_store.FrameStoreWriter, "add", add)
    with pytest.raises(OutputError, match=word) as caught:
        prepare([footage], out=tmp_path / "dataset")
    assert "--out" in caught.value.hint
    assert not list(tmp_path.iterdir())


@pytest.fixture
def small_files() -> Iterator[None]:
    """Let the system refuse to write more than 20,000 bytes to a file."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("small_files")
def test_a_refused_write_is_an_error_and_leaves_nothing(footage: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="File too large"):
        prepare([footage], out=tmp_path / "dataset", options=PrepareOptions(store="raw"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_folder_that_cannot_be_written_is_an_error(
    number: int, footage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever runs the tests may write anywhere, so the system's answer is played."""
    made = Path.mkdir

    def mkdir(self: Path, *args: Any, **more: Any) -> None:
        if "locked" in self.parts:
            raise OSError(number, "Permission denied", str(self))
        made(self, *args, **more)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    with pytest.raises(OutputError, match=r"locked.*Permission denied") as caught:
        prepare([footage], out=tmp_path / "locked" / "dataset")
    assert "--out" in caught.value.hint


def test_an_interruption_leaves_nothing(
    footage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*args: Any, **more: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lstmcli.workflows.prepare.write_previews", stop)
    with pytest.raises(KeyboardInterrupt):
        prepare([footage], out=tmp_path / "dataset")
    assert not list(tmp_path.iterdir())


def test_images_of_another_size_are_an_error(tmp_path: Path) -> None:
    folder = write_mot(tmp_path / "seq")
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(folder / "img1" / "000004.jpg")
    with pytest.raises(MediaError, match=r"000004\.jpg: 32x32 pixels, the labels have 96x64"):
        prepare(
            [folder],
            out=tmp_path / "dataset",
            options=PrepareOptions(split_time=TimeSplit(0.5, 0.0), every=1),
        )


def test_labels_with_a_shorter_frame_count_lose_nothing(tmp_path: Path) -> None:
    labels = coco()
    for video in labels["videos"]:
        video["length"] = 3
    source = write(tmp_path / "labels.json", labels)
    prepared = prepare([source], out=tmp_path / "dataset", options=PrepareOptions(every=1))
    assert all(len(video.frames) == FRAMES for video in prepared.dataset.videos)


def test_an_image_that_is_missing_is_counted(tmp_path: Path) -> None:
    folder = write_mot(tmp_path / "seq")
    for frame in (4, 5):
        (folder / "img1" / f"{frame:06d}.jpg").unlink()
    prepared = prepare(
        [folder],
        out=tmp_path / "dataset",
        options=PrepareOptions(split_time=TimeSplit(0.5, 0.0), every=1),
    )
    frames = [frame for video in prepared.dataset.videos for frame in video.frames.tolist()]
    assert frames == [0, 1, 2, 5, 6, 7]
    assert [w.count for w in prepared.warnings if "not there" in w.text] == [2]


def test_the_current_folder_is_not_replaced(
    footage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for out in (Path(), Path(".."), tmp_path / "here", tmp_path):
        with pytest.raises(OutputError) as caught:
            prepare([footage], out=out)
        assert "--out" in caught.value.hint
    assert files_of(tmp_path) == set()


def test_a_folder_with_the_suffix_part_is_kept(footage: Path, tmp_path: Path) -> None:
    (tmp_path / "a.part").mkdir()
    (tmp_path / "a.part" / "notes.txt").write_text("precious")
    prepare([footage], out=tmp_path / "a")
    assert (tmp_path / "a.part" / "notes.txt").read_text() == "precious"


def test_a_video_with_ignored_regions_alone_has_no_warning(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    labels = coco()
    for row in labels["annotations"][:FRAMES]:
        row["iscrowd"] = 1
    prepare([write(tmp_path / "l.json", labels)], out=tmp_path / "a")
    assert not [w for w in recwarn if "empty slice" in str(w.message)]


def test_omissions_are_reported_before_a_failure(tmp_path: Path) -> None:
    notes: list[str] = []

    class Listening(SilentProgress):
        def note(self, text: str) -> None:
            notes.append(text)

    path = write(tmp_path / "l.json", coco(), videos=1)
    with pytest.raises(DataError, match="only one video"):
        prepare([path], out=tmp_path / "a", progress=Listening())
    assert notes == ["1.mp4: a video that is not there; left out"]


def test_pictures_of_every_tenth_frame_lack_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    images, boxes = [], []
    for n in range(0, 80, 10):
        Image.fromarray(np.full((*SIZE_HW, 3), grey_level(n // 10), np.uint8)).save(
            folder / f"frame_{n:04d}.png"
        )
        images.append({"id": n, "file_name": f"frames/frame_{n:04d}.png"})
        boxes.append({"image_id": n, "category_id": 1, "bbox": box_at(n // 10)})
    labels = {
        "videos": [{"id": 1, "name": "v"}],
        "images": [{**row, "video_id": 1, "frame_id": row["id"]} for row in images],
        "annotations": boxes,
        "categories": [{"id": 1, "name": "cat"}],
    }
    prepared = prepare(
        [write(tmp_path / "l.json", labels, videos=0)],
        out=tmp_path / "a",
        options=PrepareOptions(split_time=TimeSplit(0.5, 0.0)),
    )
    assert not [w for w in prepared.warnings if "missing from the video" in w.text]


def test_a_class_may_be_called_like_markup(capsys: pytest.CaptureFixture[str]) -> None:
    Console().table(["split", "[/bold] x"], [("train", "1")])
    assert "[/bold] x" in capsys.readouterr().out
