"""Small pictures of one object and its surroundings."""

from __future__ import annotations

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw

from lstmcli.core.types import FloatArray, Picture
from lstmcli.report.gallery import COLOURS, Mark

CROP_PX = 240
"""Longer side of the picture."""
SURROUNDINGS = 3.0
"""Sides of the object that the crop is wide and high: what is around it explains a miss."""
LEAST_PX = 64
"""Least side of a crop in pixels of the frame: a smaller one would be blocks."""


def draw_crop(picture: Picture, box: FloatArray, marks: Sequence[Mark]) -> bytes:
    """Return the surroundings of a box with boxes drawn on them, as JPEG.

    Args:
        picture: the whole frame, uint8 [H, W, 3] RGB.
        box: float [4], x1, y1, x2, y2 in pixels of the frame.
        marks: boxes in pixels of the frame; later ones are drawn over earlier ones.
    """
    left, top, right, bottom = crop_window(box, (picture.shape[0], picture.shape[1]))
    scale = CROP_PX / max(right - left, bottom - top)
    size = max(round((right - left) * scale), 1), max(round((bottom - top) * scale), 1)
    image = Image.fromarray(picture[top:bottom, left:right]).resize(size, Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(image)
    for mark in marks:
        for x1, y1, x2, y2 in mark.boxes.tolist():
            # The line lies around the object: a box of a few pixels would else be covered by it.
            x, y = (x1 - left) * scale - 2, (y1 - top) * scale - 2
            far_x, far_y = max((x2 - left) * scale + 2, x), max((y2 - top) * scale + 2, y)
            pen.rectangle((x - 1, y - 1, far_x + 1, far_y + 1), outline="black", width=4)
            pen.rectangle((x, y, far_x, far_y), outline=COLOURS[mark.outcome], width=2)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=82, subsampling=0)
    return buffer.getvalue()


def crop_window(box: FloatArray, size_hw: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return the window (left, top, right, bottom) around a box, square as far as the frame goes.

    Args:
        box: float [4], x1, y1, x2, y2.
        size_hw: (height, width) of the frame.
    """
    x1, y1, x2, y2 = (float(value) for value in box)
    side = max(SURROUNDINGS * max(x2 - x1, y2 - y1), LEAST_PX)
    edges = []
    for low, high, limit in ((x1, x2, size_hw[1]), (y1, y2, size_hw[0])):
        length = max(min(round(side), limit), 1)
        begin = round((low + high - length) / 2)
        edges.append(max(min(begin, limit - length), 0))
        edges.append(edges[-1] + length)
    return edges[0], edges[2], edges[1], edges[3]
