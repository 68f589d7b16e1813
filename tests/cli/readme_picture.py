"""Draws the picture of the README: two frames of the demo's footage as `detect` annotates them.

`python tests/cli/readme_picture.py` writes it anew. Its boxes are the ground truth of the drawn
clip, so that the picture needs no training and is the same everywhere.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from lstmcli.core.types import Annotations, Detections
from lstmcli.dataset.synthetic import CLASSES, RATE, draw_clip
from lstmcli.outputs.draw import Annotator, DrawStyle
from lstmcli.video.frame import Planes

SEED = 7
SIZE_HW = (240, 400)
SHOWN = (8, 24)
SCALE = 2
"""The clip is drawn small, as the demo's, and enlarged, so that labels are small beside objects."""

PICTURE = Path(__file__).parents[2] / ".github" / "readme.webp"


def as_detections(gt: Annotations) -> Detections:
    """Return ground truth as detections of score 1."""
    return Detections(gt.boxes * SCALE, np.ones(len(gt), np.float32), gt.labels, gt.tracks)


def main(seed: int = SEED) -> None:
    """Write the picture."""
    height, width = SCALE * SIZE_HW[0], SCALE * SIZE_HW[1]
    annotator = Annotator(CLASSES, (height, width), DrawStyle(timestamp="time"))
    clip = draw_clip(np.random.default_rng(seed), frames=SHOWN[-1] + 1, size_hw=SIZE_HW)
    shown = []
    for index, (drawn, gt) in enumerate(clip):
        large = Image.fromarray(drawn).resize((width, height), Image.Resampling.BICUBIC)
        planes = Planes.from_rgb(np.asarray(large))
        annotator.paint(planes, as_detections(gt), frame=index, time_s=index / RATE)
        if index in SHOWN:
            shown += [planes.rgb(), np.full((height, 16, 3), 255, np.uint8)]
    PICTURE.parent.mkdir(exist_ok=True)
    Image.fromarray(np.concatenate(shown[:-1], axis=1)).save(PICTURE, quality=78, method=6)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
