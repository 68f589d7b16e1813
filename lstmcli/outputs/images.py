"""JPEG outputs: crops of the detections, and annotated frames with detections."""

from __future__ import annotations

import numpy as np
from PIL import Image

from lstmcli.core.files import PartialFolder
from lstmcli.core.names import file_name
from lstmcli.core.types import Picture
from lstmcli.outputs.contract import AnnotatedFrame, OutputSpec, as_output_errors

_QUALITY = 92


class CropsOutput:
    """A folder a class, a JPEG a detection: `bird/000012_t3_0.93.jpg`."""

    SUFFIX = ".crops"
    MARGIN = 0.1
    """Margin on every side, as a share of the box's sides."""

    def __init__(self, job: OutputSpec) -> None:
        self._classes = job.classes
        self.path = job.path(self.SUFFIX)
        self.notes: list[str] = []
        self._folder = PartialFolder(self.path, overwrite=job.overwrite)

    def write(self, annotated: AnnotatedFrame) -> None:
        """Cut the detections of a frame out of the undrawn picture."""
        detections = annotated.detections
        if not len(detections):
            return
        picture = annotated.frame.rgb()
        for row in range(len(detections)):
            folder = file_name(self._classes[int(detections.labels[row])])
            track = int(detections.track_ids[row])
            which = f"t{track}" if track >= 0 else f"n{row}"
            name = f"{annotated.frame.index:06d}_{which}_{float(detections.scores[row]):.2f}.jpg"
            cut = crop(picture, detections.boxes[row], self.MARGIN)
            with as_output_errors(self.path):
                path = self._folder.place(f"{folder}/{name}")
                Image.fromarray(cut).save(path, quality=_QUALITY)

    def sync(self) -> None:
        """Do nothing: every picture is a complete file."""

    def close(self) -> None:
        """Complete the folder."""
        self._folder.publish()

    def abandon(self) -> None:
        """Leave the pictures so far."""
        self._folder.abandon()


class FramesOutput:
    """A JPEG of every frame with detections, drawn as in the video."""

    SUFFIX = ".frames"

    def __init__(self, job: OutputSpec) -> None:
        self.path = job.path(self.SUFFIX)
        self.notes: list[str] = []
        self._folder = PartialFolder(self.path, overwrite=job.overwrite)

    def write(self, annotated: AnnotatedFrame) -> None:
        """Write the frame if it has detections."""
        if len(annotated.detections):
            picture = annotated.drawn.rgb()
            with as_output_errors(self.path):
                path = self._folder.place(f"{annotated.frame.index:06d}.jpg")
                Image.fromarray(picture).save(path, quality=_QUALITY)

    def sync(self) -> None:
        """Do nothing: every picture is a complete file."""

    def close(self) -> None:
        """Complete the folder."""
        self._folder.publish()

    def abandon(self) -> None:
        """Leave the pictures so far."""
        self._folder.abandon()


def crop(picture: Picture, box: np.ndarray, margin: float) -> Picture:
    """Return the part of a picture under a box with a margin, at least one pixel."""
    height, width = picture.shape[:2]
    x1, y1, x2, y2 = (float(side) for side in box)
    dx, dy = margin * (x2 - x1), margin * (y2 - y1)
    left, top = int(np.clip(x1 - dx, 0, width - 1)), int(np.clip(y1 - dy, 0, height - 1))
    right = int(np.clip(np.ceil(x2 + dx), left + 1, width))
    bottom = int(np.clip(np.ceil(y2 + dy), top + 1, height))
    return np.ascontiguousarray(picture[top:bottom, left:right])
