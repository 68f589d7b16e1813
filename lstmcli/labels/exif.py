"""Labels of photos that were annotated as they are stored, not as EXIF data turn them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from lstmcli.core.errors import MediaError
from lstmcli.core.types import DataWarning, LabelSet, VideoLabels
from lstmcli.labels.media_finder import MediaFinder
from lstmcli.labels.plausibility import FEWEST, SLIPS, outside


def turn_with_exif(labels: LabelSet) -> LabelSet:
    """Return the set with the boxes turned of images whose labels state the stored size.

    A tool that ignores EXIF orientation writes the size of the stored pixels (160x120) for a photo
    that every viewer shows upright (120x160). Half turns and mirrors keep the size: such labels
    are taken to be of the shown image.

    Args:
        labels: with absolute paths of images.
    """
    turned, count, first = [], 0, ""
    for video in labels.videos:
        made = _turned(video)
        if made is not None:
            count, first = count + len(video.images), first or video.name
        turned.append(video if made is None else made)
    if not count:
        return labels
    warning = DataWarning(
        "the labels state the size of the photo as stored; boxes were turned as its EXIF "
        "orientation turns it",
        first,
        count,
    )
    return replace(labels, videos=tuple(turned), warnings=(*labels.warnings, warning))


def with_stored_sizes(videos: Sequence[VideoLabels]) -> list[VideoLabels]:
    """Return the videos with the stored sizes of photos whose labels state none but speak of them.

    Where boxes leave the photos as they are shown and fit them as they are stored, the whole set
    was labelled in a tool that ignores EXIF; `turn_with_exif` then turns them and says so.

    Args:
        videos: of one set, with absolute paths of images.
    """
    from lstmcli.video import image_size

    sizes = {}
    for n, video in enumerate(videos):
        if video.size_hw is None and len(video.images) == 1 and len(video.boxes):
            with suppress(MediaError):  # reported when it is decoded
                found = image_size(Path(video.images[0]))
                if found.stored_hw != found.shown_hw:
                    sizes[n] = found
    if not sizes:
        return list(videos)
    counts = [len(videos[n].boxes) for n in sizes]
    boxes = np.concatenate([videos[n].boxes for n in sizes]).astype(np.float64)
    shown = np.repeat([size.shown_hw for size in sizes.values()], counts, axis=0)
    stored = np.repeat([size.stored_hw for size in sizes.values()], counts, axis=0)
    beyond = outside(boxes, shown.astype(np.float64))
    fits = not outside(boxes, stored.astype(np.float64)).any()
    if not fits or beyond.sum() < FEWEST or beyond.mean() <= SLIPS:
        return list(videos)
    return [
        replace(video, size_hw=sizes[n].stored_hw) if n in sizes else video
        for n, video in enumerate(videos)
    ]


def turn_found_images(labels: LabelSet, finder: MediaFinder) -> LabelSet:
    """Return the set with boxes turned as by `turn_with_exif`, for those images that are found.

    Args:
        labels: with paths of images as written.
        finder: of the images.
    """
    located = []
    for video in labels.videos:
        images = video.images if video.size_hw is not None else ()
        located.append(replace(video, images=tuple(_path_of(finder, path) for path in images)))
    turned = turn_with_exif(replace(labels, videos=tuple(located)))
    return replace(
        turned,
        videos=tuple(
            replace(new, images=old.images)
            for new, old in zip(turned.videos, labels.videos, strict=True)
        ),
    )


def _path_of(finder: MediaFinder, written: str) -> str:
    """Return the path of an image, "" where it is missing or ambiguous."""
    try:
        found = finder.find(written, video=False) if written else None
    except MediaError:
        found = None
    return "" if found is None else str(found)


def _turned(video: VideoLabels) -> VideoLabels | None:
    """Return the labels turned, None where they are of the shown images."""
    from lstmcli.video import image_size, to_shown_boxes

    paths = {index: Path(path) for index, path in enumerate(video.images) if path}
    if not paths or video.size_hw is None or video.size_hw[0] == video.size_hw[1]:
        return None
    try:
        sizes = {index: image_size(path) for index, path in paths.items()}
    except MediaError:  # reported when it is decoded
        return None
    label_hw = tuple(video.size_hw)
    if any(size.stored_hw != label_hw or size.shown_hw == label_hw for size in sizes.values()):
        return None
    boxes = np.array(video.boxes, copy=True)
    for index, size in sizes.items():
        rows = video.box_frames == index
        boxes[rows] = to_shown_boxes(boxes[rows], size)
    shown_hw = next(iter(sizes.values())).shown_hw
    return replace(video, boxes=boxes, size_hw=shown_hw)
