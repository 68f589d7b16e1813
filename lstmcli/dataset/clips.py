"""Batches of clips from prepared videos, every one a function of (seed, epoch, step) alone.

Nothing depends on what was drawn before, so that workers may fetch ahead in any order, processes
may share a batch, and a resumed run gets the batches of an unbroken one.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from lstmcli.core.config import AugmentConfig, ClipConfig
from lstmcli.core.errors import ConfigError, DataError
from lstmcli.core.types import BoolArray, FloatArray, IntArray, Picture
from lstmcli.dataset.augment import ClipTransform, draw_transform
from lstmcli.dataset.class_index import ClassIndex
from lstmcli.dataset.copy_paste import CopyPaste, PastedPatch
from lstmcli.dataset.frame_store import FrameStore
from lstmcli.dataset.manifest import Dataset
from lstmcli.dataset.mosaic import FrameTargets, Tile, draw_tiles, join_pictures, join_targets

_MOSAIC = 1_000_003
"""Added to the seed of what decides on a mosaic, so that the other draws stay as without."""
VISIBLE_SHARE = 0.4
"""A box of which the crop shows less becomes an ignored region."""
LEAST_CROP_CELLS = 4
"""Cells of the dataset's grid that a crop is wide, at least: fewer leave no coarser map."""


@dataclass(frozen=True, slots=True)
class ClipBatch:
    """The clips of one training step, with ground truth.

    Args:
        frames: uint8 [B, T, 3, h, w], RGB.
        previous_frames: the frames `motion_lag_s` before, the same shape; empty without
            frame-difference input.
        starts: bool [B], True where the slot begins a new sequence and its state must be reset.
        boxes: float32 [B*T, M, 4] in pixels of the pictures.
        labels: int64 [B*T, M].
        valid: bool [B*T, M], False for padding.
        ignore: bool [B*T, M].
        scores: float32 [B*T, M], how sure a label is, 1 unless it is soft.
        annotated_frames: bool [B*T].
    """

    frames: Tensor
    previous_frames: Tensor
    starts: Tensor
    boxes: Tensor
    labels: Tensor
    valid: Tensor
    ignore: Tensor
    scores: Tensor
    annotated_frames: Tensor

    def pin_memory(self) -> ClipBatch:
        """Return the same batch in memory that a GPU fetches by itself; a loader asks for it."""
        return ClipBatch(*(getattr(self, field.name).pin_memory() for field in fields(self)))


@dataclass(frozen=True, slots=True)
class _Clip:
    """A clip of a stream slot: frame positions in a video, and the transform of its pictures.

    `turned` is True for the positions at which the video is played backwards, bool [T].
    """

    video: int
    positions: IntArray
    turned: BoolArray
    view: ClipTransform
    starts: bool
    pasted: tuple[PastedPatch, ...]


@dataclass(frozen=True, slots=True)
class _Slot:
    """The clips of a slot at a step: one, or four tiles of a mosaic, row by row."""

    clips: tuple[_Clip, ...]
    tiles: tuple[Tile, ...] = ()


def previous_frame_positions(
    times: np.ndarray[tuple[int], np.dtype[np.float64]], lag_s: float
) -> IntArray:
    """Return for each frame the position of the one nearest to `lag_s` before it, int64 [F].

    Never the frame itself, but for the first, so that a slow rate still shows motion.
    """
    wanted = times - lag_s
    after = np.clip(np.searchsorted(times, wanted), 1, max(1, len(times) - 1))
    before = after - 1
    if len(times) < 2:
        return np.zeros(len(times), np.int64)
    nearest = np.where(wanted - times[before] <= times[after] - wanted, before, after)
    own = np.arange(len(times))
    return np.minimum(nearest, np.maximum(own - 1, 0)).astype(np.int64)


def next_frame_positions(
    times: np.ndarray[tuple[int], np.dtype[np.float64]], lag_s: float
) -> IntArray:
    """Return the `previous_frame_positions` of a video that is played backwards, int64 [F]."""
    mirrored = previous_frame_positions(np.ascontiguousarray(-times[::-1]), lag_s)
    return np.ascontiguousarray(len(times) - 1 - mirrored[::-1])


