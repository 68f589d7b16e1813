"""Frames of a page's clips: one picture with the boxes of one or two detectors side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lstmcli.core.types import Picture
from lstmcli.report.gallery import COLOURS, Mark

BAR_PX = 18
"""Height of the line of text above each panel."""


@dataclass(frozen=True, slots=True)
class Panel:
    """What one detector does in a frame.

    Args:
        name: of the detector.
        marks: true positives, missed objects, false positives; in pixels of the picture.
        is_annotated: False where the frame has no ground truth, so that nothing is known.
    """

    name: str
    marks: Sequence[Mark]
    is_annotated: bool = True


def draw_clip_frame(picture: Picture, panels: Sequence[Panel], time_s: float) -> Picture:
    """Return the picture once for every panel, side by side, with boxes, names and time.

    Args:
        picture: uint8 [H, W, 3] RGB.
        panels: one or two.
        time_s: of the frame.

    Returns:
        uint8 [H + BAR_PX, W * panels, 3], sides even.
    """
    height, width = picture.shape[:2]
    total = (width * len(panels) + 1) // 2 * 2
    whole = Image.new("RGB", (total, (height + BAR_PX + 1) // 2 * 2), "#15191c")
    pen = ImageDraw.Draw(whole)
    font = ImageFont.load_default(size=13)
    for number, panel in enumerate(panels):
        left = number * width
        whole.paste(Image.fromarray(picture), (left, BAR_PX))
        text = f"{panel.name}  {time_s:.2f} s{'' if panel.is_annotated else '  not annotated'}"
        pen.text((left + 4, 1), _fitting(text, width - 8, font), fill="#e4e9ec", font=font)
        for mark in panel.marks:
            for x1, y1, x2, y2 in mark.boxes.tolist():
                # around the object: a box of a few pixels would else be covered by its line
                box = (
                    max(left + x1 - 2, left),
                    max(BAR_PX + y1 - 2, BAR_PX),
                    min(left + x2 + 2, left + width - 1),
                    min(BAR_PX + y2 + 2, BAR_PX + height - 1),
                )
                if box[2] > box[0] and box[3] > box[1]:
                    pen.rectangle(box, outline=COLOURS[mark.outcome], width=2)
    return np.asarray(whole, np.uint8)


def _fitting(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    while text and font.getlength(text) > width:
        text = text[:-1]
    return text
