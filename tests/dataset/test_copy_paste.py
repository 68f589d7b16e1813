"""An object keeps its texture on another background, and its box goes with it through a clip."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import COLOURS, write_dataset

from lstmcli.core.config import AugmentConfig, ClipConfig
from lstmcli.core.types import VideoLabels
from lstmcli.dataset.clips import ClipDataset
from lstmcli.dataset.copy_paste import PastedPatch
from lstmcli.dataset.manifest import Dataset
from lstmcli.dataset.pasted_patch import MARGIN, paste_into, region_of

QUIET = {"flip": 0.0, "scale": (1.0, 1.0), "colour": 0.0, "grey": 0.0, "noise": 0.0, "blur": 0.0}


def test_a_region_holds_the_object_and_its_surroundings() -> None:
    left, top, right, bottom = region_of(np.array([100.0, 50, 140, 70], np.float32))
    assert left == int(np.floor(100 - MARGIN * 40 - 2))
    assert right == int(np.ceil(140 + MARGIN * 40 + 2))
    assert top < 50 - MARGIN * 20
    assert bottom > 70 + MARGIN * 20


def test_an_object_keeps_its_difference_to_what_is_around_it() -> None:
    """By hand: 40 darker than its sky of 200 is 40 darker than a sky of 100."""
    patch = np.full((34, 34, 3), 200, np.uint8)
    patch[12:22, 12:22] = 160
    window = np.full((64, 64, 3), 100, np.uint8)
    shown = paste_into(window, patch, left=10, top=20)
    assert (shown[32:42, 22:32] == 60).all()
    around = np.ones((64, 64), bool)
    around[32:42, 22:32] = False
    assert (shown[around] == 100).all()
    assert (window == 100).all(), "the window itself is left as it was"


def test_edges_are_soft_where_the_surroundings_differ() -> None:
    rng = np.random.default_rng(0)
    patch = rng.integers(0, 255, (40, 40, 3)).astype(np.uint8)
    window = np.full((60, 60, 3), 128, np.uint8)
    change = np.abs(paste_into(window, patch, left=10, top=10).astype(int) - 128)
    assert change[10:12, 10:50].mean() < change[29:31, 10:50].mean() / 4


@pytest.mark.parametrize(("left", "top"), [(-20, 5), (50, 50), (-10, -10), (5, 55)])
def test_a_patch_may_reach_beyond_the_window(left: int, top: int) -> None:
    window = np.full((64, 64, 3), 100, np.uint8)
    patch = np.full((30, 30, 3), 100, np.uint8)
    patch[10:20, 10:20] = 50
    shown = paste_into(window, patch, left=left, top=top)
    whole = np.full((200, 200, 3), 100, np.uint8)
    whole = paste_into(whole, patch, left=left + 60, top=top + 60)
    assert np.abs(shown.astype(int) - whole[60:124, 60:124]).max() <= 2


def test_a_patch_beside_the_window_changes_nothing() -> None:
    window = np.full((64, 64, 3), 100, np.uint8)
    patch = np.full((30, 30, 3), 10, np.uint8)
    assert np.array_equal(paste_into(window, patch, left=64, top=0), window)
    assert np.array_equal(paste_into(window, patch, left=0, top=-30), window)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return write_dataset(
        tmp_path_factory.mktemp("paste") / "dataset", videos=("train",) * 4, frames=30
    )


def source(dataset: Dataset, paste: float, distractor: float = 0.0) -> ClipDataset:
    clips = ClipConfig(length=3, stateful_fraction=0.5, stateful_clips=4)
    augment = AugmentConfig.model_validate(QUIET | {"copy_paste": paste, "distractors": distractor})
    return ClipDataset(
        dataset, "train", clips, augment, batch=4, steps=40, seed=7, motion_lag_s=0.08
    )


def test_every_box_of_a_clip_with_pasted_objects_is_on_its_colour(dataset: Dataset) -> None:
    plain, pasted = source(dataset, 0.0), source(dataset, 1.0)
    more, right = 0, []
    for step in range(12):
        batch = pasted[step]
        frames = batch.frames.flatten(0, 1)
        more += int(batch.valid.sum()) - int(plain[step].valid.sum())
        for picture, boxes, labels, valid, ignore in zip(
            frames, batch.boxes, batch.labels, batch.valid, batch.ignore, strict=True
        ):
            for box, label in zip(boxes[valid & ~ignore], labels[valid & ~ignore], strict=True):
                x, y = ((box[:2] + box[2:]) / 2).int().tolist()
                colour = picture[:, y, x].int().numpy()
                away = [int(np.abs(colour - np.array(one)).sum()) for one in COLOURS[:2]]
                right.append(int(np.argmin(away)) == int(label) and min(away) < 300)
    assert np.mean(right) > 0.97, "but for the few that are occluded by another"
    assert more > 30, "most clips got one more object"


def test_several_objects_are_laid_in_apart_from_each_other(dataset: Dataset) -> None:
    clips = source(dataset, 2.5)
    counts = []
    for step in range(20):
        for slot in range(4):
            clip = clips._clip(slot, step)
            counts.append(len(clip.pasted))
            keys = {(one.video, one.track, one.shift) for one in clip.pasted}
            assert len(keys) == len(clip.pasted)
    assert max(counts) == 3
    assert 1 < np.mean(counts) <= 3  # some find no position among the others
    batch = clips[0]
    assert int(batch.valid.sum(dim=1).max()) >= 3


def test_a_streamed_lane_keeps_its_pasted_object(dataset: Dataset) -> None:
    clips = source(dataset, 1.0)
    kept = 0
    before = clips._clip(0, 0)
    for step in range(1, 40):
        now = clips._clip(0, step)
        if not now.starts:
            assert now.pasted == before.pasted
            kept += len(now.pasted) > 0
        before = now
    assert kept > 5


def test_nothing_is_pasted_where_nothing_else_is(tmp_path: Path) -> None:
    alone = write_dataset(tmp_path / "alone", videos=("train",), frames=10)
    assert source(alone, 1.0)._clip(0, 0).pasted == ()


def test_a_distractor_is_no_ground_truth(dataset: Dataset) -> None:
    """A pasted object and a distractor are drawn as often; only the object is ground truth."""
    clips = source(dataset, 1.0, distractor=1.0)
    drawn = [clips._clip(slot, step) for slot in range(4) for step in range(20)]
    distractors = [one for clip in drawn for one in clip.pasted if one.offset_xy is not None]
    objects = [one for clip in drawn for one in clip.pasted if one.offset_xy is None]
    assert len(distractors) > 10
    assert len(objects) > 10
    for clip in drawn:
        for position in clip.positions.tolist():
            for one in clip.pasted:
                found = clips._copy_paste._its_box(one, position)
                if found is None or one.offset_xy is None:
                    continue
                left, top, right, bottom = region_of(found[1])
                x, y = one.offset_xy
                size_hw = (bottom - top, right - left)
                if clips._copy_paste._is_empty(one.video, found[0], (left + x, top + y), size_hw):
                    shown = clips._store(one.video).window(found[0], top + y, left + x, size_hw)
                    assert np.ptp(shown.astype(int)) <= 12, "nothing but the grey ground"


def a_pasted_one(clips: ClipDataset) -> tuple[PastedPatch, int]:
    """Return an object that is laid into a clip, and a position at which it is seen."""
    drawn = [one for step in range(20) for one in clips._clip(2, step).pasted]
    return next(
        (one, position)
        for one in drawn
        for position in range(30)
        if clips._copy_paste._its_box(one, position)
    )


def relabel(clips: ClipDataset, video: int, labels: VideoLabels) -> None:
    """Give a video other labels, as what is pasted from it sees them."""
    videos = list(clips.videos)
    videos[video] = replace(videos[video], labels=labels)
    clips._copy_paste.videos = tuple(videos)


def test_an_object_with_a_neighbour_is_not_pasted(dataset: Dataset) -> None:
    """The neighbour would be in the picture and not in the ground truth."""
    clips = source(dataset, 1.0)
    one, position = a_pasted_one(clips)
    labels = clips.videos[one.video].labels
    twice = replace(
        labels,
        box_frames=labels.box_frames.repeat(2),
        boxes=labels.boxes.repeat(2, axis=0) + np.tile([[0.0], [12.0]], (len(labels.boxes), 1)),
        labels=labels.labels.repeat(2),
        tracks=np.tile((labels.tracks[0], labels.tracks[0] + 1), len(labels.tracks)),
        ignore=labels.ignore.repeat(2),
    )
    relabel(clips, one.video, twice)
    assert clips._copy_paste._its_box(one, position) is None


def test_an_object_that_is_ignored_later_is_gone(dataset: Dataset) -> None:
    clips = source(dataset, 1.0)
    one, position = a_pasted_one(clips)
    labels = clips.videos[one.video].labels
    relabel(clips, one.video, replace(labels, ignore=np.ones_like(labels.ignore)))
    assert clips._copy_paste._its_box(one, position) is None
