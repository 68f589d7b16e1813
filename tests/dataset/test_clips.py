"""Batches are functions of (seed, epoch, step) alone; slots go on where they stopped."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import COLOURS, write_dataset
from torch import Tensor

from lstmcli.core.config import AugmentConfig, ClipConfig
from lstmcli.core.errors import ConfigError, DataError
from lstmcli.dataset.clips import ClipBatch, ClipDataset, previous_frame_positions, single_frames
from lstmcli.dataset.manifest import Dataset

QUIET = AugmentConfig(flip=0.0, scale=(1.0, 1.0), colour=0.0, grey=0.0, noise=0.0, blur=0.0)
LOUD = AugmentConfig(flip=0.5, scale=(0.7, 1.5), colour=0.3, noise=0.02, reverse=0.5)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Four videos of 30 frames to train on, two of each class."""
    return write_dataset(
        tmp_path_factory.mktemp("clips") / "dataset", videos=("train",) * 4, frames=30
    )


def source(
    dataset: Dataset, *, augment: AugmentConfig = QUIET, batch: int = 4, **changes: Any
) -> ClipDataset:
    of_clips = {
        name: changes.pop(name) for name in list(changes) if name in ClipConfig.model_fields
    }
    clips = ClipConfig.model_validate(
        {"length": 3, "stateful_fraction": 0.5, "stateful_clips": 4} | of_clips
    )
    return ClipDataset(
        dataset, "train", clips, augment, **({"batch": batch, "steps": 40, "seed": 7} | changes)
    )


def tensors(batch: ClipBatch) -> dict[str, Tensor]:
    return {field.name: getattr(batch, field.name) for field in fields(batch)}


def assert_same(first: ClipBatch, second: ClipBatch) -> None:
    for name, value in tensors(first).items():
        assert torch.equal(value, tensors(second)[name]), name


def colour_box(picture: Tensor, label: int) -> np.ndarray[Any, Any] | None:
    """Return where a class's colour is in a picture [3, h, w], None where it is not."""
    away = (picture.int() - torch.tensor(COLOURS[label])[:, None, None]).abs().sum(dim=0)
    rows, columns = torch.nonzero(away < 90, as_tuple=True)
    if len(rows) == 0:
        return None
    sides = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    return np.array([float(side) for side in sides])


def test_a_batch_has_the_shapes_that_it_promises(dataset: Dataset) -> None:
    batch = source(dataset, motion_lag_s=0.08)[0]
    assert batch.frames.shape == batch.previous_frames.shape == (4, 3, 3, 64, 64)
    assert batch.frames.dtype == torch.uint8
    assert batch.starts.tolist() == [True] * 4
    assert batch.boxes.shape[0] == batch.labels.shape[0] == 12
    assert batch.boxes.shape == (*batch.labels.shape, 4)
    assert batch.valid.shape == batch.ignore.shape == batch.labels.shape
    assert batch.annotated_frames.shape == (12,)
    assert source(dataset)[0].previous_frames.shape == (4, 0, 3, 64, 64)


@pytest.mark.parametrize("augment", [QUIET, LOUD])
def test_a_batch_depends_on_seed_epoch_and_step_alone(
    dataset: Dataset, augment: AugmentConfig
) -> None:
    one, other = (source(dataset, augment=augment, motion_lag_s=0.08) for _ in range(2))
    expected = [one[step] for step in range(6)]
    for step in (5, 2, 0, 4):  # in any order
        assert_same(other[step], expected[step])
    other.epoch = 1
    assert not torch.equal(other[2].frames, expected[2].frames)
    seeded = source(dataset, augment=augment, motion_lag_s=0.08, seed=8)
    assert not torch.equal(seeded[2].frames, expected[2].frames)


@pytest.mark.parametrize("world_size", [2, 4])
def test_processes_together_see_what_one_would(dataset: Dataset, world_size: int) -> None:
    whole = source(dataset, augment=LOUD, batch=8)
    parts = [
        source(dataset, augment=LOUD, batch=8, rank=r, world_size=world_size)
        for r in range(world_size)
    ]
    for step in (0, 3, 9):
        expected = whole[step]
        for rank, part in enumerate(parts):
            own = part[step]
            assert torch.equal(own.frames, expected.frames[rank::world_size])
            assert torch.equal(own.starts, expected.starts[rank::world_size])
            boxes = expected.boxes.unflatten(0, (8, 3))[rank::world_size].flatten(0, 1)
            most = own.boxes.shape[1]
            assert torch.equal(own.boxes, boxes[:, :most])
            assert not boxes[:, most:].any()


