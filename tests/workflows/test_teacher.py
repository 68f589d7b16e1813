"""`prepare --teacher`: from footage without labels to a dataset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmcli.core.errors import ConfigError, DataError, OutputError
from lstmcli.core.metadata import ModelMetadata
from lstmcli.labels.search import read_labels
from lstmcli.workflows.prepare import PrepareOptions, TimeSplit, prepare
from lstmcli.workflows.prepare import teacher as workflow
from lstmcli.workflows.prepare.teacher import SCORES, label_footage
from lstmcli.workflows.prepare.teacher_ensemble import TeacherOptions
from lstmcli.workflows.prepare.tiles import are_whole, tiles_of
from tests.conftest import write_video


class BrightSquare:
    """A detector that finds what is bright."""

    engine, device = "test", "cpu"

    def __init__(
        self,
        classes: tuple[str, ...] = ("person", "car"),
        score: float = 0.9,
        least: int = 1,
    ) -> None:
        self.metadata = ModelMetadata(classes, (64, 96), nms="none")
        self.score, self.least, self.steps = score, least, 0

    def step(self, frame: Any, previous_frame: Any, state: Any) -> Any:
        self.steps += 1
        rows, columns = np.nonzero(frame.mean(axis=2) > 180)
        if not len(rows) or np.ptp(rows) + 1 < self.least:
            return np.zeros((0, 4), np.float32), np.zeros((0, 2), np.float32), None
        box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        scores = np.zeros((1, len(self.metadata.classes)), np.float32)
        scores[0, 0] = self.score
        return np.array([box], np.float32), scores, None


@pytest.fixture
def footage(tmp_path: Path) -> Path:
    """A video of 12 frames in which a square moves, hidden in two of them."""
    frames = np.full((12, 64, 96, 3), 40, np.uint8)
    for n, frame in enumerate(frames):
        if n not in (5, 6):
            frame[20:40, 10 + 4 * n : 30 + 4 * n] = 250
    return write_video(tmp_path / "footage" / "a.mp4", frames, rate=10)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path) -> None:
    (tmp_path / "footage").mkdir()


def scores_in(folder: Path) -> list[dict[str, Any]]:
    text = (folder / SCORES).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def use(monkeypatch: pytest.MonkeyPatch, **teachers: BrightSquare) -> None:
    def load(name: str, **options: object) -> BrightSquare:
        return teachers[name]

    monkeypatch.setattr(workflow, "load_runtime", load)


def test_a_clip_becomes_a_dataset(
    tmp_path: Path, footage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, one=BrightSquare())
    options = TeacherOptions(("one",), rename={"person": "walker"})
    taught = label_footage([footage], tmp_path / "d.teacher", options)
    assert (taught.frames, taught.boxes, taught.interpolated, taught.uncertain) == (12, 12, 2, 0)
    labels = read_labels(taught.path)
    assert labels.classes == ("walker",)
    (video,) = labels.videos
    assert video.box_frames.tolist() == list(range(12))
    assert len(set(video.tracks.tolist())) == 1
    lines = scores_in(tmp_path / "d.teacher")
    assert [line["status"] for line in lines][4:7] == ["detected", "interpolated", "interpolated"]
    assert lines[0]["score"] == pytest.approx(0.9)
    prepared = prepare(
        [taught.path],
        out=tmp_path / "d",
        options=PrepareOptions(split_time=TimeSplit(0.5, 0.0), notes=taught.notes, every=1),
    )
    assert sum(split.boxes["walker"] for split in prepared.counts) == 12
    assert any("teacher" in warning.text for warning in prepared.warnings)
    assert "interpolated boxes: 17%" in (tmp_path / "d" / "preview" / "index.html").read_text()


def test_a_second_run_uses_the_cache(
    tmp_path: Path, footage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = BrightSquare()
    use(monkeypatch, one=teacher)
    options = TeacherOptions(("one",))
    first = label_footage([footage], tmp_path / "t", options)
    steps = teacher.steps
    again = label_footage([footage], tmp_path / "t", options)
    assert teacher.steps == steps + workflow.TRIAL_FRAMES
    assert again == first
    other = TeacherOptions(("one",), every=3)
    label_footage([footage], tmp_path / "t", other, overwrite=True)
    assert teacher.steps == steps + 2 * workflow.TRIAL_FRAMES + 4


def test_a_damaged_cache_is_detected_again(
    tmp_path: Path, footage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = BrightSquare()
    use(monkeypatch, one=teacher)
    options = TeacherOptions(("one",))
    first = label_footage([footage], tmp_path / "t", options)
    (cache,) = (tmp_path / "t").glob("*.npz")
    cache.write_bytes(cache.read_bytes()[:200])
    assert label_footage([footage], tmp_path / "t", options) == first
    assert len(cache.read_bytes()) > 200


def test_corrected_labels_are_kept_without_overwrite(
    tmp_path: Path, footage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, one=BrightSquare())
    options, labels = TeacherOptions(("one",)), tmp_path / "t" / "labels.json"
    label_footage([footage], tmp_path / "t", options)
    made = labels.read_bytes()
    labels.write_bytes(made + b"\n")
    with pytest.raises(OutputError, match=r"labels\.json exists"):
        label_footage([footage], tmp_path / "t", options)
    assert labels.read_bytes() == made + b"\n"
    label_footage([footage], tmp_path / "t", options, overwrite=True)
    assert labels.read_bytes() == made


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": np.array([7] * 12)},
        {"counts": np.full(12, 3)},
        {"counts": np.full(12, -1)},
        {"boxes": np.full((12, 4), np.nan, np.float32)},
        {"boxes": np.zeros((12, 5), np.float32)},
        {"scores": np.full(12, 2.0, np.float32)},
        {"frames": np.zeros(12, np.int64)},
        {"times": np.array(["x"] * 12, object)},
        {"sizes": np.full((12, 2), -4)},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_a_cache_of_wrong_values_is_detected_again(
    changes: dict[str, np.ndarray],
    tmp_path: Path,
    footage: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    use(monkeypatch, one=BrightSquare())
    options = TeacherOptions(("one",))
    first = label_footage([footage], tmp_path / "t", options)
    (cache,) = (tmp_path / "t").glob("*.npz")
    sound = cache.read_bytes()
    with np.load(cache) as values:
        np.savez(cache, **(dict(values) | changes))
    assert label_footage([footage], tmp_path / "t", options) == first
    assert cache.read_bytes() == sound


def test_two_teachers_are_fused_over_those_that_have_a_class(
    tmp_path: Path, footage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = BrightSquare(), BrightSquare(("person", "dog"), 0.5)
    use(monkeypatch, one=one, two=two, three=BrightSquare(("dog", "cat"), 0.6))
    label_footage([footage], tmp_path / "t", TeacherOptions(("one", "two")))
    line = scores_in(tmp_path / "t")[0]
    assert line["class"] == "person"
    assert line["score"] == pytest.approx(0.7)
    options = TeacherOptions(("one", "three"), classes=("person",))
    label_footage([footage], tmp_path / "u", options)
    line = scores_in(tmp_path / "u")[0]
    assert line["score"] == pytest.approx(0.9)


@pytest.mark.parametrize("tiles", [1, 2, 8])
def test_pictures_of_all_sizes_are_labelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiles: int
) -> None:
    from PIL import Image

    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, size_hw in (("a", (64, 200)), ("b", (300, 120)), ("c", (97, 33)), ("d", (5, 7))):
        picture = np.full((*size_hw, 3), 40, np.uint8)
        picture[2 : size_hw[0] // 2, 2 : size_hw[1] // 2] = 250
        Image.fromarray(picture).save(folder / f"{name}.png")
    use(monkeypatch, one=BrightSquare())
    taught = label_footage([folder], tmp_path / "t", TeacherOptions(("one",), tiles=tiles))
    labels = read_labels(taught.path)
    assert sorted(video.name for video in labels.videos) == ["a", "b", "c", "d"]
    (wide,) = (video for video in labels.videos if video.name == "a")
    np.testing.assert_allclose(wide.boxes[0], (2, 2, 100, 32), atol=3)


def test_tiles_find_what_is_small_and_count_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A detector of 64 x 96 pixels misses a square of 8 in 256 x 384 and sees one of 150 once."""
    frames = np.full((4, 256, 384, 3), 40, np.uint8)
    frames[:, 20:28, 340:348] = 250
    video = write_video(tmp_path / "footage" / "small.mp4", frames, rate=10)
    teacher = BrightSquare(least=3)
    use(monkeypatch, one=teacher)
    with pytest.raises(DataError, match="no detections") as caught:
        label_footage([video], tmp_path / "a", TeacherOptions(("one",)))
    assert "--tiles 2" in caught.value.hint
    teacher.steps = 0
    options = TeacherOptions(("one",), tiles=2)
    taught = label_footage([video], tmp_path / "a", options)  # the cache of one view is not taken
    assert taught.boxes == 4
    assert teacher.steps == 5 * (4 + workflow.TRIAL_FRAMES)
    (labels,) = read_labels(taught.path).videos
    np.testing.assert_allclose(labels.boxes, [[340, 20, 348, 28]] * 4, atol=2)
    frames[:, 20:28, 340:348] = 40
    frames[:, 50:200, 100:250] = 250  # in the middle: every tile cuts it
    video = write_video(tmp_path / "footage" / "large.mp4", frames, rate=10)
    (labels,) = read_labels(label_footage([video], tmp_path / "b", options).path).videos
    np.testing.assert_allclose(labels.boxes, [[100, 50, 250, 200]] * 4, atol=4)


