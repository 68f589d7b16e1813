"""Descriptions of YOLO data sets: names, folders, parts and films of `data.yaml` or `obj.data`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lstmcli.core.errors import DataError
from lstmcli.core.media_files import can_be_path
from lstmcli.core.yaml_text import parse_yaml
from lstmcli.labels.builder import LabelSetBuilder, VideoLabelsBuilder
from lstmcli.labels.division import part_of_folder
from lstmcli.labels.readers.json_file import read_text
from lstmcli.labels.readers.yolo_parts import Parts
from lstmcli.labels.warning_collector import WarningCollector

NAMES_FILES = ("obj.names", "classes.txt", "_darknet.labels", "names.txt")
HIGHEST = 12
"""Folders above a label file that are searched for the description of its data set."""
IMAGE_FOLDERS = {"labels": "images", "Annotations": "Images", "labelTxt": "images"}


@dataclass(frozen=True, slots=True)
class YoloDescription:
    """Description of a YOLO data set.

    Args:
        names: of the classes, in their order.
        roots: folders that hold its label files.
        key_points: whether rows are boxes with key points.
        parts: train, val and test.
        films: name of a film -> its row, of sets that `convert` wrote.
    """

    names: tuple[str, ...]
    roots: tuple[Path, ...]
    key_points: bool
    parts: Parts = field(default_factory=Parts)
    films: Mapping[str, object] = field(default_factory=dict)


def describe(source: Path, warnings: WarningCollector) -> YoloDescription:
    """Read the description of a data set from a file, or from the files of a folder.

    Raises:
        DataError: it is no mapping, or its names are neither a list nor numbered.
    """
    if source.suffix.lower() in {".yaml", ".yml"} and source.is_file():
        top = parse_yaml(read_text(source), str(source))
        if not isinstance(top, dict):
            raise DataError(f"{source}: no keys at the top", hint="write names: and train:")
        names = _yaml_names(top, source)
        _check_count(top, names, source, warnings)
        films = top.get("videos")
        return YoloDescription(
            names,
            _yaml_roots(top, source),
            "kpt_shape" in top,
            Parts.of_yaml(top, source),
            films if isinstance(films, dict) else {},
        )
    folder = source if source.is_dir() else source.parent
    text = read_text(source) if source.suffix.lower() == ".data" else ""
    listed: list[str] = []
    for name in _names_files(source, folder):
        if name.is_file():
            listed = [line.strip() for line in read_text(name).splitlines() if line.strip()]
            break
    roots = [source if source.suffix.lower() == ".txt" else folder]
    if source.suffix.lower() == ".data":
        for written in re.findall(r"^\s*(?:train|valid|test)\s*=\s*(.+?)\s*$", text, re.MULTILINE):
            roots += _listed_roots(written, folder)
    parts = Parts.of_darknet(source, text)
    return YoloDescription(
        tuple(listed), tuple(dict.fromkeys(roots)), key_points=False, parts=parts
    )


def _check_count(
    top: dict[str, Any], names: tuple[str, ...], source: Path, warnings: WarningCollector
) -> None:
    stated = top.get("nc")
    if isinstance(stated, int) and stated != len(names):
        warnings.add(f"nc is {stated}, but names lists {len(names)}; the names count", str(source))


def _listed_roots(written: str, base: Path) -> Iterator[Path]:
    """Yield the folders outside of `base` whose images a list of Darknet's names.

    Darknet takes paths from where it is started, which is often some folders above the list.
    """
    if not can_be_path(written):
        return
    starts = [base, *list(base.resolve().parents)[:HIGHEST]]
    found = next((start / written for start in starts if (start / written).is_file()), None)
    if found is None:
        return
    inside = base.resolve()
    lines = [line.strip() for line in _lines(found) if can_be_path(line)]
    for parent in dict.fromkeys(Path(line).parent for line in lines):
        for start in starts:
            folder = (start / parent).resolve()
            if not folder.is_dir():
                continue
            if folder != inside and inside not in folder.parents:
                yield folder.parent if folder.name in IMAGE_FOLDERS.values() else folder
            break


def _lines(path: Path) -> list[str]:
    return [line for line in read_text(path).splitlines() if line.strip()]


def _names_files(source: Path, folder: Path) -> Iterator[Path]:
    if source.suffix.lower() == ".data":
        stated = re.search(r"^\s*names\s*=\s*(.+?)\s*$", read_text(source), re.MULTILINE)
        if stated:
            yield folder / stated.group(1)
            yield folder / Path(stated.group(1)).name
    for name in NAMES_FILES:
        yield folder / name
    for name in NAMES_FILES:
        yield folder.parent / name


def _yaml_names(top: dict[str, Any], source: Path) -> tuple[str, ...]:
    names = top.get("names")
    if isinstance(names, list):
        return tuple(str(name) for name in names)
    if isinstance(names, dict):
        names = {_class_number(key): name for key, name in names.items()}
    if isinstance(names, dict) and all(isinstance(key, int) and key >= 0 for key in names):
        if max(names, default=0) > 100_000:
            raise DataError(f"{source}: class {max(names)}", hint="classes count from 0")
        return tuple(str(names.get(n, f"class {n}")) for n in range(max(names, default=-1) + 1))
    raise DataError(f"{source}: names is {str(names)[:40]!r}", hint="a list, or 0: name, 1: name")


def _class_number(key: object) -> object:
    """Return the number that a key of names says, also in quotes."""
    return int(key) if isinstance(key, str) and key.strip().isdecimal() else key


def _yaml_roots(top: dict[str, Any], source: Path) -> tuple[Path, ...]:
    """Return the folder of the file, and folders outside of it that it names and that exist."""
    base = source.parent
    roots = [base]
    stated = top.get("path")
    starts = [base, base / str(stated)] if stated else [base]
    for key in ("train", "val", "test"):
        value = top.get(key)
        for written in value if isinstance(value, list) else [value]:
            if not isinstance(written, str) or not can_be_path(written):
                continue
            for start in starts:
                folder = start / written
                if folder.is_file() and folder.suffix == ".txt":
                    roots += _listed_roots(str(folder), base)
                    break
                outside = folder.is_dir() and base.resolve() not in folder.resolve().parents
                if outside and folder.resolve() != base.resolve():
                    near = folder.parent if folder.name in IMAGE_FOLDERS.values() else folder
                    roots.append(near)
    return tuple(dict.fromkeys(roots))


_FILM_FRAME = re.compile(r"frame_(\d{6,8})")
"""Names of frames below the films that `convert` names under `videos`; they count from 0."""


def film_of(entry: object, columns: LabelSetBuilder, name: str) -> VideoLabelsBuilder:
    """Return the video of a film by its row in `data.yaml`: media, frames, rate and size."""
    row: Mapping[str, Any] = entry if isinstance(entry, dict) else {}
    video = columns.video(f"film {name}", name)
    video.media = str(row.get("media") or "")
    frames, rate, size = row.get("frames"), row.get("rate"), row.get("size")
    split = row.get("split")
    video.split = part_of_folder(split) if isinstance(split, str) else None
    if isinstance(frames, int) and frames > 0:
        video.frame_count = video.check_frame(frames - 1) + 1
    if isinstance(rate, int | float) and rate > 0:
        video.rate = float(rate)
    if isinstance(size, list) and len(size) == 2:
        video.set_size(float(size[0]), float(size[1]))
    return video


def film_frame(path: Path, films: Mapping[str, object]) -> tuple[str, int] | None:
    """Return the film and the frame of a label file, None where it is of no film."""
    found = _FILM_FRAME.fullmatch(path.stem)
    if found is None or not films:
        return None
    parts = path.parent.parts
    for n in range(len(parts)):
        name = "/".join(parts[n:])
        if name in films:
            return name, int(found.group(1))
    return None