@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (1, 4)])
@pytest.mark.parametrize("reverse", [0.0, 1.0])
def test_a_streamed_slot_goes_on_exactly_where_it_stopped(
    dataset: Dataset, stride: tuple[int, int], reverse: float
) -> None:
    augment = QUIET.model_copy(update={"reverse": reverse})
    clips = source(dataset, augment=augment, stride=list(stride), stateful_fraction=1.0)
    went_on = 0
    for slot in range(4):
        before = clips._clip(slot, 0)
        assert before.starts
        for step in range(1, 40):
            now = clips._clip(slot, step)
            if not now.starts:
                went_on += 1
                assert (now.video, now.view) == (before.video, before.view)
                steps = np.diff(np.concatenate((before.positions, now.positions)))
                assert len(set(steps.tolist())) == 1, "the same stride across the border"
                assert steps[0] == int(np.diff(before.positions)[0])
                assert np.sign(steps[0]) == (-1 if reverse else 1)
            before = now
    assert went_on > 20


def test_a_slot_starts_exactly_where_something_new_begins(dataset: Dataset) -> None:
    """A run of four clips of three frames fits into 30 frames: one start in four steps."""
    clips = source(dataset, stateful_fraction=1.0)
    for slot in range(4):
        starts = [clips._clip(slot, step).starts for step in range(1, 33)]
        assert sum(starts) == 8
        positions = np.flatnonzero(starts)
        assert set(np.diff(positions).tolist()) == {4}
    together = [all(clips._clip(slot, step).starts for slot in range(4)) for step in range(1, 33)]
    assert not any(together)


def test_the_first_step_of_an_epoch_starts_every_slot(dataset: Dataset) -> None:
    """There is no state to go on with."""
    clips = source(dataset, batch=8, stateful_fraction=1.0)
    for epoch in (0, 1):
        clips.epoch = epoch
        assert clips[0].starts.all()


def test_slots_that_do_not_stream_start_at_every_step(dataset: Dataset) -> None:
    clips = source(dataset, stateful_fraction=0.5)
    later = torch.stack([clips[step].starts for step in range(1, 9)])
    assert later[:, 2:].all()
    assert not later[:, :2].all()


def test_a_video_that_is_shorter_than_a_run_is_followed_by_another(dataset: Dataset) -> None:
    """30 frames hold two clips of 12; a run of four needs two videos."""
    clips = source(dataset, length=12, stateful_fraction=1.0)
    for slot in range(4):
        starts = [clips._clip(slot, step).starts for step in range(1, 33)]
        assert sum(starts) == 16


def test_a_video_that_is_shorter_than_a_clip_is_played_to_and_fro(tmp_path: Path) -> None:
    short = write_dataset(tmp_path / "short", videos=("train",), frames=3)
    positions = source(short, length=8)._clip(0, 0).positions
    assert sorted(set(positions.tolist())) == [0, 1, 2]
    assert set(np.abs(np.diff(positions)).tolist()) == {1}
    single = write_dataset(tmp_path / "single", videos=("train",), frames=1)
    batch = source(single, length=8, motion_lag_s=0.2)[0]
    assert batch.frames.shape == batch.previous_frames.shape == (4, 8, 3, 64, 64)


@pytest.mark.parametrize("augment", [QUIET, LOUD.model_copy(update={"colour": 0.0, "grey": 0.0})])
@pytest.mark.parametrize("changes", [{}, {"full_frame": True}, {"crop": 40}])
def test_boxes_lie_on_the_pixels_that_they_speak_of(
    dataset: Dataset, augment: AugmentConfig, changes: dict[str, Any]
) -> None:
    seen = 0
    clips = source(dataset, augment=augment, **changes)
    for step in range(6):
        batch = clips[step]
        pictures = batch.frames.flatten(0, 1)
        for row, picture in enumerate(pictures):
            for box, label, valid in zip(
                batch.boxes[row], batch.labels[row], batch.valid[row], strict=True
            ):
                sides = box[2:] - box[:2]
                if not valid or float(sides.min()) < 4:
                    continue
                found = colour_box(picture, int(label))
                assert found is not None
                # halved chroma and the resizing blur an edge
                np.testing.assert_allclose(found, box.numpy(), atol=3.5)
                seen += 1
    assert seen > 30


def test_the_earlier_frames_are_those_before(dataset: Dataset) -> None:
    clips = source(dataset, motion_lag_s=0.08, full_frame=True)
    for step in range(4):
        batch = clips[step]
        for slot in range(4):
            clip = clips._clip(slot, step)
            store = dataset.open(clips.videos[clip.video])
            for time, position in enumerate(clip.positions.tolist()):
                before = store.picture(max(0, position - 2))
                shown = batch.previous_frames[slot, time].permute(1, 2, 0).numpy()
                np.testing.assert_array_equal(shown, before)


