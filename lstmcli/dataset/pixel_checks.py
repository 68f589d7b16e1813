"""Label checks that need pixels: swapped axes, near-duplicate videos in two splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from lstmcli.core.types import DataWarning, FloatArray, Picture
from lstmcli.dataset.manifest import Dataset
from lstmcli.labels.warning_collector import WarningCollector

MOST_FRAMES = 2000
"""Most frames that are checked in all; a few seconds' work."""
MOST_BOXES = 20
"""Most boxes of one frame that are checked."""
THUMBNAIL_HW = (24, 32)
LEAST_DETAIL = 4.0
"""Grey levels: a picture with a smaller deviation from a plane (a clear sky) says nothing."""
SAME_PICTURE = 0.95
"""The correlation of two thumbnails from which they show the same picture."""
LEAST_BOXES = 20
"""From so many boxes on, their contrast says something of the labels."""
BETTER_SHARE = 0.75
"""The share of boxes that must lie better elsewhere before it is said."""
SMALLEST = 6
"""Pixels; what is smaller has no inside."""

Grey = npt.NDArray[np.float32]


def check_pictures(
    dataset: Dataset, *, check_near_duplicates: bool = True
) -> tuple[DataWarning, ...]:
    """Look at some frames of every prepared video.

    Args:
        dataset: with frames.
        look_for_twins: compare the videos of different splits.
    """
    warnings = WarningCollector()
    thumbnails: dict[str, list[Grey]] = {}
    checks: dict[str, SwappedAxesCheck] = {}
    share = int(np.clip(MOST_FRAMES // max(1, len(dataset.videos)), 3, 24))
    for video in dataset.videos:
        store = dataset.open(video)
        positions = np.unique(np.linspace(0, max(0, len(store) - 1), share).astype(int)).tolist()
        small = thumbnails.setdefault(video.name, [])
        for position in positions if len(store) else []:
            picture = store.picture(position)
            if check_near_duplicates and position in {
                positions[0],
                positions[len(positions) // 2],
                positions[-1],
            }:
                seen = thumbnail(picture)
                small += [] if seen is None else [seen]
            gt = video.labels.at(int(video.frames[position]))
            if gt is None or not len(gt):
                continue
            boxes = gt.boxes[~gt.ignore][:MOST_BOXES]
            checks.setdefault(video.split, SwappedAxesCheck()).add(
                picture,
                dataset.canvas_boxes(video, boxes),
                dataset.canvas_boxes(video, boxes[:, [1, 0, 3, 2]]),
            )
    for split, check in checks.items():
        check.note(split, warnings)
    note_near_duplicates(
        thumbnails, {video.name: video.split for video in dataset.videos}, warnings
    )
    return warnings.collected()


def thumbnail(picture: Picture) -> Grey | None:
    """Return what is left of a picture when it is scaled, compressed or brightened.

    Args:
        picture: uint8 [H, W, 3].

    Returns:
        [768] with mean 0 and length 1, without the plane that a clear sky is; None for a picture
        that shows too little to be distinguished from another.
    """
    height, width = THUMBNAIL_HW
    grey = Image.fromarray(picture).convert("L").convert("F")
    small = np.asarray(grey.resize((width, height), Image.Resampling.BOX), np.float64)
    y, x = np.mgrid[: small.shape[0], : small.shape[1]]
    smooth = np.stack([np.ones(small.size), y.ravel(), x.ravel(), y.ravel() ** 2], axis=1)
    values = small.ravel()
    plane, *_ = np.linalg.lstsq(smooth, values, rcond=None)
    detail = values - smooth @ plane
    if detail.std() < LEAST_DETAIL:
        return None
    return np.asarray(detail / np.linalg.norm(detail), np.float32)


def note_near_duplicates(
    thumbnails: Mapping[str, Sequence[Grey]], splits: Mapping[str, str], warnings: WarningCollector
) -> None:
    """Note pairs of videos of different splits of which most pictures are the same.

    Args:
        thumbnails: of a few frames of every video, by its name.
        splits: by the video's name.
        warnings: are added to.
    """
    named = [name for name in thumbnails if thumbnails[name]]
    for n, name in enumerate(named):
        own = np.stack(thumbnails[name])
        for other in named[:n]:
            if splits[name] == splits[other]:
                continue
            nearest = (own @ np.stack(thumbnails[other]).T).max(axis=1)
            if 2 * int((nearest >= SAME_PICTURE).sum()) > len(own):
                warnings.add(
                    "videos of two splits are near-duplicates, so metrics may be too good",
                    f"{other} ({splits[other]}), {name} ({splits[name]})",
                )


@dataclass(slots=True)
class SwappedAxesCheck:
    """Whether boxes lie on more to see when x and y are exchanged.

    The contrast of a box is the logarithm of the highest gradient in it over the median gradient
    around it: a horizon next to an object does not count against it. Single boxes prove nothing, a
    street is full of edges; the share of many does.

    Args:
        boxes: how many lie elsewhere in the picture when x and y are exchanged.
        better: how many of those have more contrast there.
    """

    boxes: int = 0
    better: int = 0

    def add(self, picture: Picture, boxes: FloatArray, exchanged: FloatArray) -> None:
        """Count the boxes of a frame.

        Args:
            picture: uint8 [H, W, 3].
            boxes: [N, 4] in its pixels.
            exchanged: [N, 4], the same with x and y exchanged in the source.
        """
        steep = _gradient(picture)
        limits = np.array((picture.shape[1], picture.shape[0]))
        for box, other in zip(boxes, exchanged, strict=True):
            inside = (other[:2] >= 0).all() and (other[2:] <= limits).all()
            sides = box[2:] - box[:2]
            if inside and sides.min() >= SMALLEST and np.abs(other - box).max() > sides.max():
                self.boxes += 1
                self.better += _contrast(steep, other) > _contrast(steep, box)

    def note(self, where: str, warnings: WarningCollector) -> None:
        """Say it if most boxes lie better with their axes exchanged."""
        if self.boxes >= LEAST_BOXES and self.better > BETTER_SHARE * self.boxes:
            warnings.add(
                "boxes lie on more to see if x and y are exchanged; are they?",
                f"{where}, {self.better} of {self.boxes} boxes",
            )


def _gradient(picture: Picture) -> Grey:
    """Return the steepness at every second pixel, [H // 2, W // 2]."""
    grey = picture[::2, ::2].astype(np.float32).mean(axis=2)
    steep = np.zeros_like(grey)
    steep[:, 1:] += np.abs(np.diff(grey, axis=1))
    steep[1:] += np.abs(np.diff(grey, axis=0))
    return np.asarray(steep, np.float32)


def _contrast(steep: Grey, box: npt.NDArray[np.floating]) -> float:
    centre, half = (box[:2] + box[2:]) / 4, (box[2:] - box[:2]) / 4
    inner = steep[_part(steep, centre, half * 1.1)]
    around = steep[_part(steep, centre, half * 2)]
    high = inner.max() if inner.size else 0.0
    return float(np.log(high + 0.5) - np.log(np.median(around) + 0.5))


def _part(
    steep: Grey, centre: npt.NDArray[np.floating], half: npt.NDArray[np.floating]
) -> tuple[slice, slice]:
    limits = np.array(steep.shape[::-1])
    left, top = np.clip(np.floor(centre - half), 0, limits - 1).astype(int)
    right, bottom = np.clip(np.ceil(centre + half), 1, limits).astype(int)
    return slice(top, bottom), slice(left, right)
