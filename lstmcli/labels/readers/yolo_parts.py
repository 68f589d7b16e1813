"""The parts of a YOLO set that its `data.yaml` or `obj.data` names: train, val and test."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lstmcli.core.media_files import can_be_path
from lstmcli.labels.readers.json_file import read_text

_KEYS = {"train": "train", "val": "val", "valid": "val", "test": "test"}


@dataclass(frozen=True, slots=True)
class Parts:
    """Folders and lists of images by part.

    Args:
        folders: part by folder, absolute and resolved.
        listed: part by path of an image, absolute.
    """

    folders: Mapping[Path, str] = field(default_factory=dict)
    listed: Mapping[Path, str] = field(default_factory=dict)

    def of(self, image: Path) -> str | None:
        """Return the part of an image, None where unknown."""
        if not self.folders and not self.listed:
            return None
        for path in dict.fromkeys((image.absolute(), image.resolve())):
            if path in self.listed:
                return self.listed[path]
            for folder in path.parents:
                if folder in self.folders:
                    return self.folders[folder]
        return None

    @classmethod
    def of_yaml(cls, top: Mapping[str, Any], source: Path) -> Parts:
        """Return the parts that the keys train, val and test of a `data.yaml` name."""
        base = source.parent
        stated = top.get("path")
        starts = [base / str(stated), base] if stated else [base]
        named = {}
        for key in _KEYS:
            value = top.get(key)
            texts = [text for text in (value if isinstance(value, list) else [value]) if text]
            named[key] = [path for text in texts for path in _found(str(text), starts)]
        return cls._of(named, starts)

    @classmethod
    def of_darknet(cls, source: Path, text: str) -> Parts:
        """Return the parts that the lists of an `obj.data` name."""
        base = source.parent
        starts = [base, *list(base.absolute().parents)[:12]]
        rows = re.findall(r"^\s*(train|valid|test)\s*=\s*(.+?)\s*$", text, re.MULTILINE)
        named = {key: list(_found(written, starts)) for key, written in rows}
        return cls._of(named, starts)

    @classmethod
    def _of(cls, named: Mapping[str, list[Path]], starts: list[Path]) -> Parts:
        folders: dict[Path, str] = {}
        listed: dict[Path, str] = {}
        for key in ("train", "val", "valid", "test"):
            for path in named.get(key, ()):
                if path.is_dir():
                    folders.setdefault(path.resolve(), _KEYS[key])
                    folders.setdefault(path.absolute(), _KEYS[key])
                elif path.suffix.lower() == ".txt":
                    for image in _images(path, starts):
                        listed.setdefault(image, _KEYS[key])
        if len({*folders.values(), *listed.values()}) < 2:
            return cls()
        return cls(folders, listed)


def _found(written: str, starts: list[Path]) -> Iterator[Path]:
    """Yield the candidates of a path: as it stands, or without `../`, as Roboflow writes them."""
    bare = re.sub(r"^(\.\.?/)+", "", written.replace("\\", "/"))
    for text in filter(can_be_path, dict.fromkeys((written, bare))):
        for start in starts:
            path = start / text
            if path.exists():
                yield path
                return


def _images(path: Path, starts: list[Path]) -> Iterator[Path]:
    for line in read_text(path).splitlines():
        text = line.strip()
        if not text or not can_be_path(text):
            continue
        for start in (path.parent, *starts):
            image = (start / text).absolute()
            if image.exists():
                yield Path(*image.parts)
                yield image.resolve()
                break
