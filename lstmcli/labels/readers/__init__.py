"""Readers of label formats: the contract and the table.

A reader is a module with three functions and two constants, see `Reader`. A new format is a file
here and a row in `READERS`; the order of the table is the order in which a file is offered.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from lstmcli.core.types import LabelSet
from lstmcli.labels.context import ReadContext
from lstmcli.labels.readers import (
    coco,
    createml,
    csv_table,
    cvat,
    cvat_held,
    datumaro,
    dlib,
    kitti,
    label_studio,
    labelbox,
    labelme,
    lightly,
    mot,
    openlabel,
    scalabel,
    supervisely,
    ua_detrac,
    vatic,
    via,
    visdrone,
    voc,
    vott,
    yolo,
)
from lstmcli.labels.readers.sniff import FileSniff


class Reader(Protocol):
    """The contract of a reader module."""

    @property
    def SUFFIXES(self) -> tuple[str, ...]:
        """Endings that files of the format have."""

    @property
    def DROPS(self) -> tuple[str, ...]:
        """Content that the reader drops or converts; each case is counted as a warning."""

    @property
    def NOT_READ(self) -> str:
        """Details beside the boxes that are not read, and not counted; "" where there are none."""

    def sniff(self, sniffed: FileSniff) -> bool:
        """Return whether the content of a file is of this format."""

    def root_of(self, path: Path) -> Path:
        """Return what to read when a file was sniffed: itself or the root folder of its format."""

    def read(self, source: Path, context: ReadContext) -> LabelSet:
        """Return what a file or a folder of such files says, paths as written.

        Raises:
            DataError: something that the format does not allow, with file and line.
        """


READERS: Mapping[str, Reader] = {
    "openlabel": openlabel,
    "datumaro": datumaro,
    "labelbox": labelbox,
    "lightly": lightly,
    "createml": createml,
    "label_studio": label_studio,
    "via": via,
    "vott": vott,
    "labelme": labelme,
    "scalabel": scalabel,
    "supervisely": supervisely,
    "coco": coco,
    "cvat": cvat,
    "cvat_held": cvat_held,
    "voc": voc,
    "ua_detrac": ua_detrac,
    "dlib": dlib,
    "vatic": vatic,
    "kitti": kitti,
    "visdrone": visdrone,
    "mot": mot,
    "yolo": yolo,
    "csv": csv_table,
}
