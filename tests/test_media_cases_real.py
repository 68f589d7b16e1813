"""Recordings and pictures from public reports, rebuilt in `../shared/data/cases`.

Each film is read, and written by `detect` with a network that finds nothing; `FILMS` holds how many
frames it has, how far they lie apart, and a word of what must be said (None: nothing is).
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from lstmcli.core.boxes import Letterbox
from lstmcli.core.types import Detections, Picture
from lstmcli.dataset.manifest import Dataset
from lstmcli.video import probe
from lstmcli.workflows.detect import DetectOptions, detect
from lstmcli.workflows.prepare import PrepareOptions, TimeSplit, prepare

pytestmark = pytest.mark.real


class Nothing:
    """A predictor that finds nothing."""

    classes: tuple[str, ...] = ("bee",)
    canvas_hw = (64, 64)

    def letterbox(self, size_hw: tuple[int, int]) -> Letterbox:
        return Letterbox(size_hw, self.canvas_hw)

    def start(self, size_hw: tuple[int, int]) -> Letterbox:
        return self.letterbox(size_hw)

    def postprocess(self, raw: Detections) -> Detections:
        return raw

    def forward(self, canvas: Picture, time_s: float) -> Detections:
        return Detections(
            np.zeros((0, 4), np.float32),
            np.zeros(0, np.float32),
            np.zeros(0, np.int64),
            np.zeros(0, np.int64),
        )


@dataclass(frozen=True)
class Film:
    """What must come of a film."""

    frames: int
    step_s: float | None = 0.04
    word: str | None = None
    seconds: float | None = None


FILMS = {
    "104-ts-wrap/clip.ts": Film(60),
    "105-picture-begins-late/clip.mkv": Film(40),
    "25-edit-list-cut/clip.mp4": Film(67),
    "26-no-pts-bframes-avi/clip.avi": Film(60, seconds=2.4),
    "27-raw-h264/clip.h264": Film(60, 1 / 30, seconds=2.0),
    "28-ts-joined/clip.ts": Film(80, word="jumps back", seconds=3.2),
    "28b-ts-jump-forward/clip.ts": Film(80, None, "jumps ahead by 1:59:58"),
    "29-ts-no-keyframe/clip.ts": Film(60, word="in front of the first key frame"),
    "30-vfr/clip.mp4": Film(50, None),
    "31-rotated-mov/clip.mov": Film(30),
    "32-hlg-10bit/clip.mov": Film(30, word="HDR"),
    "33-cover-picture/clip.mp4": Film(30),
    "34-two-video-streams/clip.mp4": Film(30, word="#2"),
    "34-two-video-streams/clip.mp4#2": Film(30),
    "36-truncated-mkv/clip.mkv": Film(60, word="cut off"),
    "45-sar/clip.mp4": Film(30),
    "46-prores4444-alpha/clip.mov": Film(10),
    "47-vp9-alpha/clip.webm": Film(20),
    "48-gif-delays/clip.gif": Film(12, None, seconds=3.6),
    "49-animated-webp-apng/clip.webp": Film(12, 0.1),
    "49-animated-webp-apng/clip2.png": Film(12, 0.1),
    "59-damaged-video-prepare/clip.mp4": Film(37, None, "frames 20-22"),
    "82-avi-empty-packets/clip.avi": Film(30, None),
    "83-mediarecorder-webm/clip.webm": Film(30),
    "84-odd-size/clip.mp4": Film(20, word="odd sides"),
    "85-240fps/clip.mp4": Film(60, 1 / 240, seconds=0.25),
    "98-asf-labels/cam.asf": Film(20),
}


@pytest.mark.parametrize("name", FILMS)
def test_a_film_comes_whole_in_time_and_says_what_it_lacks(
    name: str, shared: Path, tmp_path: Path
) -> None:
    film = FILMS[name]
    report = detect(
        [str(shared / "data" / "cases" / name)],
        DetectOptions(out=tmp_path, track=False),
        make_predictor=lambda floor: Nothing(),
    )
    (done,) = report.done
    assert done.frames == film.frames
    (records,) = tmp_path.glob("*.jsonl")
    times = [json.loads(line)["time"] for line in records.read_text().splitlines()]
    steps = [b - a for a, b in pairwise(times)]
    assert min(steps) > 0
    if film.step_s is not None:
        assert steps == pytest.approx([film.step_s] * len(steps), abs=2e-3)
    if film.word is None:
        assert done.notes == ()
    else:
        assert any(film.word in note for note in done.notes), done.notes
    if film.seconds is not None:
        (video,) = tmp_path.glob("*.mp4")
        assert probe(video).duration_s == pytest.approx(film.seconds, abs=0.06)


def copy_of(shared: Path, name: str, tmp_path: Path) -> Path:
    shutil.copytree(
        shared / "data" / "cases" / name, tmp_path / name, copy_function=shutil.copyfile
    )
    for path in (tmp_path / name, *(tmp_path / name).rglob("*")):
        path.chmod(0o755)
    return tmp_path / name


@pytest.mark.parametrize(
    ("name", "labels", "frames", "word"),
    [
        ("50-picture-kinds", "data.yaml", 10, "stretched"),
        ("51-picture-endings", "data.yaml", 6, ""),
        ("52-corrupt-jpeg", "data.yaml", 5, "p3.jpg: the image is damaged"),
        ("52b-corrupt-jpeg-coco", "ann.json", 5, "p3.jpg: the image is damaged"),
    ],
)
def test_broken_pictures_are_named_and_never_trained_on(
    name: str, labels: str, frames: int, word: str, shared: Path, tmp_path: Path
) -> None:
    folder = copy_of(shared, name, tmp_path)
    prepared = prepare([folder / labels], out=tmp_path / "out")
    assert sum(len(video.frames) for video in prepared.dataset.videos) == frames
    assert {video.split for video in prepared.dataset.videos} == {"train", "val"}
    assert any(word in warning.text for warning in prepared.warnings) or not word


def test_labels_stay_with_their_frames_where_some_are_lost(shared: Path, tmp_path: Path) -> None:
    folder = copy_of(shared, "59-damaged-video-prepare", tmp_path)
    options = PrepareOptions(split_time=TimeSplit(0.7, 0.0), every=1)
    prepared = prepare([folder / "ann.json"], out=tmp_path / "out", options=options)
    assert any("frames 20-22" in warning.text for warning in prepared.warnings)
    dataset: Dataset = prepared.dataset
    numbers = [int(n) for video in dataset.videos for n in video.frames]
    assert numbers == list(range(19))  # no key frame follows, so that all others show smears
    for video in dataset.videos:
        for number, time_s, picture in dataset.frames(video):
            assert time_s == pytest.approx(number / 25, abs=1e-3)
            left, top = (10 + 4 * number) % 136, (20 + 2 * number) % 96
            inside = picture[top + 6 : top + 18, left + 6 : left + 18].reshape(-1, 3)
            red, green, _ = np.median(inside, axis=0)
            assert red > 150 > green


def test_boxes_of_stored_photos_turn_with_the_picture(shared: Path, tmp_path: Path) -> None:
    folder = copy_of(shared, "09-exif-voc-stored", tmp_path)
    prepared = prepare([folder], out=tmp_path / "out")
    assert any("EXIF" in warning.text for warning in prepared.warnings)
    for video in prepared.dataset.videos:
        assert video.size_hw == (160, 120)
        ((_, _, picture),) = prepared.dataset.frames(video)
        (box,) = prepared.dataset.canvas_boxes(video, video.labels.boxes).astype(int)
        inside = picture[box[1] + 5 : box[3] - 5, box[0] + 5 : box[2] - 5].reshape(-1, 3)
        red, green, _ = np.median(inside, axis=0)
        assert red > 150 > green