@pytest.mark.parametrize("size_hw", [(256, 384), (97, 33), (2, 3), (1080, 1920)])
@pytest.mark.parametrize("count", [2, 3, 8])
def test_tiles_cover_the_frame_and_show_small_objects_whole(
    size_hw: tuple[int, int], count: int
) -> None:
    tiles = tiles_of(size_hw, count)
    seen = np.zeros(size_hw, np.int64)
    for left, top, right, bottom in tiles:
        assert 0 <= left < right <= size_hw[1]
        assert 0 <= top < bottom <= size_hw[0]
        seen[top:bottom, left:right] += 1
    assert len(tiles) == count * count
    assert seen.min() >= 1
    if min(size_hw) < 200:
        return
    side = 0.12 * min(size_hw) / count
    places = np.random.default_rng(0).random((200, 2)) * (np.array(size_hw[::-1]) - side)
    boxes = np.concatenate((places, places + side), axis=1).astype(np.float32)
    whole = np.zeros(200, bool)
    for tile in tiles:
        left, top, right, bottom = tile
        inside = (boxes[:, :2] >= (left, top)).all(1) & (boxes[:, 2:] <= (right, bottom)).all(1)
        whole |= inside & are_whole(boxes, tile, size_hw)
    assert whole.all()


def test_teachers_without_detections_are_an_error_with_a_hint(
    tmp_path: Path, footage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, one=BrightSquare(score=0.01))
    with pytest.raises(DataError, match="no detections in 12 frames") as caught:
        label_footage([footage], tmp_path / "t", TeacherOptions(("one",), classes=("person",)))
    assert "another teacher" in caught.value.hint
    assert not list((tmp_path / "t").glob("*.json*"))  # no labels that say there is nothing


def test_an_unknown_class_of_teachers_has_a_near_one(
    tmp_path: Path, footage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, one=BrightSquare())
    with pytest.raises(ConfigError, match="has a class 'persons'") as caught:
        label_footage([footage], tmp_path / "t", TeacherOptions(("one",), classes=("persons",)))
    assert "person" in caught.value.hint
    with pytest.raises(ConfigError, match="has a class 'boat'"):
        label_footage([footage], tmp_path / "t", TeacherOptions(("one",), rename={"boat": "b"}))


def test_unrelated_pictures_are_labelled_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("beach", "street", "wood"):
        picture = np.full((64, 96, 3), 40, np.uint8)
        picture[10:30, 20:50] = 250
        Image.fromarray(picture).save(folder / f"{name}.png")
    use(monkeypatch, one=BrightSquare())
    taught = label_footage([folder], tmp_path / "t", TeacherOptions(("one",)))
    labels = read_labels(taught.path)
    assert sorted(video.name for video in labels.videos) == ["beach", "street", "wood"]
    assert taught.boxes == 3
