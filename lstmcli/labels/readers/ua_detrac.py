"""UA-DETRAC: one XML file a sequence, with regions that are ignored in every frame.

https://detrac-db.rit.albany.edu (Wen et al. 2015, https://arxiv.org/abs/1511.04136): `num` counts
frames from 1, boxes are left, top, width, height, frames without vehicles are not written.
"""

from __future__ import annotations

from pathlib import Path

from lstmcli.core.errors import DataError
from lstmcli.core.types import LabelSet
from lstmcli.labels.builder import EVERY_CLASS, LabelSetBuilder
from lstmcli.labels.context import ReadContext
from lstmcli.labels.readers.sniff import FileSniff
from lstmcli.labels.readers.xml_file import Element, load_xml
from lstmcli.labels.shapes import Box

SUFFIXES = (".xml",)
DROPS: tuple[str, ...] = ("ignored_region: an ignored region in every frame",)
"""Content that the reader drops or converts; each case is counted as a warning."""
NOT_READ = "attributes other than the vehicle type, occlusion"
"""Details beside the boxes that are not read, and not counted."""


def sniff(sniffed: FileSniff) -> bool:
    """Return whether the root is `sequence`."""
    return sniffed.tags[:1] == ("sequence",)


def root_of(path: Path) -> Path:
    """Return the file: a sequence stands alone."""
    return path


def read(source: Path, context: ReadContext) -> LabelSet:
    """Return the labels of a sequence."""
    root = load_xml(source)
    if root.tag != "sequence":
        raise DataError(f"{root.where}: <{root.tag}>", hint="UA-DETRAC writes <sequence>")
    columns = LabelSetBuilder(context.warnings, source)
    name = root.attributes.get("name", source.stem)
    video = columns.video(name)
    last = -1
    for item in root.all("frame"):
        frame = video.check_frame(item.whole("num") - 1, item.where, base=1)
        last = max(last, frame)
        targets = item.find("target_list")
        for target in targets.all("target") if targets is not None else ():
            attribute = target.find("attribute")
            kind = "" if attribute is None else attribute.attributes.get("vehicle_type", "")
            video.add(
                frame,
                _box(target.need("box")),
                columns.label(kind or "vehicle"),
                track=video.track(target.attribute("id")),
            )
    regions = root.find("ignored_region")
    boxes = [_box(box) for box in regions.all("box")] if regions is not None else []
    context.warnings.add(
        "an ignored_region of the sequence; an ignored region in every frame",
        str(source),
        len(boxes),
    )
    for frame in range(last + 1):
        video.image(frame, f"{name}/img{frame + 1:05d}.jpg")
        for box in boxes:
            video.add(frame, box, EVERY_CLASS, ignore=True)
    video.mark_annotated_until(last + 1)
    return columns.build()


def _box(element: Element) -> Box:
    left, top = element.number("left"), element.number("top")
    return left, top, left + element.number("width"), top + element.number("height")