class ClipDataset(TorchDataset[ClipBatch]):
    """The batches of one epoch, by step.

    Args:
        dataset: prepared frames.
        split: whose videos are drawn.
        clips: how clips are drawn.
        augment: their random transforms.
        batch: slots of the global batch; the first `clips.stateful_fraction` of them carry their
            state.
        steps: batches an epoch.
        seed: of everything.
        motion_lag_s: 0 without frame-difference input.
        rank: which process this is.
        world_size: how many processes share the batch; slot l belongs to process l % world_size.

    Raises:
        ConfigError: the crops are too small.
        DataError: the split has no boxes.
    """

    def __init__(
        self,
        dataset: Dataset,
        split: str,
        clips: ClipConfig,
        augment: AugmentConfig,
        *,
        batch: int,
        steps: int,
        seed: int,
        motion_lag_s: float = 0.0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.dataset, self.clips, self.augment = dataset, clips, augment
        self.videos = dataset.split(split)
        self.batch, self.steps, self.seed = batch, steps, seed
        self.motion_lag_s = motion_lag_s
        self.slots = list(range(batch))[rank::world_size]
        self.stateful_slots = round(batch * clips.stateful_fraction) if clips.length > 1 else 0
        self.epoch = 0
        crop = clips.crop or dataset.crop
        least = min(LEAST_CROP_CELLS * dataset.grid, *dataset.canvas_hw)
        if crop < least and not clips.full_frame:
            raise ConfigError(
                f"crops of {crop} pixels are too small to learn from",
                hint=f"set clips.crop to {least} or more",
            )
        self.size_hw = (
            dataset.canvas_hw
            if clips.full_frame
            else (min(crop, dataset.canvas_hw[0]), min(crop, dataset.canvas_hw[1]))
        )
        self._stores: dict[int, FrameStore] = {}
        self._previous = [
            previous_frame_positions(video.times, motion_lag_s) for video in self.videos
        ]
        self._next = [next_frame_positions(video.times, motion_lag_s) for video in self.videos]
        self._index = ClassIndex.of(self.videos, len(dataset.classes))
        self._copy_paste = CopyPaste(
            dataset,
            self.videos,
            self._index,
            augment,
            balance=clips.balance,
            store=self._store,
        )
        if not self._index.classes:
            raise DataError(
                f"{dataset.folder}: no boxes in split {split!r}", hint="annotate some objects first"
            )

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> ClipBatch:
        """Return this process's part of the batch of a step, 0 <= step < steps."""
        slots = [self._slot(slot, step) for slot in self.slots]
        frames, previous_frames = [], []
        targets: list[FrameTargets | None] = []
        for slot in slots:
            shown = [self._pictures(clip) for clip in slot.clips]
            frames.append(_joined([pictures for pictures, _ in shown]))
            previous_frames.append(_joined([pictures for _, pictures in shown]))
            for nth in range(self.clips.length):
                parts = [self._targets(clip, int(clip.positions[nth])) for clip in slot.clips]
                targets.append(join_targets(slot.tiles, parts) if slot.tiles else parts[0])
        starts = torch.tensor([slot.clips[0].starts for slot in slots])
        return _padded(torch.stack(frames), torch.stack(previous_frames), starts, targets)

    def _slot(self, slot: int, step: int) -> _Slot:
        """Return the clips of a slot at a step; what carries its state is no mosaic."""
        rng = np.random.default_rng((self.seed, self.epoch, slot, step, _MOSAIC))
        if slot < self.stateful_slots or rng.random() >= self.augment.mosaic:
            return _Slot((self._clip(slot, step),))
        tiles = draw_tiles(rng, self.size_hw)
        return _Slot(
            tuple(self._clip(slot, step, tile.size_hw, nth) for nth, tile in enumerate(tiles)),
            tiles,
        )

    def _clip(
        self, slot: int, step: int, size_hw: tuple[int, int] | None = None, tile: int = 0
    ) -> _Clip:
        """Return the clip of a slot at a step: part of a sequence with a generator of its own."""
        length = self.clips.length
        clips_in_sequence = self.clips.stateful_clips if slot < self.stateful_slots else 1
        # slots change their video at different steps, so that no step resets them all
        sequence, part = divmod(step + slot * 7, clips_in_sequence)
        tile_seed = (tile,) if tile else ()
        rng = np.random.default_rng((self.seed, self.epoch, slot, sequence, *tile_seed))
        while True:
            video, focus_position, label = self._index.draw(rng, self.clips.balance)
            low, high = self.clips.stride
            stride = int(rng.integers(low, high + 1))
            count = len(self.videos[video].frames)
            fits = max(1, count // (length * stride))  # clips that the video holds
            clips = min(fits, clips_in_sequence)
            span = min(count, clips * length * stride)
            earliest = max(0, min(focus_position - span + 1, count - span))
            latest = max(0, min(focus_position, count - span))
            start = int(rng.integers(earliest, latest + 1))
            backwards = bool(rng.random() < self.augment.reverse)
            view = self._view(rng, video, focus_position, label, size_hw or self.size_hw)
            pasted = self._copy_paste.draw(rng, video, focus_position, view)
            if part < clips:
                break
            part -= clips
        steps = np.arange(part * length, (part + 1) * length) * stride
        positions = start + _bounced(steps, count - start)
        turned = _goes_back(steps, count - start)
        if backwards:
            positions = start + span - 1 - (positions - start) % span
            turned = ~turned
        return _Clip(video, positions, turned, view, part == 0 or step == 0, pasted)

    def _view(
        self,
        rng: np.random.Generator,
        video: int,
        position: int,
        label: int,
        size_hw: tuple[int, int],
    ) -> ClipTransform:
        focus: FloatArray | None = None
        gt = self.videos[video].labels.at(int(self.videos[video].frames[position]))
        if gt is not None and rng.random() >= self.clips.negative_fraction:
            rows = np.nonzero((gt.labels == label) & ~gt.ignore)[0]
            if len(rows):
                boxes = self.dataset.canvas_boxes(self.videos[video], gt.boxes)
                focus = boxes[int(rng.choice(rows))]
        return draw_transform(
            rng,
            self.augment,
            canvas_hw=self.dataset.canvas_hw,
            size_hw=size_hw,
            focus=focus,
        )

    def _window(self, clip: _Clip, position: int) -> Picture:
        """Return the crop of one prepared frame with pasted objects, uint8 [h, w, 3]."""
        view = clip.view
        window = self._store(clip.video).window(
            position, view.top, view.left, (view.height, view.width)
        )
        return self._copy_paste.lay_into(window, clip.pasted, clip.video, position, view)

    def _store(self, video: int) -> FrameStore:
        store = self._stores.get(video)
        if store is None:
            store = self._stores[video] = self.dataset.open(self.videos[video])
        return store

    def _pictures(self, clip: _Clip) -> tuple[Tensor, Tensor]:
        before = self._before(clip) if self.motion_lag_s else clip.positions[:0]
        needed = np.unique(np.concatenate((clip.positions, before)))
        pictures = clip.view.pictures([self._window(clip, int(position)) for position in needed])
        return (
            pictures[torch.from_numpy(np.searchsorted(needed, clip.positions))],
            pictures[torch.from_numpy(np.searchsorted(needed, before))],
        )

    def _before(self, clip: _Clip) -> IntArray:
        """Return the positions `motion_lag_s` before those of a clip, in playing direction."""
        previous_frames, later = self._previous[clip.video], self._next[clip.video]
        return np.where(clip.turned, later[clip.positions], previous_frames[clip.positions])

    def _targets(self, clip: _Clip, position: int) -> FrameTargets | None:
        """Return the ground truth of a frame of a clip, None where it is not annotated."""
        video = self.videos[clip.video]
        gt = video.labels.at(int(video.frames[position]))
        if gt is None:
            return None
        on_canvas = self.dataset.canvas_boxes(video, gt.boxes)
        more, pasted_labels = self._copy_paste.ground_truth(clip.pasted, position)
        on_canvas = np.concatenate((on_canvas, more))
        labels = np.concatenate((gt.labels, pasted_labels))
        ignore = np.concatenate((gt.ignore, np.zeros(len(pasted_labels), bool)))
        own = np.ones(len(gt), np.float32) if gt.scores is None else gt.scores
        scores = np.concatenate((own, np.ones(len(pasted_labels), np.float32)))
        boxes, share = clip.view.boxes(on_canvas)
        sides = boxes[:, 2:] - boxes[:, :2]
        visible = (share > 0) & (sides.min(axis=1, initial=np.inf, where=sides >= 0) >= 1)
        hardly = ignore | (share < VISIBLE_SHARE)
        # a region of every class has none, which no table of classes could be asked for
        return FrameTargets(
            boxes[visible], np.maximum(labels[visible], 0), hardly[visible], scores[visible]
        )


def _joined(parts: list[Tensor]) -> Tensor:
    return join_pictures(parts) if len(parts) > 1 else parts[0]


def _bounced(steps: IntArray, count: int) -> IntArray:
    """Return positions within 0..count-1: a video that is too short is played to and fro."""
    if count == 1:
        return np.zeros_like(steps)
    period = 2 * (count - 1)
    phase = steps % period
    return np.where(phase < count, phase, period - phase)


def _goes_back(steps: IntArray, count: int) -> BoolArray:
    """Return at which positions of `_bounced` the video was last played backwards."""
    if count == 1:
        return np.zeros(len(steps), np.bool_)
    phase = steps % (2 * (count - 1))
    back: BoolArray = (phase >= count) | ((phase == 0) & (steps > 0))
    return back


def _padded(
    frames: Tensor, previous_frames: Tensor, starts: Tensor, targets: list[FrameTargets | None]
) -> ClipBatch:
    """Return the batch with as many rows of ground truth in every frame."""
    most = max([len(one) for one in targets if one is not None], default=0)
    batch = ClipBatch(
        frames=frames,
        previous_frames=previous_frames,
        starts=starts,
        boxes=torch.zeros(len(targets), most, 4),
        labels=torch.zeros(len(targets), most, dtype=torch.int64),
        valid=torch.zeros(len(targets), most, dtype=torch.bool),
        ignore=torch.zeros(len(targets), most, dtype=torch.bool),
        scores=torch.ones(len(targets), most),
        annotated_frames=torch.tensor([one is not None for one in targets]),
    )
    for row, one in enumerate(targets):
        if one is None:
            continue
        n = len(one)
        batch.boxes[row, :n] = torch.from_numpy(one.boxes)
        batch.labels[row, :n] = torch.from_numpy(one.labels)
        batch.ignore[row, :n] = torch.from_numpy(one.ignore)
        batch.scores[row, :n] = torch.from_numpy(one.scores)
        batch.valid[row, :n] = True
    return batch


def single_frames(clips: ClipConfig) -> ClipConfig:
    """Return the same drawing rules for clips of one frame."""
    return replace_config(clips, length=1, stateful_fraction=0.0)


def replace_config(clips: ClipConfig, **changes: object) -> ClipConfig:
    """Return the settings with some changed."""
    return clips.model_copy(update=changes)
