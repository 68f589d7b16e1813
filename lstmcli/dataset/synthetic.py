"""A small annotated video set that draws itself: shapes over a panning background.

The shapes move, turn, occlude one another and go out of focus, so that memory can help;
colours change and say nothing of the class. Nothing is downloaded and every pixel is our own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lstmcli.core.files import write_text
from lstmcli.core.progress import Progress
from lstmcli.core.types import Annotations, FloatArray, Picture
from lstmcli.video import VideoWriter

CLASSES = ("circle", "square", "triangle")
RATE = 25
VISIBLE_SHARE = 0.35
"""A shape of which less is seen, because it is hidden or outside, has no box."""

Plane = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Shape:
    """A shape that moves through a clip.

    Args:
        label: index into `CLASSES`.
        radius: in pixels, of the circle; squares and triangles are about as large.
        hues: float32 [3], phases in radians of the changes of red, green and blue.
        start: where its centre begins on its path, float32 (x, y) in pixels.
        speed: pixels a frame, float32 (x, y).
        spin: radians a frame.
        phase: radians by which it has turned at first, and of its going out of focus.
    """

    label: int
    radius: float
    hues: FloatArray
    start: FloatArray
    speed: FloatArray
    spin: float
    phase: float

    def centre(self, frame: int, size_hw: tuple[int, int]) -> tuple[float, float]:
        """Return (x, y) in pixels; at the edge of the picture it turns back, half outside."""
        path = self.start + self.speed * frame
        return _bounce(float(path[0]), size_hw[1]), _bounce(float(path[1]), size_hw[0])

    def colours(self, frame: int) -> FloatArray:
        """Return the colours of its stripes, float32 [2, 3] in 0..255; they change with time."""
        bright = 135 + 105 * np.sin(self.hues + frame * 0.12)
        return np.stack((bright, 0.9 * bright)).astype(np.float32)

    def softness(self, frame: int) -> float:
        """Return over how many pixels its edge fades."""
        wave = max(0.0, float(np.sin(self.phase + frame * 0.2)))
        return 1.0 + 0.3 * self.radius * wave**4


def _bounce(value: float, side: int) -> float:
    return side - abs((value % (2 * side)) - side)


def distance(shape: Shape, x: Plane, y: Plane, angle: float) -> Plane:
    """Return how far pixels lie outside a shape's edge, negative inside.

    Args:
        shape: what to measure.
        x: [H, W], pixels to the right of its centre.
        y: [H, W], pixels below its centre.
        angle: radians by which it has turned.
    """
    if shape.label == 0:
        return np.asarray(np.hypot(x, y) - shape.radius, np.float32)
    turned_x = x * np.cos(angle) + y * np.sin(angle)
    turned_y = y * np.cos(angle) - x * np.sin(angle)
    if shape.label == 1:
        reach = np.maximum(np.abs(turned_x), np.abs(turned_y)) - 0.9 * shape.radius
        return np.asarray(reach, np.float32)
    slanted = np.abs(turned_x) * np.cos(np.pi / 6) - turned_y * np.sin(np.pi / 6)
    return np.asarray(np.maximum(slanted, turned_y) - 0.65 * shape.radius, np.float32)


def random_shape(generator: np.random.Generator, size_hw: tuple[int, int]) -> Shape:
    """Return a shape of any class, size, colour and motion."""
    height, width = size_hw
    side = min(size_hw)
    direction = generator.uniform(0, 2 * np.pi)
    speed = generator.uniform(0.3, 3.0)
    return Shape(
        label=int(generator.integers(len(CLASSES))),
        radius=float(generator.uniform(0.11, 0.22) * side),
        hues=generator.uniform(0, 2 * np.pi, 3).astype(np.float32),
        start=np.array((generator.uniform(0, width), generator.uniform(0, height)), np.float32),
        speed=np.array((np.cos(direction) * speed, np.sin(direction) * speed), np.float32),
        spin=float(generator.uniform(-0.15, 0.15)),
        phase=float(generator.uniform(0, 2 * np.pi)),
    )


def background(generator: np.random.Generator, size_hw: tuple[int, int]) -> Plane:
    """Return clouds of muted colour, float32 [H, W, 3] in 0..255, alike at opposite edges."""
    height, width = size_hw
    picture = np.full((height, width, 3), generator.uniform(70, 160, 3), np.float32)
    y, x = (np.arange(n, dtype=np.float32) * (2 * np.pi / n) for n in size_hw)
    for octave in (1, 2, 4, 8, 16, 24):
        for _ in range(3):
            down, right = generator.integers(-octave, octave + 1, 2)
            wave = np.sin(y[:, None] * down + x[None, :] * right + generator.uniform(0, 6.3))
            picture += wave[..., None] * generator.uniform(-30, 30, 3) / octave**0.5
    grain = generator.normal(0, 6, (height, width, 1))
    return np.clip(picture + grain, 0, 255).astype(np.float32)


def draw_clip(
    generator: np.random.Generator, *, frames: int, size_hw: tuple[int, int]
) -> Iterator[tuple[Picture, Annotations]]:
    """Yield the pictures of one clip with ground truth; tracks are the numbers of the shapes."""
    height, width = size_hw
    scene = background(generator, (2 * height, 2 * width))
    pan = generator.uniform(-1.5, 1.5, 2)
    shapes = [random_shape(generator, size_hw) for _ in range(generator.integers(1, 5))]
    for frame in range(frames):
        offset = np.round(pan * frame).astype(int)
        picture = np.roll(scene, (offset[0], offset[1]), axis=(0, 1))[:height, :width].copy()
        owner = np.full(size_hw, -1, np.int64)
        boxes, areas = [], []
        for number, shape in enumerate(shapes):
            box, area = _paint(picture, owner, shape, number, frame)
            boxes.append(box)
            areas.append(area)
        seen = np.bincount(owner[owner >= 0], minlength=len(shapes))
        kept = np.flatnonzero(seen >= VISIBLE_SHARE * np.array(areas))
        yield (
            np.clip(picture, 0, 255).astype(np.uint8),
            Annotations(
                boxes=np.array(boxes, np.float32)[kept],
                labels=np.array([shapes[number].label for number in kept], np.int64),
                tracks=kept.astype(np.int64),
                ignore=np.zeros(len(kept), np.bool_),
            ),
        )


def _paint(
    picture: Plane, owner: npt.NDArray[np.int64], shape: Shape, number: int, frame: int
) -> tuple[tuple[float, float, float, float], int]:
    """Lay a shape on the picture; return its box inside the picture, and its whole area."""
    height, width = owner.shape
    centre_x, centre_y = shape.centre(frame, (height, width))
    angle, softness = shape.phase + shape.spin * frame, shape.softness(frame)
    reach = int(1.5 * shape.radius + softness) + 1
    left, top = int(centre_x) - reach, int(centre_y) - reach
    y, x = np.mgrid[top : top + 2 * reach, left : left + 2 * reach].astype(np.float32) + 0.5
    outside = distance(shape, x - centre_x, y - centre_y, angle)
    rows, columns = np.nonzero(outside < 0)
    box = (
        max(0.0, float(columns.min() + left)),
        max(0.0, float(rows.min() + top)),
        min(float(width), float(columns.max() + left + 1)),
        min(float(height), float(rows.max() + top + 1)),
    )
    inside = (
        slice(max(0, -top), max(0, min(2 * reach, height - top))),
        slice(max(0, -left), max(0, min(2 * reach, width - left))),
    )
    region = (
        slice(top + inside[0].start, top + inside[0].stop),
        slice(left + inside[1].start, left + inside[1].stop),
    )
    outside, x, y = outside[inside], x[inside] - centre_x, y[inside] - centre_y
    cover = np.clip(0.5 - outside / softness, 0, 1)[..., None]
    stripes = (np.sin(x * np.cos(angle) * 0.8 + y * np.sin(angle) * 0.8) > 0).astype(int)
    picture[region] = picture[region] * (1 - cover) + shape.colours(frame)[stripes] * cover
    owner[region][outside < 0] = number
    return box, len(rows)


def write_video_set(
    folder: Path,
    *,
    videos: int,
    seed: int,
    frames: int = 48,
    size_hw: tuple[int, int] = (144, 192),
    progress: Progress,
) -> Path:
    """Draw clips as H.264 videos below `folder/videos` and their ground truth as CocoVID JSON.

    Returns:
        The path of the annotations.
    """
    (folder / "videos").mkdir(parents=True, exist_ok=True)
    gt: dict[str, list[dict[str, Any]]] = {
        "categories": [{"id": n + 1, "name": name} for n, name in enumerate(CLASSES)],
        "videos": [],
        "images": [],
        "annotations": [],
    }
    for number in progress.track(range(1, videos + 1), total=videos, label="draw"):
        name = f"shapes_{seed}_{number:02}"
        generator = np.random.default_rng((seed, number))
        with VideoWriter(folder / "videos" / f"{name}.mp4", rate=RATE) as writer:
            for frame, (picture, drawn) in enumerate(
                draw_clip(generator, frames=frames, size_hw=size_hw)
            ):
                writer.write(picture, frame / RATE)
                _note_frame(gt, name, number, frame, size_hw, drawn)
        gt["videos"].append(
            {
                "id": number,
                "name": name,
                "file_name": f"videos/{name}.mp4",
                "width": size_hw[1],
                "height": size_hw[0],
                "fps": RATE,
                "length": frames,
            }
        )
    path = folder / "annotations.json"
    write_text(path, json.dumps(gt))
    return path


def _note_frame(
    gt: dict[str, list[dict[str, Any]]],
    name: str,
    number: int,
    frame: int,
    size_hw: tuple[int, int],
    drawn: Annotations,
) -> None:
    image = len(gt["images"]) + 1
    gt["images"].append(
        {
            "id": image,
            "video_id": number,
            "frame_id": frame,
            "width": size_hw[1],
            "height": size_hw[0],
            "file_name": f"{name}/{frame:06}.jpg",
        }
    )
    for box, label, track in zip(
        drawn.boxes.tolist(), drawn.labels.tolist(), drawn.tracks.tolist(), strict=True
    ):
        width, height = box[2] - box[0], box[3] - box[1]
        gt["annotations"].append(
            {
                "id": len(gt["annotations"]) + 1,
                "image_id": image,
                "video_id": number,
                "category_id": label + 1,
                "instance_id": track + 1,
                "bbox": [box[0], box[1], width, height],
                "area": width * height,
                "iscrowd": 0,
            }
        )