def test_a_clip_that_is_played_backwards_moves_backwards(dataset: Dataset) -> None:
    clips = source(
        dataset,
        augment=QUIET.model_copy(update={"reverse": 1.0}),
        motion_lag_s=0.08,
        full_frame=True,
    )
    clip = clips._clip(0, 0)
    assert np.all(np.diff(clip.positions) < 0)
    assert clips._before(clip).tolist() == np.minimum(clip.positions + 2, 29).tolist()


def test_a_bounced_clip_moves_as_it_is_played(tmp_path: Path) -> None:
    made = write_dataset(tmp_path / "dataset", videos=("train",), frames=4)
    clips = source(made, length=8, stride=(1, 1), motion_lag_s=0.04, full_frame=True)
    clip = clips._clip(0, 0)
    assert clip.positions.tolist() == [0, 1, 2, 3, 2, 1, 0, 1]
    assert clips._before(clip).tolist() == [0, 0, 1, 2, 3, 2, 1, 0]


def test_a_crop_too_small_to_learn_from_is_told(dataset: Dataset) -> None:
    with pytest.raises(ConfigError, match="crops of 3 pixels"):
        source(dataset, crop=3)


def test_unannotated_frames_are_neither_empty_nor_full(tmp_path: Path) -> None:
    made = write_dataset(
        tmp_path / "dataset", videos=("train",) * 2, annotated_frames=lambda frame: frame % 2 == 0
    )
    clips = source(made, full_frame=True)
    for step in range(5):
        batch = clips[step]
        positions = np.concatenate([clips._clip(slot, step).positions for slot in range(4)])
        assert batch.annotated_frames.tolist() == (positions % 2 == 0).tolist()
        assert not batch.valid[~batch.annotated_frames].any()
        assert batch.valid[batch.annotated_frames].any(dim=1).all()


def test_an_ignored_box_is_handed_on_as_ignored(dataset: Dataset) -> None:
    video = dataset.videos[0]
    everything = np.ones(len(video.labels.ignore), np.bool_)
    ignored = replace(video, labels=replace(video.labels, ignore=everything))
    mixed = replace(dataset, videos=(ignored, dataset.videos[2], dataset.videos[1]))
    clips = source(mixed, full_frame=True, stateful_fraction=0.0, length=1)
    batches = [clips[step] for step in range(10)]
    drawn = {clips._clip(slot, step).video for slot in range(4) for step in range(10)}
    assert 0 not in drawn  # an ignored object is no reason to draw a video
    assert not any(batch.ignore.any() for batch in batches)
    clip = replace(clips._clip(0, 0), video=0)
    gt = clips._targets(clip, 3)
    assert gt is not None
    assert gt.ignore.tolist() == [True]


def test_a_box_that_the_window_hardly_shows_is_ignored(dataset: Dataset) -> None:
    clips = source(dataset)
    clip = clips._clip(2, 0)
    box = dataset.videos[clip.video].labels.at(5)
    assert box is not None
    left, top, right, _ = box.boxes[0].tolist()
    for shown, ignored in ((0.3, True), (0.7, False)):
        cut = round(right - shown * (right - left))
        view = replace(clip.view, left=cut, top=max(0, int(top) - 20))
        gt = clips._targets(replace(clip, view=view), 5)
        assert gt is not None
        assert gt.ignore.tolist() == [ignored], shown


def test_a_region_of_every_class_is_handed_on_with_a_class_that_exists(dataset: Dataset) -> None:
    video = dataset.videos[0]
    none = np.full(len(video.labels.labels), -1, np.int64)
    labels = replace(video.labels, labels=none, ignore=np.ones(len(none), np.bool_))
    mixed = replace(dataset, videos=(replace(video, labels=labels), *dataset.videos[1:]))
    clips = source(mixed, full_frame=True, stateful_fraction=0.0, length=1)
    gt = clips._targets(replace(clips._clip(0, 0), video=0), 3)
    assert gt is not None
    assert (gt.labels.tolist(), gt.ignore.tolist()) == ([0], [True])


def test_scores_of_soft_labels_come_with_their_boxes(dataset: Dataset) -> None:
    videos = []
    for number, video in enumerate(dataset.videos):
        scores = np.full(len(video.labels.labels), 0.5 + number / 10, np.float32)
        videos.append(replace(video, labels=replace(video.labels, scores=scores)))
    soft = replace(dataset, videos=tuple(videos))
    soft.save()
    try:
        read = Dataset.load(dataset.folder)
    finally:
        dataset.save()
    batch = source(read, full_frame=True)[0]
    clips = source(read, full_frame=True)
    for slot in range(4):
        wanted = 0.5 + clips._clip(slot, 0).video / 10
        rows = slice(3 * slot, 3 * slot + 3)
        assert batch.valid[rows].all()
        assert batch.scores[rows].flatten().tolist() == pytest.approx([wanted] * 3)
    assert source(dataset)[0].scores.eq(1).all()


