"""What is written for CVAT and Label Studio is read back equal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from lstmcli.core.types import LabelSet, VideoLabels
from lstmcli.labels.search import read_labels
from lstmcli.labels.warning_collector import WarningCollector
from lstmcli.labels.writers import LABEL_WRITERS

CLASSES = ("person", "a <b> & c")


def video(*, step: int = 1, ignored: bool = False) -> VideoLabels:
    """Eight labelled frames, a track with a gap, another that ends early, a box without track."""
    rows = [(n, 0, 0, 10 + 3.25 * n) for n in (0, 1, 2, 5, 6, 7)]
    rows += [(n, 1, 1, 100 - 2.5 * n) for n in (1, 2, 3)]
    rows += [(4, -1, 1, 55.5)]
    rows.sort()
    left = np.array([row[3] for row in rows])
    boxes = np.stack((left, left / 2, left + 21, left / 2 + 17.75), axis=1).astype(np.float32)
    ignore = np.zeros(len(rows), bool)
    if ignored:
        ignore[-1] = True
    return VideoLabels(
        name="street",
        media="footage/street.mp4",
        annotated_frames=np.arange(8) * step,
        box_frames=np.array([row[0] for row in rows], np.int64) * step,
        boxes=boxes,
        labels=np.array([row[2] for row in rows], np.int64),
        tracks=np.array([row[1] for row in rows], np.int64),
        ignore=ignore,
        size_hw=(240, 320),
        rate=25.0,
        frame_count=8 * step if step == 1 else None,
    )


def written(name: str, labels: LabelSet, folder: Path) -> tuple[LabelSet, WarningCollector]:
    writer, warnings = LABEL_WRITERS[name], WarningCollector()
    out = folder / ("out" if writer.FOLDER else "out.json")
    if writer.FOLDER:
        out.mkdir()
    writer.write(labels, out, warnings)
    return read_labels(out), warnings


@pytest.mark.parametrize("name", ["cvat", "label_studio"])
def test_a_video_comes_back_equal(name: str, tmp_path: Path) -> None:
    wanted = video()
    read, warnings = written(name, LabelSet(CLASSES, (wanted,)), tmp_path)
    assert not warnings.collected()
    (found,) = read.videos
    assert found.name.endswith("street")
    assert found.size_hw == (240, 320)
    assert found.annotated_frames.tolist() == wanted.annotated_frames.tolist()
    assert found.box_frames.tolist() == wanted.box_frames.tolist()
    order, wanted_order = (np.lexsort((v.boxes[:, 0], v.box_frames)) for v in (found, wanted))
    assert_allclose(found.boxes[order], wanted.boxes[wanted_order], atol=1e-3)
    names = [read.classes[label] for label in found.labels[order]]
    assert names == [CLASSES[label] for label in wanted.labels[wanted_order]]
    same, wanted_same = (
        v.tracks[rows][:, None] == v.tracks[rows]
        for v, rows in ((found, order), (wanted, wanted_order))
    )
    assert (same == wanted_same).all()


def test_every_third_frame_comes_back_equal_from_cvat(tmp_path: Path) -> None:
    wanted = video(step=3)
    read, warnings = written("cvat", LabelSet(CLASSES, (wanted,)), tmp_path)
    assert not warnings.collected()
    (found,) = read.videos
    assert found.annotated_frames.tolist() == wanted.annotated_frames.tolist()
    assert found.box_frames.tolist() == wanted.box_frames.tolist()


@pytest.mark.parametrize("name", ["cvat", "label_studio"])
def test_pictures_come_back_equal(name: str, tmp_path: Path) -> None:
    boxes = np.array([(3, 4, 50, 60.5), (7, 8, 20, 30)], np.float32)
    none = np.full(2, -1, np.int64)
    picture = VideoLabels(
        name="beach",
        media=None,
        images=("pictures/beach.jpg",),
        annotated_frames=np.zeros(1, np.int64),
        box_frames=np.zeros(2, np.int64),
        boxes=boxes,
        labels=np.array([1, 0]),
        tracks=none,
        ignore=np.zeros(2, bool),
        size_hw=(100, 200),
    )
    read, _ = written(name, LabelSet(CLASSES, (picture,)), tmp_path)
    (found,) = read.videos
    assert found.name.endswith("beach")
    assert found.size_hw == (100, 200)
    assert_allclose(found.boxes, boxes, atol=1e-3)
    assert [read.classes[label] for label in found.labels] == [CLASSES[1], CLASSES[0]]


@pytest.mark.parametrize("name", ["cvat", "label_studio"])
def test_what_cannot_be_said_is_counted(name: str, tmp_path: Path) -> None:
    read, warnings = written(name, LabelSet(CLASSES, (video(ignored=True),)), tmp_path)
    assert any("ignored region" in warning.text for warning in warnings.collected())
    assert len(read.videos[0].boxes) == len(video().boxes) - 1


@pytest.mark.parametrize("name", ["cvat", "label_studio"])
def test_a_second_box_of_a_track_in_a_frame_is_kept_and_said(name: str, tmp_path: Path) -> None:
    one = video()
    row = int(np.flatnonzero(one.tracks == 0)[0])
    rows = np.sort(np.append(np.arange(len(one.boxes)), row))
    moved = one.boxes[rows].copy()
    moved[row + 1] += 40
    twice = one.select(rows, boxes=moved)
    read, warnings = written(name, LabelSet(CLASSES, (twice,)), tmp_path)
    assert len(read.videos[0].boxes) == len(one.boxes) + 1
    assert [w.count for w in warnings.collected() if "second box of a track" in w.text] == [1]


@pytest.mark.parametrize("name", ["cvat", "label_studio"])
def test_a_picture_of_ignored_regions_alone_is_not_shown_as_empty(
    name: str, tmp_path: Path
) -> None:
    pictures = [
        VideoLabels(
            name=f"p{n}",
            media=None,
            images=(f"p{n}.jpg",),
            annotated_frames=np.zeros(1, np.int64),
            box_frames=np.zeros(1, np.int64),
            boxes=np.array([(3, 4, 50, 60)], np.float32),
            labels=np.zeros(1, np.int64),
            tracks=np.full(1, -1, np.int64),
            ignore=np.array([n == 0]),
            size_hw=(100, 200),
        )
        for n in range(2)
    ]
    read, warnings = written(name, LabelSet(CLASSES, tuple(pictures)), tmp_path)
    assert [found.name.rpartition("/")[2] for found in read.videos] == ["p1"]
    assert any("nothing but ignored regions" in w.text for w in warnings.collected())
