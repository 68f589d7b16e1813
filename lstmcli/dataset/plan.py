"""Plan of a preparation: classes, splits by video or time, frames, canvas, sanitized boxes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lstmcli.core.boxes import Letterbox, box_area, clip_boxes
from lstmcli.core.errors import DataError, near_name
from lstmcli.core.types import DataWarning, IntArray, LabelSet, VideoLabels
from lstmcli.labels.builder import EVERY_CLASS, renumbered

DEFAULT_AREA = 640 * 512
"""Default pixels of the canvas: small objects stay visible."""


SMALLEST_CROP = 192
CROP_STEP = 64
CROP_SIDES = 3.0
"""A training crop is this many sides of a large object wide, so that it shows the surroundings."""
FRAMES_A_SECOND = 10.0
ENOUGH_FRAMES = 4000


@dataclass(frozen=True, slots=True)
class TimeSplit:
    """Divides every video in time: its beginning trains, its end validates, a gap belongs to none.

    Args:
        share: of the frames that trains, 0..1.
        gap_s: seconds between the two parts, so that neighbouring frames do not leak.
    """

    share: float
    gap_s: float = 1.0


def merge_sets(sets: Sequence[LabelSet]) -> LabelSet:
    """Return one set of all videos, with the union of the classes in order of appearance."""
    classes = tuple(dict.fromkeys(name for labels in sets for name in labels.classes))
    videos = []
    taken: Counter[str] = Counter()
    for labels in sets:
        index = np.array([classes.index(name) for name in labels.classes] or [0], np.int64)
        for video in labels.videos:
            taken[video.name] += 1
            name = video.name if taken[video.name] == 1 else f"{video.name} ({taken[video.name]})"
            videos.append(replace(video, name=name, labels=renumbered(video.labels, index)))
    warnings = tuple(warning for labels in sets for warning in labels.warnings)
    return LabelSet(classes, tuple(videos), warnings)


def choose_classes(
    labels: LabelSet, keep: Sequence[str] | None, rename: Mapping[str, str]
) -> LabelSet:
    """Return the set with renamed classes, reduced to those that are kept, in their order.

    Classes that get the same name become one. Boxes of classes that are not kept are left
    out; their frames stay annotated.

    Raises:
        DataError: a class that the set does not have.
    """
    for name in rename:
        if name not in labels.classes:
            raise DataError(
                f"--rename {name}=...: the labels have no class {name!r}",
                hint=near_name(name, labels.classes),
            )
    names = [rename.get(name, name) for name in labels.classes]
    wanted = list(dict.fromkeys(keep or names))
    for name in wanted:
        if name not in names:
            raise DataError(
                f"--classes {name}: the labels have no class {name!r}", hint=near_name(name, names)
            )
    index = np.array([wanted.index(n) if n in wanted else -1 for n in names] or [-1], np.int64)
    videos = []
    for video in labels.videos:
        new = renumbered(video.labels, index)
        rows = (new >= 0) | ((video.labels < 0) & video.ignore)
        videos.append(replace(video, labels=new).select(rows))
    return LabelSet(tuple(wanted), tuple(videos), labels.warnings)


def _without(
    video: VideoLabels, lost: np.ndarray[tuple[int], np.dtype[np.bool_]], size_hw: tuple[int, int]
) -> VideoLabels:
    """Return the video without rows; frames that lose all theirs become ignored regions.

    An object was drawn there, so nothing of the frame is taught as background.
    """
    seen = video.box_frames[~lost & ~video.ignore]
    rows = np.flatnonzero(lost & ~video.ignore & ~np.isin(video.box_frames, seen))
    _, first = np.unique(video.box_frames[rows], return_index=True)
    regions, keep = rows[first], ~lost
    keep[regions] = True
    boxes, labels = video.boxes.copy(), video.labels.copy()
    tracks, ignore = video.tracks.copy(), video.ignore.copy()
    boxes[regions] = (0, 0, size_hw[1], size_hw[0])
    labels[regions], tracks[regions], ignore[regions] = EVERY_CLASS, -1, True
    changed = replace(video, boxes=boxes, labels=labels, tracks=tracks, ignore=ignore)
    return changed.select(keep)


def sanitize_boxes(
    video: VideoLabels, size_hw: tuple[int, int], frame_count: int
) -> tuple[VideoLabels, list[DataWarning]]:
    """Return the ground truth cut to the picture, and what was changed or left out.

    Raises:
        DataError: ground truth for a frame beyond the video, or a coordinate that is no number.
    """
    last = int(video.box_frames[-1]) if len(video.box_frames) else -1
    if last >= frame_count:
        count = int((video.box_frames >= frame_count).sum())
        raise DataError(
            f"{video.name}: {count} boxes lie after the video's end, up to frame {last}; "
            f"it has frames 0 to {frame_count - 1}",
            hint=_hint_beyond(video, frame_count),
        )
    if not np.isfinite(video.boxes).all():
        frame = int(video.box_frames[~np.isfinite(video.boxes).all(axis=1)][0])
        raise DataError(
            f"{video.name}, frame {frame}: a box coordinate is not a number",
            hint="mend the annotation file",
        )
    warnings = []
    beyond = int((video.annotated_frames >= frame_count).sum())
    if beyond:
        text = "annotated frames after the video's end were left out"
        warnings.append(DataWarning(text, f"{video.name}, {frame_count} frames", beyond))
    cut = clip_boxes(np.asarray(video.boxes, np.float32), size_hw)
    whole, left = box_area(video.boxes), box_area(cut)
    empty, outside = whole <= 0, (whole > 0) & (left <= 0)
    over = (whole > 0) & (left > 0) & (left < 0.99 * whole) & ~video.ignore
    for rows, text in (
        (empty, "boxes without width or height were left out"),
        (outside, "boxes wholly outside the picture were left out; a frame of them is ignored"),
        (over, "boxes that reach beyond the picture were cut to it"),
    ):
        if rows.any():
            where = f"{video.name}, frame {int(video.box_frames[rows][0])}"
            warnings.append(DataWarning(text, where, int(rows.sum())))
    annotated_frames = video.annotated_frames[video.annotated_frames < frame_count]
    whole_video = replace(video, boxes=cut, annotated_frames=annotated_frames)
    return _without(whole_video, left <= 0, size_hw), warnings


def _hint_beyond(video: VideoLabels, frame_count: int) -> str:
    first, last = int(video.box_frames[0]), int(video.box_frames[-1])
    if first >= 1 and last == frame_count:
        return "the labels count frames from 1; export them from 0, or name the format that does"
    return (
        "the labels belong to another video, count frames from 1 or by another clock "
        "(--label-rate FPS places them by time)"
    )


def choose_crop(videos: Sequence[VideoLabels], canvas_hw: tuple[int, int]) -> int:
    """Return the side of the training crops in pixels of the canvas: small objects need small ones.

    Args:
        videos: with sizes.
        canvas_hw: (height, width) of the canvas.
    """
    sides = [
        np.sqrt(box_area(Letterbox(video.size_hw, canvas_hw).to_canvas(video.boxes[~video.ignore])))
        for video in videos
        if video.size_hw is not None
    ]
    known = np.concatenate(sides) if sides else np.zeros(0)
    wanted = CROP_SIDES * float(np.percentile(known, 90)) if len(known) else 0.0
    rounded = CROP_STEP * math.ceil(wanted / CROP_STEP)
    return min(max(SMALLEST_CROP, rounded), *canvas_hw)


def choose_frame_stride(videos: Sequence[VideoLabels]) -> int:
    """Return the default frame stride of preparation.

    Neighbouring frames of fast footage are nearly equal: about ten frames a second are taken, but
    more where that would leave fewer than `ENOUGH_FRAMES` with ground truth.
    """
    labelled = sum(len(video.annotated_frames) for video in videos)
    rates = [video.rate or 25.0 for video in videos if len(video.annotated_frames) > 1]
    if not rates:
        return 1
    by_rate = round(float(np.median(rates)) / FRAMES_A_SECOND)
    return max(1, min(by_rate, labelled // ENOUGH_FRAMES))


def frames_to_prepare(video: VideoLabels, frame_count: int, frame_stride: int) -> IntArray:
    """Return which frames are prepared, int64 [F], sorted.

    Every `frame_stride`-th frame from the first to the last annotated one. Where ground truth is
    rarer than that, or off that beat, the annotated frames are added.
    """
    annotated_frames = video.annotated_frames[video.annotated_frames < frame_count]
    if len(annotated_frames) == 0:
        return np.zeros(0, np.int64)
    beat = np.arange(int(annotated_frames[0]), int(annotated_frames[-1]) + 1, frame_stride)
    hits = np.isin(beat, annotated_frames).sum()
    if len(annotated_frames) > hits and len(annotated_frames) < 0.9 * (
        annotated_frames[-1] - annotated_frames[0] + 1
    ):
        kept, last = [], -frame_stride
        for frame in annotated_frames.tolist():
            if frame - last >= frame_stride:
                kept.append(frame)
                last = frame
        return np.union1d(beat, np.array(kept, np.int64)).astype(np.int64)
    return beat.astype(np.int64)


def only_ones(classes: Sequence[Collection[int]]) -> list[bool]:
    """Return which videos are the only one of some class; such a video should train.

    Args:
        classes: the classes whose boxes each video holds.
    """
    counts = Counter(label for held in classes for label in set(held))
    return [any(counts[label] == 1 for label in held) for held in classes]


def split_by_video(
    names: Sequence[str],
    groups: Sequence[int],
    share: float,
    seed: int,
    *,
    needed: Sequence[bool] = (),
) -> dict[str, str]:
    """Return `train` or `val` for every video, never dividing one.

    Args:
        names: of the videos.
        groups: the commonest class of each, so that every class is in both splits where it can be.
        share: of the videos that trains.
        seed: of the draw.
        needed: whether each must train, as the only one of a class; not where all must.

    Raises:
        DataError: there is only one video.
    """
    if len(names) < 2:
        raise DataError(
            "there is only one video, it cannot be split into train and val",
            hint="give --val another source, or divide it in time with --split-time 0.7",
        )
    if any(needed) and not all(needed):
        free = [n for n, must in enumerate(needed) if not must]
        wanted = min(len(free), max(1, round(len(names) * (1 - share))))
        if len(free) == 1:
            drawn = {names[free[0]]: "val"}
        else:
            of_free = [groups[n] for n in free]
            left = 1 - wanted / len(free)
            drawn = split_by_video([names[n] for n in free], of_free, left, seed)
        return {name: drawn.get(name, "train") for name in names}
    rng = np.random.default_rng(seed)
    result: dict[str, str] = {}
    spare = 0.0
    for group in sorted(set(groups)):
        members = [name for name, own in zip(names, groups, strict=True) if own == group]
        rng.shuffle(members)
        exact = len(members) * (1 - share) + spare
        count = min(len(members) - 1, round(exact)) if len(members) > 1 else round(exact)
        spare = exact - count
        result |= {name: "val" if i < count else "train" for i, name in enumerate(members)}
    if "val" not in result.values():
        result[names[-1]] = "val"
    if "train" not in result.values():
        result[names[0]] = "train"
    return result


def choose_canvas(
    sizes: Sequence[tuple[int, int]], wanted_wh: tuple[int, int] | None, grid: int
) -> tuple[int, int]:
    """Return the canvas's (height, width), multiples of 32 and of the grid.

    Args:
        sizes: (height, width) of the videos; the commonest decides without a choice.
        wanted_wh: what `--size` said, (width, height).
        grid: pixels a cell is wide and high.
    """
    step = math.lcm(32, grid)
    if wanted_wh is not None:
        width, height = wanted_wh
    else:
        height, width = Counter(sizes).most_common(1)[0][0]
        scale = min(1.0, math.sqrt(DEFAULT_AREA / (height * width)))
        height, width = round(height * scale), round(width * scale)
    rounded = (max(step, round(height / step) * step), max(step, round(width / step) * step))
    if wanted_wh is not None and rounded != (height, width):
        raise DataError(
            f"--size {width},{height}: sides must be multiples of {step}",
            hint=f"use --size {rounded[1]},{rounded[0]}",
        )
    return rounded
