"""The contract of the writers: `OutputSpec` once, an `AnnotatedFrame` for every frame."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Protocol

from lstmcli.core.errors import write_failure
from lstmcli.core.types import Detections
from lstmcli.outputs.draw import Annotator, Shape
from lstmcli.video import Frame, Planes


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """Properties of a video that a writer needs before its first frame.

    Args:
        video: the name that goes into the records.
        stem: folder and name of the outputs, to which each writer adds its suffix.
        classes: names of the classes.
        size_hw: (height, width) of the frames.
        rate: frames per second of the output, None where unknown.
        source_rate: frames per second that frame numbers count, None where they are `rate`'s.
        overwrite: replace outputs of these names.
        begins_s: the time of the source that is 0 in the annotated video.
        ends_s: where the sound ends, None for all of it.
        sound_from: the file whose sound and metadata are kept, None for neither.
        pixel_aspect: width of a pixel by its height.
        codec: of the annotated video.
        quality: of the annotated video, 0 (best) to 51.
    """

    video: str
    stem: Path
    classes: tuple[str, ...]
    size_hw: tuple[int, int]
    rate: float | None = None
    begins_s: float = 0.0
    ends_s: float | None = None
    sound_from: Path | None = None
    pixel_aspect: Fraction = Fraction(1)
    codec: str = "h264"
    quality: int = 23
    source_rate: float | None = None
    overwrite: bool = False

    def path(self, suffix: str) -> Path:
        """Return where an output with this suffix lies."""
        return self.stem.with_name(self.stem.name + suffix)


class AnnotatedFrame:
    """A frame with its detections.

    Args:
        frame: as decoded.
        detections: in pixels of the frame, with track ids where tracks are kept.
        annotator: draws the picture lazily, once.
        shapes: lines and zones that are drawn with it.
    """

    def __init__(
        self,
        frame: Frame,
        detections: Detections,
        annotator: Annotator,
        shapes: tuple[Shape, ...] = (),
    ) -> None:
        self.frame, self.detections = frame, detections
        self._annotator, self._shapes = annotator, shapes

    @cached_property
    def drawn(self) -> Planes:
        """The frame with its detections drawn."""
        planes = self.frame.planes()
        self._annotator.paint(
            planes,
            self.detections,
            frame=self.frame.index,
            time_s=self.frame.time_s,
            shapes=self._shapes,
        )
        return planes


class Output(Protocol):
    """Writes the annotated frames of one video, in order."""

    path: Path
    notes: list[str]
    """Messages for the user when it is done."""

    def write(self, annotated: AnnotatedFrame) -> None:
        """Add a frame."""

    def sync(self) -> None:
        """Bring what was written so far to the disk, where that survives without `close`."""

    def close(self) -> None:
        """Complete the output and give it its name."""

    def abandon(self) -> None:
        """Leave what there is under the partial name."""


@contextlib.contextmanager
def as_output_errors(path: Path) -> Iterator[None]:
    """Raise errors of the system while an output is written as an OutputError that names it."""
    try:
        yield
    except OSError as error:
        raise write_failure(path, error) from error


def make_folder(folder: Path) -> None:
    """Make a folder in which outputs lie, if it is not there.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_failure(folder, error) from None