@pytest.mark.parametrize("augment", [QUIET, LOUD])
def test_boxes_of_a_mosaic_lie_on_their_pixels(dataset: Dataset, augment: AugmentConfig) -> None:
    colourful = augment.model_copy(update={"mosaic": 1.0, "colour": 0.0, "grey": 0.0, "noise": 0.0})
    clips = source(dataset, augment=colourful, stateful_fraction=0.0, length=1)
    boxes = 0
    for step in range(10):
        batch = clips[step]
        assert batch.frames.shape == (4, 1, 3, 64, 64)
        assert_same(batch, clips[step])
        for row in range(4):
            picture = batch.frames[row, 0].int()
            for n in torch.nonzero(batch.valid[row] & ~batch.ignore[row])[:, 0].tolist():
                left, top, right, bottom = batch.boxes[row, n].round().int().tolist()
                inside = picture[:, top:bottom, left:right]
                colour = torch.tensor(COLOURS[int(batch.labels[row, n])])[:, None, None]
                share = ((inside - colour).abs().sum(dim=0) < 120).float().mean()
                assert float(share) > 0.6, (step, row, n)
                boxes += 1
    assert boxes > 40


def test_a_mosaic_leaves_what_carries_its_state(dataset: Dataset) -> None:
    mosaic = source(dataset, augment=QUIET.model_copy(update={"mosaic": 1.0}))
    plain = source(dataset)
    for step in range(3):
        assert torch.equal(mosaic[step].frames[:2], plain[step].frames[:2])
        assert not torch.equal(mosaic[step].frames[2:], plain[step].frames[2:])


def test_a_tile_without_annotation_is_ignored(tmp_path: Path) -> None:
    made = write_dataset(
        tmp_path / "dataset", videos=("train",) * 4, annotated_frames=lambda frame: frame % 3 == 0
    )
    augment = QUIET.model_copy(update={"mosaic": 1.0})
    clips = source(made, augment=augment, stateful_fraction=0.0, length=2)
    regions = 0
    for step in range(8):
        batch = clips[step]
        for row in range(8):
            drawn = clips._slot(row // 2, step)
            bare = [
                tile
                for tile, clip in zip(drawn.tiles, drawn.clips, strict=True)
                if int(clip.positions[row % 2]) % 3
            ]
            assert bool(batch.annotated_frames[row]) == (len(bare) < 4)
            for tile in bare if len(bare) < 4 else ():
                height, width = tile.size_hw
                sides = (tile.left, tile.top, tile.left + width, tile.top + height)
                same = (batch.boxes[row] == torch.tensor(sides)).all(dim=1)
                assert bool((same & batch.ignore[row]).any())
                regions += 1
    assert regions > 10


def test_classes_are_drawn_evenly_where_that_is_wanted(tmp_path: Path) -> None:
    """Three of four videos are red."""
    made = write_dataset(tmp_path / "dataset", videos=("train",) * 3, frames=6)
    blue = made.videos[1]
    red = [made.videos[0], made.videos[2], replace(made.videos[0], name="again")]
    uneven = replace(made, videos=(*red, blue))
    shares = {}
    for balance in (True, False):
        clips = source(uneven, balance=balance, batch=50, length=1, stateful_fraction=0.0)
        videos = [clips._clip(slot, step).video for slot in range(50) for step in range(8)]
        shares[balance] = float(np.mean(np.array(videos) == 3))
    assert shares[True] == pytest.approx(0.5, abs=0.08)
    assert shares[False] == pytest.approx(0.25, abs=0.08)


def test_a_split_without_boxes_is_told(tmp_path: Path) -> None:
    made = write_dataset(
        tmp_path / "dataset", videos=("train",), annotated_frames=lambda frame: False
    )
    with pytest.raises(DataError, match="no boxes in split 'train'"):
        source(made)


@pytest.mark.parametrize(
    ("times", "lag_s", "expected"),
    [
        ([0.0, 0.1, 0.2, 0.3, 0.4], 0.2, [0, 0, 0, 1, 2]),
        ([0.0, 0.1, 0.2], 0.01, [0, 0, 1]),
        ([3.0, 3.1, 3.2], 9.0, [0, 0, 0]),
        ([0.0, 0.05, 0.5, 0.52, 0.7], 0.2, [0, 0, 1, 2, 2]),
        ([0.0], 0.2, [0]),
        ([], 0.2, []),
    ],
)
def test_the_earlier_place_is_the_one_nearest_to_the_lag(
    times: list[float], lag_s: float, expected: list[int]
) -> None:
    assert previous_frame_positions(np.array(times), lag_s).tolist() == expected


def test_single_frames_keep_the_other_rules() -> None:
    clips = single_frames(ClipConfig(length=8, stateful_fraction=0.5, negative_fraction=0.3))
    assert (clips.length, clips.stateful_fraction, clips.negative_fraction) == (1, 0.0, 0.3)
