"""Writers of labels: people's data leaves as easily as it came.

A writer is a module with `write` and `FOLDER`, see `LabelWriter`; a new one is a file here and a
row in `LABEL_WRITERS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from lstmcli.core.types import LabelSet
from lstmcli.labels.warning_collector import WarningCollector
from lstmcli.labels.writers import coco, cvat, label_studio, mot, yolo


class LabelWriter(Protocol):
    """The contract of a writer module."""

    @property
    def FOLDER(self) -> bool:
        """Whether the format is a folder; otherwise it is one file."""

    @property
    def NEEDS_SIZE(self) -> bool:
        """Whether the format cannot be written without the size of every picture."""

    @property
    def KEEPS_SCORES(self) -> bool:
        """Whether the format holds the scores of soft labels."""

    @property
    def LISTS_FRAMES(self) -> bool:
        """Whether every annotated frame takes a row or a file, also one without boxes."""

    def write(self, labels: LabelSet, out: Path, warnings: WarningCollector) -> None:
        """Write a set to a file, or into a folder that exists and is empty.

        What the format cannot say is noted with a count. Every format holds the set's own division
        (`VideoLabels.split`), in folders, files or a key.
        """


LABEL_WRITERS: Mapping[str, LabelWriter] = {
    "coco": coco,
    "cvat": cvat,
    "label_studio": label_studio,
    "mot": mot,
    "yolo": yolo,
}
