"""CVAT for video with open tracks held to the end of the task, as CVAT's own player shows them.

cvat/apps/dataset_manager/annotation.py, TrackManager: a last key frame that is not outside lasts.
In real exports that invents boxes where the annotator forgot to close a track, so it is chosen by
name.
"""

from __future__ import annotations

from pathlib import Path

from lstmcli.core.types import LabelSet
from lstmcli.labels.context import ReadContext
from lstmcli.labels.readers import cvat
from lstmcli.labels.readers.sniff import FileSniff

SUFFIXES = (".xml",)
DROPS: tuple[str, ...] = (
    "shapes other than boxes, rotated boxes: the upright hull is kept",
    "single points: an ignored region",
    "tags of whole pictures: left out",
    "elements that are not known: an ignored region where the picture is otherwise empty",
)
"""Content that the reader drops or converts; each case is counted as a warning."""
NOT_READ = "attributes, occlusion, z order"
"""Details beside the boxes that are not read, and not counted."""


def sniff(sniffed: FileSniff) -> bool:
    """Return False: it is chosen by a person, never by content."""
    return False


def root_of(path: Path) -> Path:
    """Return the file: it stands alone."""
    return path


def read(source: Path, context: ReadContext) -> LabelSet:
    """Return the labels of every task in the file, open tracks held."""
    context.hold = True
    return cvat.read(source, context)
