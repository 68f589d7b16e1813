"""The lists of Pascal VOC's `ImageSets`, which divide a set; KITTI's converters write them too."""

from __future__ import annotations

from pathlib import Path, PurePath

from lstmcli.labels.readers.json_file import read_text


def image_sets(folder: Path) -> dict[str, str]:
    """Return the part of each name in the lists of `ImageSets` next to or above a label folder.

    https://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc: `Main/train.txt`, `val.txt`,
    `trainval.txt` and `test.txt` hold a name a line. Empty where they do not divide the set.
    """
    for above in (folder, *folder.absolute().parents[:3]):
        for lists in (above / "ImageSets" / "Main", above / "ImageSets"):
            parts = _read_lists(lists) if lists.is_dir() else {}
            if parts:
                return parts
    return {}


def _read_lists(folder: Path) -> dict[str, str]:
    parts: dict[str, str] = {}
    for file, part in (("trainval", "train"), ("test", "test"), ("train", "train"), ("val", "val")):
        path = folder / f"{file}.txt"
        if not path.is_file():
            continue
        for line in read_text(path).splitlines():
            words = line.split()
            if words and words[1:2] != ["-1"]:
                parts[PurePath(words[0]).name] = part
    return parts if len(set(parts.values())) > 1 else {}
