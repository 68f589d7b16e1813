"""Lightly predictions: a JSON file an image next to `schema.json` with the class names.

https://docs.lightly.ai/docs/prediction-format: `bbox` is x, y, width, height in pixels.
"""

from __future__ import annotations

from pathlib import Path

from lstmcli.core.errors import DataError
from lstmcli.core.types import LabelSet
from lstmcli.labels.builder import LabelSetBuilder, files_of
from lstmcli.labels.context import ReadContext
from lstmcli.labels.identity import IdRegistry, id_key
from lstmcli.labels.readers.json_file import load_json
from lstmcli.labels.readers.sniff import FileSniff

SUFFIXES = (".json",)
DROPS: tuple[str, ...] = ()
"""Content that the reader drops or converts; each case is counted as a warning."""
NOT_READ = "scores, segmentations"
"""Details beside the boxes that are not read, and not counted."""


def sniff(sniffed: FileSniff) -> bool:
    """Return whether the file holds predictions of a file."""
    return {"file_name", "predictions"} <= sniffed.keys


def root_of(path: Path) -> Path:
    """Return the folder of the files."""
    return path.parent


def read(source: Path, context: ReadContext) -> LabelSet:
    """Return the labels of a folder of files, or of one."""
    folder = source if source.is_dir() else source.parent
    names: dict[str, str] = {}
    ids = IdRegistry("category", folder / "schema.json")
    schema = folder / "schema.json"
    if schema.is_file():
        for row in load_json(schema)["categories"].rows():
            number, name = row["id"].text(), row["name"].text()
            ids.add(number, name, repr(name), row.location)
            names[id_key(number)] = name
    columns = LabelSetBuilder(context.warnings, source, names.values())
    for path in files_of(folder, ".json") if source.is_dir() else [source]:
        if path == schema:
            continue
        top = load_json(path)
        image = top["file_name"].text()
        if columns.has_video(image):
            context.warnings.add("an image that is listed twice; its boxes are joined", str(path))
        video = columns.still(image, image, str(path))
        for item in top["predictions"].rows():
            number = id_key(item["category_id"].text())
            if names and number not in names:
                raise DataError(f"{item.location}: category {number}", hint="see schema.json")
            x, y, width, height = item["bbox"].numbers(4)
            label = columns.label(names.get(number, f"class {number}"))
            video.add(0, (x, y, x + width, y + height), label)
    return columns.build()
