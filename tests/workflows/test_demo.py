"""The demo draws what it says it draws, and finds it again."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmcli.cli.app import main
from lstmcli.core.errors import OutputError
from lstmcli.core.files import claim
from lstmcli.core.progress import SilentProgress
from lstmcli.dataset import synthetic
from lstmcli.labels.search import read_labels
from lstmcli.video import probe
from lstmcli.workflows.demo import demo, draw_demo

SIZE_HW = (64, 96)


def shape(label: int) -> synthetic.Shape:
    """Return a bright shape that stands still in the middle, in focus."""
    return synthetic.Shape(
        label=label,
        radius=12.0,
        hues=np.full(3, np.pi / 2, np.float32),
        start=np.array((48.0, 32.0), np.float32),
        speed=np.zeros(2, np.float32),
        spin=0.0,
        phase=float(np.pi),
    )


@pytest.mark.parametrize("label", range(len(synthetic.CLASSES)))
def test_the_box_is_as_tight_as_the_shape(label: int) -> None:
    picture = np.zeros((*SIZE_HW, 3), np.float32)
    owner = np.full(SIZE_HW, -1, np.int64)
    box, area = synthetic._paint(picture, owner, shape(label), 0, 0)
    rows, columns = np.nonzero(picture[..., 0] > 127)
    drawn = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    # Atol 1: a pixel of the edge is half covered.
    np.testing.assert_allclose(box, drawn, atol=1)
    assert area == (owner == 0).sum()


def test_classes_differ_in_shape_alone() -> None:
    """Areas of a circle, a square and a triangle of these radii, by hand."""
    areas = []
    for label in range(3):
        owner = np.full(SIZE_HW, -1, np.int64)
        areas.append(
            synthetic._paint(np.zeros((*SIZE_HW, 3), np.float32), owner, shape(label), 0, 0)[1]
        )
    expected = (np.pi * 12**2, (2 * 0.9 * 12) ** 2, 3 * 3**0.5 * (0.65 * 12) ** 2)
    # Rtol 6 %: pixels are counted whole.
    np.testing.assert_allclose(areas, expected, rtol=0.06)


def test_the_same_seed_draws_the_same_clip() -> None:
    first, second = (
        list(synthetic.draw_clip(np.random.default_rng(5), frames=3, size_hw=SIZE_HW))
        for _ in range(2)
    )
    for (one, gt), (other, same) in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(gt.boxes, same.boxes)


def test_boxes_lie_inside_the_picture_and_tracks_keep_their_class() -> None:
    classes: dict[tuple[int, int], int] = {}
    for seed in range(6):
        generator = np.random.default_rng(seed)
        for picture, gt in synthetic.draw_clip(generator, frames=12, size_hw=SIZE_HW):
            assert picture.shape == (*SIZE_HW, 3)
            assert (gt.boxes >= 0).all()
            assert (gt.boxes[:, 2:] > gt.boxes[:, :2]).all()
            assert (gt.boxes <= np.array((96, 64, 96, 64))).all()
            for track, label in zip(gt.tracks.tolist(), gt.labels.tolist(), strict=True):
                assert classes.setdefault((seed, track), label) == label
    assert set(classes.values()) == {0, 1, 2}


def test_an_occluded_shape_has_no_box(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(synthetic, "random_shape", lambda generator, size_hw: shape(1))
    gt = next(synthetic.draw_clip(np.random.default_rng(0), frames=1, size_hw=SIZE_HW))[1]
    assert len(gt) == 1  # they all lie at one place: only the last is seen


def test_the_set_is_videos_with_labels_that_prepare_reads(tmp_path: Path) -> None:
    path = synthetic.write_video_set(
        tmp_path, videos=2, seed=0, frames=5, size_hw=SIZE_HW, progress=SilentProgress()
    )
    labels = read_labels(path)
    assert labels.classes == synthetic.CLASSES
    assert [video.name for video in labels.videos] == ["shapes_0_01", "shapes_0_02"]
    boxes = json.loads(path.read_text(encoding="utf-8"))["annotations"]
    assert sum(len(video.boxes) for video in labels.videos) == len(boxes) > 0
    for video in labels.videos:
        assert video.annotated_frames.tolist() == [0, 1, 2, 3, 4]
        assert video.media is not None
        info = probe(tmp_path / "videos" / Path(video.media).name)
        assert info.size_hw == SIZE_HW
        assert info.rate == synthetic.RATE


def test_the_demo_keeps_existing_files(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    with pytest.raises(OutputError, match="not empty"):
        draw_demo(tmp_path, progress=SilentProgress())
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_the_demo_replaces_only_what_it_drew(tmp_path: Path) -> None:
    few: dict[str, Any] = {"train_videos": 1, "val_videos": 1, "progress": SilentProgress()}
    drawn = draw_demo(tmp_path, **few)
    assert drawn.train.is_file()
    assert drawn.video.parent == tmp_path / "source" / "val" / "videos"
    draw_demo(tmp_path, **few, overwrite=True)
    (tmp_path / "source" / "train" / "mine.json").write_text("precious")
    with pytest.raises(OutputError, match=r"other files .*mine\.json"):
        draw_demo(tmp_path, **few, overwrite=True)
    assert (tmp_path / "source" / "train" / "mine.json").read_text() == "precious"


def test_two_demos_do_not_share_a_folder(tmp_path: Path) -> None:
    with claim(tmp_path / "demo"), pytest.raises(OutputError, match="another process"):
        next(demo(tmp_path / "demo"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a forked process")
def test_a_killed_demo_starts_anew_where_nothing_else_came_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "demo"
    few = partial(draw_demo, train_videos=1, val_videos=1)
    monkeypatch.setattr("lstmcli.workflows.demo.draw_demo", few)
    child = os.fork()
    if not child:
        monkeypatch.setattr("lstmcli.workflows.demo.prepare", lambda *_, **__: os._exit(9))
        list(demo(out))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    drawn = (out / "source" / "train" / "annotations.json").stat().st_ino

    def stop(*_: object, **__: object) -> None:
        raise OutputError("stopped")

    monkeypatch.setattr("lstmcli.workflows.demo.prepare", stop)
    (out / "mine.txt").write_text("precious")
    with pytest.raises(OutputError, match="not empty"):
        list(demo(out))
    (out / "mine.txt").unlink()
    with pytest.raises(OutputError, match="stopped"):
        list(demo(out))
    assert (out / "source" / "train" / "annotations.json").stat().st_ino != drawn


@pytest.mark.slow
def test_the_demo_detects_its_shapes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The bar of the demo: mAP50 of 0.6 on its own held-out clips."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["demo"])
    assert not stop.value.code
    said = capsys.readouterr().out
    scores = dict(line.rsplit(maxsplit=1) for line in said.splitlines() if " " in line)
    assert float(scores["mAP50"]) >= 0.6
    assert (tmp_path / said.splitlines()[-1]).is_file()
    assert (tmp_path / "demo" / "run" / "best.pt").is_file()
