"""`prepare --propagate`: labels of key frames reach the frames between them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import write_video

from lstmcli.core.boxes import box_iou
from lstmcli.core.progress import SilentProgress
from lstmcli.core.types import LabelSet, VideoLabels
from lstmcli.workflows.prepare import PrepareOptions, TimeSplit, prepare
from lstmcli.workflows.prepare.propagate import propagate

SIDE, SPEED, FRAMES = 24, 4, 13


def picture(frame: int, *, hidden: bool = False) -> np.ndarray:
    y, x = np.mgrid[0:96, 0:160].astype(np.float32)
    grey = 90 + 20 * np.sin(x / 9) * np.cos(y / 7)
    u, v = (x - 20 - SPEED * frame) / SIDE, (y - 36) / SIDE
    inside = (u >= 0) & (u < 1) & (v >= 0) & (v < 1)
    if not hidden:
        grey = np.where(inside, 130 + 80 * np.sin(9 * u) * np.cos(7 * v), grey)
    return np.repeat(grey.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)


def box(frame: int) -> tuple[float, float, float, float]:
    left = 20 + SPEED * frame
    return left, 36, left + SIDE, 36 + SIDE


def labelled(film: Path, boxes: dict[int, list[int]], *, track: int, rate: float = 25) -> LabelSet:
    """Return labels of key frames; `boxes` holds for each the frames whose boxes it shows."""
    rows = [(frame, shown) for frame, all_shown in boxes.items() for shown in all_shown]
    video = VideoLabels(
        name="film",
        media=str(film),
        annotated_frames=np.array(sorted(boxes), np.int64),
        box_frames=np.array([frame for frame, _ in rows], np.int64),
        boxes=np.array([box(shown) for _, shown in rows], np.float32).reshape(-1, 4),
        labels=np.zeros(len(rows), np.int64),
        tracks=np.full(len(rows), track, np.int64),
        ignore=np.zeros(len(rows), bool),
        size_hw=(96, 160),
        rate=rate,
    )
    return LabelSet(("bee",), (video,))


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return write_video(path, [picture(n) for n in range(FRAMES)], size_hw=(96, 160))


@pytest.mark.parametrize("track", [-1, 7])
def test_an_object_of_two_key_frames_is_labelled_in_between(film: Path, track: int) -> None:
    done = propagate(labelled(film, {0: [0], 12: [12]}, track=track), SilentProgress())
    video = done.videos[0]
    assert video.annotated_frames.tolist() == list(range(13))
    for frame in range(13):
        found = video.at(frame)
        assert found is not None
        assert found.ignore.tolist() == [False]
        assert found.tracks.tolist() == [track]
        expected = np.array([box(frame)], np.float32)
        assert box_iou(found.boxes.astype(np.float32), expected).item() > 0.75
    assert [(w.text, w.count) for w in done.warnings] == [
        ("boxes propagated from annotated frames", 11)
    ]


def test_an_object_of_one_end_is_ignored_and_never_background(film: Path) -> None:
    done = propagate(labelled(film, {0: [0], 12: []}, track=-1), SilentProgress())
    video = done.videos[0]
    between = video.at(5)
    assert between is not None
    assert between.ignore.tolist() == [True]
    assert box_iou(between.boxes.astype(np.float32), np.array([box(5)], np.float32)).item() > 0.5
    assert "uncertain" in done.warnings[0].text


def test_a_long_gap_stays_unannotated_and_is_said(film: Path) -> None:
    labels = labelled(film, {0: [0], 12: [12]}, track=3, rate=5)  # 2.4 s apart
    done = propagate(labels, SilentProgress())
    assert done.videos[0].annotated_frames.tolist() == [0, 12]
    assert done.warnings[0].count == 1
    assert "longer than 2 s" in done.warnings[0].text


def test_neighbouring_key_frames_stay_as_they_are(film: Path) -> None:
    labels = labelled(film, {3: [3], 4: [4]}, track=1)
    done = propagate(labels, SilentProgress())
    assert done.videos[0].boxes.tolist() == labels.videos[0].boxes.tolist()
    assert not done.warnings


def test_prepare_trains_on_propagated_frames(film: Path, tmp_path: Path) -> None:
    rows = [f"{film.name},{n},bee,{','.join(str(v) for v in box(n))}" for n in (0, 6, 12)]
    labels = film.parent / "labels.csv"
    labels.write_text("video,frame,class,x1,y1,x2,y2\n" + "\n".join(rows) + "\n")
    split = TimeSplit(0.5, 0.0)
    for wanted, expected in ((False, 3), (True, 13)):
        options = PrepareOptions(every=1, propagate=wanted, split_time=split)
        made = prepare([labels], out=tmp_path / f"out{wanted}", options=options)
        assert sum(len(video.labels.annotated_frames) for video in made.dataset.videos) == expected
