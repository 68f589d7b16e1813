"""Copy-paste augmentation: objects and distractors of other videos, pasted frame by frame."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from lstmcli.core.config import AugmentConfig
from lstmcli.core.types import FloatArray, IntArray, Picture, no_boxes
from lstmcli.dataset.augment import ClipTransform
from lstmcli.dataset.class_index import ClassIndex
from lstmcli.dataset.frame_store import FrameStore
from lstmcli.dataset.manifest import Dataset, PreparedVideo
from lstmcli.dataset.pasted_patch import paste_into, region_of

TRIES = 5
"""Random positions that are tried before an object is dropped because others are there."""


@dataclass(frozen=True, slots=True)
class PastedPatch:
    """An object of another video that moves through a sequence of clips as in its own.

    Or a distractor: background near the object there, moving as the object does. Without
    distractors, a network learns the seams of pasted patches instead of objects (Dwibedi et al.
    2017, https://arxiv.org/abs/1708.01642).

    Args:
        video: the object's own.
        label: its class.
        track: its track id there, -1 without one.
        begins: its frame position there while the sequence is at position 0.
        shift: (x, y) in pixels of the canvas, from its own video to this one.
        offset_xy: of a distractor, (x, y) from the object to the background patch; None: an object.
    """

    video: int
    label: int
    track: int
    begins: int
    shift: tuple[int, int]
    offset_xy: tuple[int, int] | None = None


class CopyPaste:
    """Pastes objects of the videos of a split into other videos of it.

    Args:
        dataset: prepared frames.
        videos: of the split.
        index: the class index of the same videos.
        augment: mean number of pasted objects and distractors a clip.
        balance: draw classes equally often.
        store: returns the frames of a video by its position in `videos`.
    """

    def __init__(
        self,
        dataset: Dataset,
        videos: tuple[PreparedVideo, ...],
        index: ClassIndex,
        augment: AugmentConfig,
        *,
        balance: bool,
        store: Callable[[int], FrameStore],
    ) -> None:
        self.dataset, self.videos, self.augment, self.balance = dataset, videos, augment, balance
        self._index, self._store = index, store

    def draw(
        self, rng: np.random.Generator, video: int, position: int, view: ClipTransform
    ) -> tuple[PastedPatch, ...]:
        """Draw the patches of a clip; none overlaps another or an object at the given position.

        Distractors come first: they lie under the objects.
        """
        taken = self.boxes(video, position)
        drawn: list[PastedPatch] = []
        for distractor, wanted in (
            (True, self.augment.distractors),
            (False, self.augment.copy_paste),
        ):
            for _ in range(int(wanted) + int(rng.random() < wanted % 1)):
                found = self._draw_one(rng, video, position, view, taken, distractor=distractor)
                if found is not None:
                    drawn.append(found[0])
                    taken = np.concatenate((taken, found[1][None]))
        return tuple(drawn)

    def _draw_one(
        self,
        rng: np.random.Generator,
        video: int,
        position: int,
        view: ClipTransform,
        taken: FloatArray,
        *,
        distractor: bool,
    ) -> tuple[PastedPatch, FloatArray] | None:
        """Draw an object of any class or a distractor, and its box [4] at the position."""
        other, its_position, label = self._index.draw(rng, self.balance)
        gt = self.videos[other].labels.at(int(self.videos[other].frames[its_position]))
        assert gt is not None
        row = int(rng.choice(np.nonzero((gt.labels == label) & ~gt.ignore)[0]))
        box = self.dataset.canvas_boxes(self.videos[other], gt.boxes)[row]
        corner = np.array((view.left, view.top))
        room = np.array((view.width, view.height)) - (box[2:] - box[:2])
        if room.min() < 0:
            return None
        for _ in range(TRIES):
            shift = np.round(corner + rng.uniform(0, 1, 2) * room - box[:2]).astype(int)
            moved = box + np.tile(shift, 2)
            apart = (taken[:, :2] >= moved[2:]) | (taken[:, 2:] <= moved[:2])
            if other != video and apart.any(axis=1).all():
                offset_xy = rng.uniform(-1, 1, 2) * self.dataset.canvas_hw[::-1] / 2
                one = PastedPatch(
                    other,
                    label,
                    int(gt.tracks[row]),
                    its_position - position,
                    (int(shift[0]), int(shift[1])),
                    (int(offset_xy[0]), int(offset_xy[1])) if distractor else None,
                )
                return one, moved.astype(np.float32)
        return None

    def boxes(self, video: int, position: int) -> FloatArray:
        """Return the boxes [N, 4] of a prepared frame, in pixels of the canvas."""
        gt = self.videos[video].labels.at(int(self.videos[video].frames[position]))
        boxes = no_boxes() if gt is None else gt.boxes
        return self.dataset.canvas_boxes(self.videos[video], boxes)

    def ground_truth(
        self, pasted: Iterable[PastedPatch], position: int
    ) -> tuple[FloatArray, IntArray]:
        """Return canvas boxes [N, 4] and labels [N] of the pasted objects at a position."""
        boxes, labels = [no_boxes()], []
        for one in pasted:
            found = None if one.offset_xy else self._its_box(one, position)
            if found is not None:
                moved = found[1] + np.tile(np.array(one.shift, np.float32), 2)
                boxes.append(moved[None])
                labels.append(one.label)
        return np.concatenate(boxes), np.array(labels, np.int64)

    def lay_into(
        self,
        window: Picture,
        pasted: Iterable[PastedPatch],
        video: int,
        position: int,
        view: ClipTransform,
    ) -> Picture:
        """Return the crop of one prepared frame with all patches pasted.

        Args:
            window: uint8 [h, w, 3], the view's part of the frame.
            pasted: the patches.
            video: whose frame it is.
            position: of the frame in the video.
            view: where the window lies on the canvas.
        """
        for one in pasted:
            found = self._its_box(one, position)
            if found is None:
                continue
            left, top, right, bottom = region_of(found[1])
            (x, y), (bx, by) = one.shift, one.offset_xy or (0, 0)
            size_hw = (bottom - top, right - left)
            if one.offset_xy and not (
                self._is_empty(one.video, found[0], (left + bx, top + by), size_hw)
                and self._is_empty(video, position, (left + x, top + y), size_hw)
            ):
                continue
            patch = self._store(one.video).window(found[0], top + by, left + bx, size_hw)
            window = paste_into(window, patch, left=left + x - view.left, top=top + y - view.top)
        return window

    def _its_box(self, pasted: PastedPatch, position: int) -> tuple[int, FloatArray] | None:
        """Return the object's position and box [4] in its own video, None if it is gone."""
        video = self.videos[pasted.video]
        source = position + pasted.begins
        if not 0 <= source < len(video.frames):
            return None
        gt = video.labels.at(int(video.frames[source]))
        if gt is None:
            return None
        same = (gt.labels == pasted.label) & (gt.tracks == pasted.track)
        rows = np.nonzero(same & ~gt.ignore)[0]
        if len(rows) != 1:  # gone, or one of several without track ids
            return None
        boxes = self.dataset.canvas_boxes(video, gt.boxes)
        left, top, right, bottom = region_of(boxes[rows[0]])
        x1, y1, x2, y2 = np.delete(boxes, rows[0], axis=0).T
        if ((x1 < right) & (x2 > left) & (y1 < bottom) & (y2 > top)).any():
            return None  # its neighbour would be pasted, too, without ground truth
        return source, boxes[rows[0]]

    def _is_empty(
        self, video: int, position: int, corner: tuple[int, int], size_hw: tuple[int, int]
    ) -> bool:
        """Return whether a part of a frame lies on the canvas and shows no known object."""
        (left, top), (height, width) = corner, size_hw
        rows, columns = self.dataset.canvas_hw
        if left < 0 or top < 0 or left + width > columns or top + height > rows:
            return False
        x1, y1, x2, y2 = self.boxes(video, position).T
        meets = (x1 < left + width) & (x2 > left) & (y1 < top + height) & (y2 > top)
        return not meets.any()
