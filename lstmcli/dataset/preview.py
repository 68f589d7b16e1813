"""Previews of the prepared input: canvas, grid, positive cells, crops, boxes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lstmcli.core.config import AugmentConfig
from lstmcli.core.types import IntArray
from lstmcli.dataset.augment import draw_transform
from lstmcli.dataset.manifest import Dataset, PreparedVideo

PositiveCells = Callable[[Dataset, PreparedVideo, int], IntArray]

BOX, IGNORED, CELL, CROP, GRID = (
    "#ffb000",
    "#9e9e9e",
    (0, 158, 115, 110),
    "#56b4e9",
    (255, 255, 255, 40),
)


def write_previews(
    dataset: Dataset, folder: Path, *, count: int, positive_cells: PositiveCells
) -> list[Path]:
    """Write up to `count` pictures a split, spread over its videos, and return their paths.

    Args:
        dataset: with its frames in position.
        folder: is made.
        count: pictures a split.
        positive_cells: returns the (row, column) of cells that must find something in a frame.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for split in sorted({video.split for video in dataset.videos}):
        videos = dataset.split(split)
        chosen = np.unique(np.linspace(0, len(videos) - 1, min(count, len(videos))).round())
        per_video = -(-count // len(chosen)) if len(chosen) else 0
        for number in chosen.astype(int).tolist():
            video = videos[number]
            shown = np.nonzero(np.isin(video.frames, video.labels.box_frames))[0]
            positions = shown if len(shown) else np.arange(len(video.frames))
            if len(positions) == 0:
                continue
            picks = positions[
                np.linspace(0, len(positions) - 1, per_video + 2).round().astype(int)[1:-1]
            ]
            for position in np.unique(picks).tolist():
                if sum(path.name.startswith(split) for path in written) >= count:
                    break
                frame = int(video.frames[position])
                path = folder / f"{split}-{number:03d}-{frame:06d}.png"
                _picture(dataset, video, int(position), positive_cells(dataset, video, frame)).save(
                    path
                )
                written.append(path)
    return written


def _picture(dataset: Dataset, video: PreparedVideo, position: int, cells: IntArray) -> Image.Image:
    frame = int(video.frames[position])
    picture = Image.fromarray(dataset.open(video).picture(position)).convert("RGB")
    draw = ImageDraw.Draw(picture, "RGBA")
    height, width = dataset.canvas_hw
    for x in range(0, width, dataset.grid):
        draw.line((x, 0, x, height), fill=GRID)
    for y in range(0, height, dataset.grid):
        draw.line((0, y, width, y), fill=GRID)
    for row, column in cells.tolist():
        left, top = column * dataset.grid, row * dataset.grid
        draw.rectangle((left, top, left + dataset.grid - 1, top + dataset.grid - 1), fill=CELL)
    font = ImageFont.load_default(size=12)
    gt = video.labels.at(frame)
    if gt is not None:
        boxes = dataset.canvas_boxes(video, gt.boxes)
        rng = np.random.default_rng(frame)
        for index, (box, label, ignored) in enumerate(
            zip(boxes, gt.labels, gt.ignore, strict=True)
        ):
            if index < 2 and not ignored:
                view = draw_transform(
                    rng,
                    AugmentConfig(scale=(1.0, 1.0)),
                    canvas_hw=dataset.canvas_hw,
                    size_hw=(min(dataset.crop, height), min(dataset.crop, width)),
                    focus=box,
                )
                corner = (view.left + view.width - 1, view.top + view.height - 1)
                draw.rectangle((view.left, view.top, *corner), outline=CROP)
            draw.rectangle(tuple(box.tolist()), outline=IGNORED if ignored else BOX)
            name = "ignored" if ignored else dataset.classes[int(label)]
            draw.text((float(box[0]), max(0.0, float(box[1]) - 14)), name, fill=BOX, font=font)
    text = f"{video.name}  frame {frame}" + ("" if gt is not None else "  unannotated")
    draw.text((4, 2), text, fill="white", font=font, stroke_width=1, stroke_fill="black")
    return picture
