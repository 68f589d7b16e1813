"""A prepared dataset: `dataset.json` and the frames that it names."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from lstmcli.core.boxes import Letterbox
from lstmcli.core.errors import DataError, near_name
from lstmcli.core.files import write_text
from lstmcli.core.limits import check_canvas, limit
from lstmcli.core.types import FloatArray, IntArray, Picture, VideoLabels
from lstmcli.dataset.frame_store import FrameStore

FORMAT = 1
FILE_NAME = "dataset.json"


@dataclass(frozen=True, slots=True)
class PreparedVideo:
    """One video of a prepared dataset.

    Args:
        name: unique in the dataset.
        split: `train`, `val` or `test`.
        path: the source video, or the folder of its images.
        size_hw: (height, width) of the source as shown.
        rate: frames per second of the source.
        frames: int64 [F], the source's frame indices that were prepared, in order.
        times: float64 [F], their own timestamps in seconds.
        store: the frame store's file, relative to the dataset.
        labels: the ground truth, in pixels of the source, by source frame index.
    """

    name: str
    split: str
    path: str
    size_hw: tuple[int, int]
    rate: float
    frames: IntArray
    times: np.ndarray[Any, np.dtype[np.float64]]
    store: str
    labels: VideoLabels


@dataclass(frozen=True, slots=True)
class Dataset:
    """Classes, splits, videos and ground truth.

    Args:
        folder: where `dataset.json` lies.
        classes: class names, in the order of their indices.
        canvas_hw: (height, width) of the model canvas in pixels.
        grid: pixels of the canvas a grid cell is wide and high.
        crop: side of the square training crops in pixels of the canvas.
        frame_stride: every how manieth source frame was prepared.
        videos: of all splits.
    """

    folder: Path
    classes: tuple[str, ...]
    canvas_hw: tuple[int, int]
    grid: int
    crop: int
    frame_stride: int
    videos: tuple[PreparedVideo, ...] = field(repr=False)

    def __post_init__(self) -> None:
        assert self.grid > 0, f"a grid of {self.grid}"
        assert self.crop > 0, f"crops of {self.crop}"
        assert min(self.canvas_hw) > 0, f"a canvas of {self.canvas_hw}"

    def split(self, name: str) -> tuple[PreparedVideo, ...]:
        """Return the videos of one split.

        Raises:
            DataError: there are none.
        """
        found = tuple(video for video in self.videos if video.split == name)
        if not found:
            splits = {video.split for video in self.videos}
            raise DataError(
                f"{self.folder / FILE_NAME}: no video in split {name!r}",
                hint=near_name(name, splits),
            )
        return found

    def open(self, video: PreparedVideo) -> FrameStore:
        """Return the prepared frames of a video.

        Raises:
            DataError: they are missing, damaged, or not those of this dataset.
        """
        store = FrameStore(self.folder / video.store)
        if len(store) != len(video.frames) or store.canvas_hw != self.canvas_hw:
            raise DataError(
                f"{self.folder / video.store}: {len(store)} frames of {store.canvas_hw} pixels; "
                f"{FILE_NAME} lists {len(video.frames)} of {self.canvas_hw}",
                hint="run prepare again",
            )
        return store

    def frames(self, video: PreparedVideo) -> Iterator[tuple[int, float, Picture]]:
        """Yield (source frame index, time in seconds, canvas uint8 [H, W, 3]) in order."""
        store = self.open(video)
        for position, (frame, time) in enumerate(zip(video.frames, video.times, strict=True)):
            yield int(frame), float(time), store.picture(position)

    def canvas_boxes(self, video: PreparedVideo, boxes: FloatArray) -> FloatArray:
        """Return boxes of the source in pixels of the canvas."""
        return Letterbox(video.size_hw, self.canvas_hw).to_canvas(boxes)

    @classmethod
    def load(cls, folder: Path | str) -> Dataset:
        """Read a prepared dataset.

        Args:
            folder: the folder that `prepare` wrote, or its `dataset.json`.

        Raises:
            DataError: there is none, it is cut short, or another version wrote it.
        """
        folder = Path(folder).resolve()
        if folder.name == FILE_NAME:
            folder = folder.parent
        path = folder / FILE_NAME
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise DataError(
                f"{path}: there is no prepared dataset", hint="run `lstmcli prepare` first"
            ) from None
        except OSError as error:
            raise DataError(f"{path}: {error.strerror}", hint="check the path") from None
        except UnicodeDecodeError:
            raise DataError(f"{path}: not UTF-8 text", hint="run prepare again") from None
        try:
            values = json.loads(text)
            if values.get("format") != FORMAT:
                raise DataError(
                    f"{path}: format {values.get('format')!r}, this version reads {FORMAT}",
                    hint="run prepare again",
                )
            classes, canvas_hw = _names(values["classes"]), _pair(values["canvas_hw"])
            check_canvas(canvas_hw, str(path), error=DataError)
            return cls(
                folder=folder,
                classes=classes,
                canvas_hw=canvas_hw,
                grid=_count(values["grid"], 1, 4096),
                crop=_count(values["crop"], 1, 1 << 14),
                frame_stride=_count(_either(values, "frame_stride", "every"), 1, 1 << 31),
                videos=tuple(_video_from(item, len(classes)) for item in values["videos"]),
            )
        except _WRONG as error:
            raise DataError(
                f"{path}: not a prepared dataset ({type(error).__name__}: {error})",
                hint="run prepare again",
            ) from None

    def save(self) -> None:
        """Write `dataset.json`, under its name only when it is complete."""
        values = {
            "format": FORMAT,
            "classes": list(self.classes),
            "canvas_hw": list(self.canvas_hw),
            "grid": self.grid,
            "crop": self.crop,
            "frame_stride": self.frame_stride,
            "splits": {
                name: [video.name for video in self.videos if video.split == name]
                for name in sorted({video.split for video in self.videos})
            },
            "videos": [_video_as_json(video) for video in self.videos],
        }
        write_text(self.folder / FILE_NAME, json.dumps(values, ensure_ascii=False))


_WRONG = (
    KeyError,
    TypeError,
    ValueError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    RecursionError,
)
"""What comes of values that are not what they should be."""


def _pair(values: Any) -> tuple[int, int]:
    first, second = values
    return _count(first, 1, 1_000_000), _count(second, 1, 1_000_000)


def _count(value: Any, least: int, most: int) -> int:
    if not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{value!r:.40} where a number from {least} to {most} belongs")
    return value


def _names(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list) or not values or not all(isinstance(v, str) for v in values):
        raise ValueError("the classes are no list of names")
    if len(set(values)) < len(values):
        raise ValueError("a class is named twice")
    return tuple(values)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.40} where a text belongs")
    return value


def _frame_numbers(values: Any, *, unique: bool) -> IntArray:
    frames = np.array(values, np.int64)
    if frames.ndim != 1 or not np.array_equal(frames, np.array(values, np.float64)):
        raise ValueError("frame numbers that are no whole numbers")
    if len(frames) and (frames[0] < 0 or (np.diff(frames) < int(unique)).any()):
        raise ValueError("frame numbers that do not rise")
    if len(frames) and frames[-1] >= limit("frames"):
        raise ValueError(f"frame {frames[-1]}")
    return frames


def _check_boxes(labels: VideoLabels, classes: int) -> None:
    """Refuse boxes that are not made of numbers, and classes that are not there.

    Raises:
        ValueError: there are some.
    """
    if not (np.abs(labels.boxes) < 1e7).all():  # NaN is not
        raise ValueError(f"a box of {labels.name!r} that is not made of numbers")
    if labels.scores is not None and not ((labels.scores >= 0) & (labels.scores <= 1)).all():
        raise ValueError(f"a score of {labels.name!r} that is not in 0..1")
    if len(labels.labels) and not (labels.labels.min() >= -1 and labels.labels.max() < classes):
        raise ValueError(f"a box of {labels.name!r} is of a class that is not there")
    if (labels.labels < 0)[~labels.ignore].any():
        raise ValueError(f"a box of {labels.name!r} is of no class")
    if not np.isin(labels.box_frames, labels.annotated_frames).all():
        raise ValueError(f"{labels.name!r} has boxes in frames that are not annotated")


def _video_as_json(video: PreparedVideo) -> dict[str, Any]:
    labels = video.labels
    return {
        "name": video.name,
        "split": video.split,
        "path": video.path,
        "size_hw": list(video.size_hw),
        "rate": video.rate,
        "frame_count": labels.frame_count,
        "store": video.store,
        "frames": video.frames.tolist(),
        "times": [round(time, 6) for time in video.times.tolist()],
        "annotations": {
            "annotated_frames": labels.annotated_frames.tolist(),
            "frames": labels.box_frames.tolist(),
            "boxes": [[round(value, 3) for value in box] for box in labels.boxes.tolist()],
            "labels": labels.labels.tolist(),
            "tracks": labels.tracks.tolist(),
            "ignore": labels.ignore.astype(int).tolist(),
            **_scores_as_json(labels),
        },
    }


def _scores_as_json(labels: VideoLabels) -> dict[str, Any]:
    if labels.scores is None:
        return {}
    return {"scores": [round(score, 4) for score in labels.scores.tolist()]}


def _either(values: dict[str, Any], key: str, old: str) -> Any:
    """Return a value by its key, or by the key of releases before 2026-12."""
    return values[key] if key in values else values[old]


def _video_from(item: dict[str, Any], classes: int) -> PreparedVideo:
    gt = item["annotations"]
    count, rate, store = item["frame_count"], float(item["rate"]), _text(item["store"])
    if not math.isfinite(rate) or not 0 < rate < 1e6:
        raise ValueError(f"a rate of {rate}")
    if PurePath(store).is_absolute() or ".." in PurePath(store).parts:
        raise ValueError(f"frames outside of the dataset ({store:.80})")
    annotated = _either(gt, "annotated_frames", "looked_at")
    labels = VideoLabels(
        name=_text(item["name"]),
        media=_text(item["path"]),
        annotated_frames=_frame_numbers(annotated, unique=True),
        box_frames=_frame_numbers(gt["frames"], unique=False),
        boxes=np.array(gt["boxes"], np.float32).reshape(-1, 4),
        labels=np.array(gt["labels"], np.int64),
        tracks=np.array(gt["tracks"], np.int64),
        ignore=np.array(gt["ignore"], np.bool_),
        scores=np.array(gt["scores"], np.float32) if "scores" in gt else None,
        size_hw=_pair(item["size_hw"]),
        rate=rate,
        frame_count=None if count is None else _count(count, 0, 1 << 53),
    )
    _check_boxes(labels, classes)
    frames, times = _frame_numbers(item["frames"], unique=True), np.array(item["times"], np.float64)
    if times.shape != frames.shape or not np.isfinite(times).all() or (np.diff(times) < 0).any():
        raise ValueError(f"the times of {labels.name!r} are not those of its frames")
    return PreparedVideo(
        name=labels.name,
        split=_text(item["split"]),
        path=_text(item["path"]),
        size_hw=_pair(item["size_hw"]),
        rate=rate,
        frames=frames,
        times=times,
        store=store,
        labels=labels,
    )
