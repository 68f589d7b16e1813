"""A prepared dataset: `dataset.json` and the frames that it names."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lstmcli.core.boxes import Letterbox
from lstmcli.core.errors import DataError, near_name
from lstmcli.core.files import write_text
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
        try:
            values = json.loads(text)
            if values.get("format") != FORMAT:
                raise DataError(
                    f"{path}: format {values.get('format')!r}, this version reads {FORMAT}",
                    hint="run prepare again",
                )
            return cls(
                folder=folder,
                classes=tuple(values["classes"]),
                canvas_hw=_pair(values["canvas_hw"]),
                grid=int(values["grid"]),
                crop=int(values["crop"]),
                frame_stride=int(_either(values, "frame_stride", "every")),
                videos=tuple(_video_from(item) for item in values["videos"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError, AssertionError) as error:
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


def _pair(values: Any) -> tuple[int, int]:
    first, second = values
    return int(first), int(second)


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
        },
    }


def _either(values: dict[str, Any], key: str, old: str) -> Any:
    """Return a value by its key, or by the key of releases before 2026-12."""
    return values[key] if key in values else values[old]


def _video_from(item: dict[str, Any]) -> PreparedVideo:
    gt = item["annotations"]
    annotated = _either(gt, "annotated_frames", "looked_at")
    labels = VideoLabels(
        name=item["name"],
        media=item["path"],
        annotated_frames=np.array(annotated, np.int64),
        box_frames=np.array(gt["frames"], np.int64),
        boxes=np.array(gt["boxes"], np.float32).reshape(-1, 4),
        labels=np.array(gt["labels"], np.int64),
        tracks=np.array(gt["tracks"], np.int64),
        ignore=np.array(gt["ignore"], np.bool_),
        size_hw=_pair(item["size_hw"]),
        rate=float(item["rate"]),
        frame_count=item["frame_count"],
    )
    return PreparedVideo(
        name=item["name"],
        split=item["split"],
        path=item["path"],
        size_hw=_pair(item["size_hw"]),
        rate=float(item["rate"]),
        frames=np.array(item["frames"], np.int64),
        times=np.array(item["times"], np.float64),
        store=item["store"],
        labels=labels,
    )
