"""dlib's image dataset XML (imglab).

http://dlib.net/imaging.html, tools/imglab: `box` with top, left, width, height in pixels and
`ignore='1'`; the label is optional; an image without boxes is empty.
"""

from __future__ import annotations

from pathlib import Path

from lstmcli.core.errors import DataError
from lstmcli.core.types import LabelSet
from lstmcli.labels.builder import LabelSetBuilder
from lstmcli.labels.context import ReadContext
from lstmcli.labels.readers.sniff import FileSniff
from lstmcli.labels.readers.xml_file import load_xml

SUFFIXES = (".xml",)
DROPS: tuple[str, ...] = ("boxes marked ignore: an ignored region",)
"""Content that the reader drops or converts; each case is counted as a warning."""
NOT_READ = "parts of boxes (landmarks), angles"
"""Details beside the boxes that are not read, and not counted."""


def sniff(sniffed: FileSniff) -> bool:
    """Return whether the root is `dataset` with `images`."""
    return sniffed.tags[:1] == ("dataset",) and "images" in sniffed.tags


def root_of(path: Path) -> Path:
    """Return the file: it stands alone."""
    return path


def read(source: Path, context: ReadContext) -> LabelSet:
    """Return the labels of every image."""
    root = load_xml(source)
    if root.tag != "dataset":
        raise DataError(f"{root.where}: <{root.tag}>", hint="dlib writes <dataset>")
    columns = LabelSetBuilder(context.warnings, source)
    for image in root.need("images").all("image"):
        name = image.attribute("file")
        if columns.has_video(name):
            context.warnings.add("an image that is listed twice; its boxes are joined", image.where)
        video = columns.still(name, name)
        if "width" in image.attributes and "height" in image.attributes:
            video.set_size(image.number("width"), image.number("height"), image.where)
        for box in image.all("box"):
            left, top = box.number("left"), box.number("top")
            if box.flag("ignore"):
                context.warnings.add("a box marked ignore; an ignored region", box.where)
            video.add(
                0,
                (left, top, left + box.number("width"), top + box.number("height")),
                columns.label(box.text_of("label") or "object"),
                ignore=box.flag("ignore"),
            )
    return columns.build()
