"""Builders of label sets that all readers share: limits, names, the columns of a video."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from lstmcli.core.errors import DataError
from lstmcli.core.limits import check_limit, limit
from lstmcli.core.media_files import files_below
from lstmcli.core.names import safe_name, stem_of, unique_names
from lstmcli.core.types import (
    IntArray,
    LabelSet,
    VideoLabels,
)
from lstmcli.labels.box_columns import BoxColumns, checked_columns
from lstmcli.labels.identity import IdRegistry, id_key
from lstmcli.labels.shapes import Box
from lstmcli.labels.warning_collector import WarningCollector

_HIGHEST_TRACK = 1 << 62
"""Track ids above would not fit into the columns; they are names."""
_UNTAKEN_TRACK = 10**15
"""First track id of such names, so that they do not collide with small ids."""

EVERY_CLASS = -1
"""The label of an ignored region that speaks of no class: it covers all of them."""
WHOLE_PICTURE = 100_000.0
"""The sides of the ignored region of a lost shape where the size of the picture is not known."""


def files_of(folder: Path, ending: str, *, below: bool = False) -> list[Path]:
    """Return the files whose names end so, in either case, sorted; `below` goes into folders."""
    entries = files_below(folder) if below else folder.iterdir()
    return sorted(path for path in entries if path.name.lower().endswith(ending))


class VideoLabelsBuilder:
    """The boxes of one video on their way into a VideoLabels.

    Args:
        name: see VideoLabels; made safe and unique by the set.
        source: the label file, for errors.

    Attributes:
        is_file: whether the labels say that it is a video, also where they do not name its path.
    """

    def __init__(self, name: str, source: str) -> None:
        self.name = name
        self.source = source
        self.media: str | None = ""
        self.is_file = False
        self.size_hw: tuple[int, int] | None = None
        self.rate: float | None = None
        self.frame_count: int | None = None
        self.split: str | None = None
        self.placed_by_time = False
        self.frames: list[int] = []
        self.boxes: list[Box] = []
        self.labels: list[int] = []
        self.tracks: list[int] = []
        self.ignore: list[bool] = []
        self.scores: list[float] = []
        self._images: dict[int, str] = {}
        self._until = 0
        self._annotated: set[int] = set()
        self._ranges: list[range] = []
        self._track_ids: dict[str, int] = {}
        self._lost: set[int] = set()
        self._lost_if_empty: set[int] = set()

    def __len__(self) -> int:
        return len(self.frames)

    def check_frame(self, frame: int, where: str = "", *, base: int = 0) -> int:
        """Return the frame index; DataError where it cannot be one.

        Args:
            frame: index from 0.
            where: the place in the file, for the error.
            base: the number that the format gives the first frame, for the error.
        """
        if not 0 <= frame < limit("frames"):
            place = f"{where or self.source}: frame {frame + base} of {self.name!r}"
            check_limit("frames", frame + 1, place)
            raise DataError(place, hint=f"frames count from {base}")
        return frame

    def set_size(self, width: float, height: float, where: str = "") -> None:
        """Set the size in pixels; a size of 0 means that the file does not state it."""
        if width == 0 or height == 0:
            return
        if not (0 < width <= 1_000_000 and 0 < height <= 1_000_000):
            raise DataError(
                f"{where or self.source}: a picture of {width:g}x{height:g} pixels",
                hint="width and height must be positive",
            )
        self.size_hw = (round(height), round(width))

    def mark_annotated(self, frames: Iterable[int]) -> None:
        """Mark frames as annotated, with boxes or without."""
        if isinstance(frames, range):
            self._ranges.append(frames)
        else:
            self._annotated.update(frames)

    def mark_annotated_until(self, count: int, where: str = "") -> None:
        """Mark the first `count` frames as annotated."""
        if count > 0:
            self.check_frame(count - 1, where)
            self._until = max(self._until, count)

    def image(self, frame: int, path: str, where: str = "") -> None:
        """Give a frame its image; the video is then no file but these images."""
        self._images[self.check_frame(frame, where)] = path
        self.media = None

    def track(self, key: str | int) -> int:
        """Return the number of a track: its own where it is a number, a counted one otherwise."""
        key = key if isinstance(key, int) else id_key(key)
        if isinstance(key, int):
            if key <= _HIGHEST_TRACK:
                return max(key, -1)
            return self._track_ids.setdefault(str(key), _UNTAKEN_TRACK + len(self._track_ids))
        if re.fullmatch(r"\d{1,15}", key):
            return int(key)
        return self._track_ids.setdefault(key, len(self._track_ids) + 1)

    def add(
        self,
        frame: int,
        box: Sequence[float],
        label: int,
        *,
        track: int = -1,
        ignore: bool = False,
        score: float = 1.0,
    ) -> None:
        """Add a box (x1, y1, x2, y2) in pixels, with its score in 0..1 where it is a soft label."""
        self.frames.append(frame)
        self.boxes.append((box[0], box[1], box[2], box[3]))
        self.labels.append(label)
        self.tracks.append(track)
        self.ignore.append(ignore)
        self.scores.append(score)

    def lose(self, frame: int, *, if_empty: bool = False) -> None:
        """Note that a shape of a frame has no box: the whole picture becomes an ignored region.

        So the frame keeps its other boxes and nothing in it is taught as background.

        Args:
            frame: index from 0.
            if_empty: only if nothing else is drawn in it.
        """
        (self._lost_if_empty if if_empty else self._lost).add(self.check_frame(frame))

    def add_lost_regions(self) -> None:
        """Add ignored regions to frames with lost shapes, and to those with flat boxes only.

        A box without area is a click without a drag: it is left out, but there is an object.
        """
        height, width = self.size_hw or (WHOLE_PICTURE, WHOLE_PICTURE)
        solid = {
            frame
            for frame, (x1, y1, x2, y2) in zip(self.frames, self.boxes, strict=True)
            if x1 != x2 and y1 != y2
        }
        self._lost_if_empty.update(set(self.frames) - solid)
        for frame in sorted(self._lost | (self._lost_if_empty - solid)):
            self.add(frame, (0.0, 0.0, width, height), EVERY_CLASS, ignore=True)
        self._lost.clear()
        self._lost_if_empty.clear()

    def annotated_frames(self) -> IntArray:
        """Return the annotated frames, sorted, boxes or not."""
        some = self._annotated.union(self.frames)
        if not self._ranges and not self._until:
            return _FIRST_FRAME if some == {0} else np.array(sorted(some), np.int64)
        parts = [np.arange(part.start, part.stop, part.step) for part in self._ranges]
        later = np.unique(np.concatenate((*parts, np.array(list(some), np.int64))))
        return np.concatenate((np.arange(self._until), later[later >= self._until]))

    def build(self, name: str, rows: BoxColumns, part: slice) -> VideoLabels:
        """Return the video with its part of the checked rows."""
        count = max(self._images, default=-1) + 1
        scores = rows.scores[part]
        return VideoLabels(
            name=name,
            media=None if self._images else self.media,
            annotated_frames=self.annotated_frames(),
            box_frames=rows.frames[part],
            boxes=rows.boxes[part],
            labels=rows.labels[part],
            tracks=rows.tracks[part],
            ignore=rows.ignore[part],
            scores=scores if (scores < 1).any() else None,
            images=tuple(self._images.get(n, "") for n in range(count)),
            size_hw=self.size_hw,
            rate=self.rate,
            frame_count=self.frame_count if self.frame_count is not None else count or None,
            split=self.split,
            source=self.source,
            placed_by_time=self.placed_by_time,
        )


_FIRST_FRAME = np.zeros(1, np.int64)
_FIRST_FRAME.flags.writeable = False


def renumbered(labels: IntArray, index: IntArray) -> IntArray:
    """Return the labels by a table of new ones; regions of every class stay such."""
    if not len(index):
        return labels
    new: IntArray = np.where(labels < 0, labels, index[np.maximum(labels, 0)])
    return new


_LOST = {
    True: "its whole picture becomes an ignored region",
    False: "a picture without boxes becomes an ignored region",
}


DROPS_OF_ALL: tuple[str, ...] = (
    "boxes without area: left out; a frame without others is an ignored region",
    "boxes whose corners are in the wrong order: reordered, unless most of a file's are",
    "a box of the same object written again: one is kept",
)
"""What every reader drops or converts; each case is counted as a warning."""


class LabelSetBuilder:
    """A label set in the making: classes in the order of their first mention, videos by key."""

    def __init__(
        self, warnings: WarningCollector, source: Path | str, classes: Iterable[str] = ()
    ) -> None:
        self.warnings = warnings
        self.source = str(source)
        self._classes: dict[str, int] = {}
        self._videos: dict[str, VideoLabelsBuilder] = {}
        self._ids: dict[str, IdRegistry] = {}
        self._held = 0
        for name in classes:
            self.label(name)

    def ids(self, kind: str) -> IdRegistry:
        """Return the registry of the ids of a kind ("image", "category" ...) in this file."""
        return self._ids.setdefault(kind, IdRegistry(kind, self.source))

    def add_shape(
        self,
        video: VideoLabelsBuilder,
        frame: int,
        hull: Box | None,
        label: int,
        *,
        kind: str,
        where: str,
        track: int = -1,
        ignore: bool = False,
        flat: bool = True,
    ) -> None:
        """Add the hull of a shape that is no box, or an ignored region where it has none.

        A shape in space (not `flat`) may be outside of the picture, so it only keeps a picture
        without boxes from being taught as empty.
        """
        if hull is None or hull[2] <= hull[0] or hull[3] <= hull[1]:
            self.warnings.add(
                f"a shape of kind {kind!r} that no box surrounds; " + _LOST[flat],
                where,
            )
            video.lose(frame, if_empty=not flat)
            return
        self.warnings.add(f"a shape of kind {kind!r}; its upright bounding box is taken", where)
        video.add(frame, hull, label, track=track, ignore=ignore)

    def note_same_names(self, names: Sequence[str], where: str = "") -> None:
        """Say that several numbers stand for classes of one name, which are joined."""
        for name in dict.fromkeys(names):
            if names.count(name) > 1:
                text = "several class numbers of one name; they are one class"
                self.warnings.add(text, f"{where or self.source}, {name!r}")

    def label(self, name: str) -> int:
        """Return the index of a class; a name that is not there yet joins."""
        return self._classes.setdefault(name.strip() or "object", len(self._classes))

    def video(self, key: str, name: str = "", source: str = "") -> VideoLabelsBuilder:
        """Return the video of a key, made when it is first asked for."""
        found = self._videos.get(key)
        if found is None:
            found = self._videos[key] = VideoLabelsBuilder(name or key, source or self.source)
        return found

    def has_video(self, key: str) -> bool:
        """Return whether a video of this key is there."""
        return key in self._videos

    def still(self, key: str, image: str, source: str = "") -> VideoLabelsBuilder:
        """Return the one-frame video of an image, annotated."""
        video = self.video(key, stem_of(image), source)
        video.image(0, image)
        video.mark_annotated((0,))
        return video

    def hold(self, boxes: int, where: str) -> None:
        """Count boxes that are about to be interpolated between those of the file.

        Raises:
            DataError: there are too many of them in all.
        """
        self._held += boxes
        check_limit("held_boxes", self._held, where)

    def _note_letter_case(self, classes: Sequence[str]) -> None:
        first: dict[str, str] = {}
        for name in classes:
            other = first.setdefault(name.casefold(), name)
            if other != name:
                self.warnings.add(
                    "classes that differ only in capital letters (prepare --rename joins them)",
                    f"{self.source}, {other!r} and {name!r}",
                )

    def build(self) -> LabelSet:
        """Return the set.

        Raises:
            DataError: too many boxes, or one that is not made of numbers.
        """
        check_limit("boxes", sum(len(video) for video in self._videos.values()), self.source)
        listed = list(self._videos.values())
        for video in listed:
            video.add_lost_regions()
        names = unique_names([safe_name(video.name) for video in listed])
        rows = checked_columns(listed, self.warnings)
        videos = tuple(
            video.build(name, rows, slice(rows.bounds[n], rows.bounds[n + 1]))
            for n, (name, video) in enumerate(zip(names, listed, strict=True))
        )
        classes = tuple(self._classes)
        self._note_letter_case(classes)
        if not classes and any(len(video.labels) for video in videos):
            classes = ("object",)
        return LabelSet(classes, videos, self.warnings.collected())
