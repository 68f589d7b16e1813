"""Draws what is laid into a clip from other videos, and lays it there frame by frame."""

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
"""Places that are tried before an object is not pasted, because others are there."""


@dataclass(frozen=True, slots=True)
class PastedPatch:
    """An object of another video that moves through a run of clips as it moves in its own.

    Or a decoy: what lies beside the object there, moving as it does. Without decoys, a network
    learns the seams of what was pasted instead of objects (Dwibedi et al. 2017, 1708.01642).

    Args:
        video: the object's own.
        label: its class.
        track: its number there, -1 where objects are not numbered.
        begins: its place there while the run shows place 0.
        shift: (x, y) in pixels of the canvas, from where it is there to where it is here.
        beside: of a decoy, (x, y) from the object to the empty place that is taken in its stead.
    """

    video: int
    label: int
    track: int
    begins: int
    shift: tuple[int, int]
    leave_core_free: tuple[int, int] | None = None


class CopyPaste:
    """Objects of the videos of a split on their way into other videos of it.

    Args:
        dataset: prepared frames.
        videos: of the split.
        index: of the same videos.
        augment: how many objects and decoys a clip is given.
        balance: draw classes equally often.
        store: returns the frames of a video by its place in `videos`.
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
        self, rng: np.random.Generator, video: int, place: int, view: ClipTransform
    ) -> tuple[PastedPatch, ...]:
        """Draw what is laid into a clip, apart from each other and from what is there at a place.

        Decoys come first: they lie under the objects.
        """
        taken = self.boxes(video, place)
        drawn: list[PastedPatch] = []
        for decoy, wanted in ((True, self.augment.distractors), (False, self.augment.copy_paste)):
            for _ in range(int(wanted) + int(rng.random() < wanted % 1)):
                found = self._draw_one(rng, video, place, view, taken, decoy=decoy)
                if found is not None:
                    drawn.append(found[0])
                    taken = np.concatenate((taken, found[1][None]))
        return tuple(drawn)

    def _draw_one(
        self,
        rng: np.random.Generator,
        video: int,
        place: int,
        view: ClipTransform,
        taken: FloatArray,
        *,
        decoy: bool,
    ) -> tuple[PastedPatch, FloatArray] | None:
        """Draw an object of any class, or a decoy, and the box [4] where it is seen at a place."""
        other, its_place, label = self._index.draw(rng, self.balance)
        gt = self.videos[other].labels.at(int(self.videos[other].frames[its_place]))
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
                leave_core_free = rng.uniform(-1, 1, 2) * self.dataset.canvas_hw[::-1] / 2
                one = PastedPatch(
                    other,
                    label,
                    int(gt.tracks[row]),
                    its_place - place,
                    (int(shift[0]), int(shift[1])),
                    (int(leave_core_free[0]), int(leave_core_free[1])) if decoy else None,
                )
                return one, moved.astype(np.float32)
        return None

    def boxes(self, video: int, place: int) -> FloatArray:
        """Return the boxes [N, 4] of a prepared frame, in pixels of the canvas."""
        gt = self.videos[video].labels.at(int(self.videos[video].frames[place]))
        boxes = no_boxes() if gt is None else gt.boxes
        return self.dataset.canvas_boxes(self.videos[video], boxes)

    def gt(self, pasted: Iterable[PastedPatch], place: int) -> tuple[FloatArray, IntArray]:
        """Return boxes [N, 4] of the canvas and labels [N] of what is seen at a place of a run."""
        boxes, labels = [no_boxes()], []
        for one in pasted:
            found = None if one.leave_core_free else self._its_box(one, place)
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
        place: int,
        view: ClipTransform,
    ) -> Picture:
        """Return what a clip looks at of one prepared frame with everything laid into it.

        Args:
            window: uint8 [h, w, 3], the view's part of the frame.
            pasted: what is laid into it.
            video: whose frame it is.
            place: of the frame in the video.
            view: where the window lies on the canvas.
        """
        for one in pasted:
            found = self._its_box(one, place)
            if found is None:
                continue
            left, top, right, bottom = region_of(found[1])
            (x, y), (bx, by) = one.shift, one.leave_core_free or (0, 0)
            size_hw = (bottom - top, right - left)
            if one.leave_core_free and not (
                self._is_empty(one.video, found[0], (left + bx, top + by), size_hw)
                and self._is_empty(video, place, (left + x, top + y), size_hw)
            ):
                continue
            patch = self._store(one.video).window(found[0], top + by, left + bx, size_hw)
            window = paste_into(window, patch, left=left + x - view.left, top=top + y - view.top)
        return window

    def _its_box(self, pasted: PastedPatch, place: int) -> tuple[int, FloatArray] | None:
        """Return the object's place in its own video and its box there [4], if it is there."""
        video = self.videos[pasted.video]
        source = place + pasted.begins
        if not 0 <= source < len(video.frames):
            return None
        gt = video.labels.at(int(video.frames[source]))
        if gt is None:
            return None
        same = (gt.labels == pasted.label) & (gt.tracks == pasted.track)
        rows = np.nonzero(same & ~gt.ignore)[0]
        if len(rows) != 1:  # gone, or one of several that nobody told apart
            return None
        boxes = self.dataset.canvas_boxes(video, gt.boxes)
        left, top, right, bottom = region_of(boxes[rows[0]])
        x1, y1, x2, y2 = np.delete(boxes, rows[0], axis=0).T
        if ((x1 < right) & (x2 > left) & (y1 < bottom) & (y2 > top)).any():
            return None  # its neighbour would come along, and nobody would tell that it is there
        return source, boxes[rows[0]]

    def _is_empty(
        self, video: int, place: int, corner: tuple[int, int], size_hw: tuple[int, int]
    ) -> bool:
        """Return whether a part of a frame lies on the canvas and shows no known object."""
        (left, top), (height, width) = corner, size_hw
        rows, columns = self.dataset.canvas_hw
        if left < 0 or top < 0 or left + width > columns or top + height > rows:
            return False
        x1, y1, x2, y2 = self.boxes(video, place).T
        meets = (x1 < left + width) & (x2 > left) & (y1 < top + height) & (y2 > top)
        return not meets.any()
