"""YOLO: a text file an image, with `data.yaml` (Ultralytics), `obj.data` (Darknet) or neither.

https://docs.ultralytics.com/datasets/detect and https://github.com/AlexeyAB/darknet: a line is
class, centre x, centre y, width, height as fractions of the image; longer lines are polygons,
turned boxes or, where `kpt_shape` is told, a box with key points. `images` in the path of an image
becomes `labels` in the path of its text. An empty file says that there is nothing; an image without
a file was not looked at (Ultralytics takes it for background).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lstmcli.core.config import parse_yaml
from lstmcli.core.errors import DataError
from lstmcli.core.types import LabelSet
from lstmcli.labels.builder import LabelSetBuilder, files_of
from lstmcli.labels.media import ReadContext, media_files
from lstmcli.labels.readers.json_file import read_text
from lstmcli.labels.readers.sniff import FileSniff

_ROW = re.compile(r"^\d+(?:\.0)?(?:\s+-?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?){4,}$")
_NO_LABELS = re.compile(
    r"(?i)^(readme.*|license.*|classes|_darknet|obj|labels|names|train|valid?|test)$"
)
"""Names of other texts, unless there is an image of that name."""
_NAMES = ("obj.names", "classes.txt", "_darknet.labels", "names.txt")
_HIGHEST = 12
"""Folders above a label file that are searched for the description of its data set."""
_IMAGE_FOLDERS = {"labels": "images", "Annotations": "Images", "labelTxt": "images"}


def sniff(sniffed: FileSniff) -> bool:
    """Return whether the file describes a YOLO data set or holds lines of fractions."""
    suffix = sniffed.path.suffix.lower()
    if suffix in {".yaml", ".yml"}:
        keys = set(re.findall(r"^(\w+)\s*:", sniffed.text, re.MULTILINE))
        return "names" in keys and bool(keys & {"train", "val", "path", "nc", "test"})
    if suffix == ".data":
        return bool(re.search(r"^\s*(train|names|valid)\s*=", sniffed.text, re.MULTILINE))
    if suffix != ".txt" or not sniffed.lines:
        return False
    return all(_ROW.match(line) for line in sniffed.lines) and all(
        -0.5 <= float(part) <= 1.5 for line in sniffed.lines for part in line.split()[1:5]
    )


def root_of(path: Path) -> Path:
    """Return the description of the data set above a label file, or its folder."""
    if path.suffix.lower() != ".txt":
        return path
    for folder in list(path.parents)[:_HIGHEST]:
        for found in sorted(
            (*folder.glob("*.yaml"), *folder.glob("*.yml"), *folder.glob("*.data"))
        ):
            if sniff(FileSniff.of(found)):
                return found
        if any((folder / name).is_file() for name in _NAMES):
            return folder
    return path.parent


def read(source: Path, reading: ReadContext) -> LabelSet:
    """Return the labels of a data set; images become one-frame videos."""
    described = _described(source)
    columns = LabelSetBuilder(reading.notes, source, described.names)
    taken: set[str] = set()
    unlabelled: dict[Path, set[str]] = {}
    for folder, path in _label_files(described.roots, reading):
        image, written = _image_of(path, folder, reading)
        if image is not None and reading.finder.find(written, video=False) is None:
            written = str(image.absolute())  # in a folder that only a list names
        key = str(image or written)
        if key in taken:
            reading.notes.add("a second label file of the same image; left out", str(path))
            continue
        rows = _rows(path, has_image=image is not None)
        if rows is None:
            reading.notes.add("a text file that holds no labels; left out", str(path))
            continue
        taken.add(key)
        _read_rows(rows, path, written, described, columns, reading)
        if image is not None:
            unlabelled.setdefault(image.parent, set()).add(image.name)
    _note_unlabelled(unlabelled, reading)
    return columns.build()


@dataclass(frozen=True, slots=True)
class _Described:
    names: tuple[str, ...]
    roots: tuple[Path, ...]
    key_points: bool


def _described(source: Path) -> _Described:
    if source.suffix.lower() in {".yaml", ".yml"} and source.is_file():
        top = parse_yaml(read_text(source), str(source))
        if not isinstance(top, dict):
            raise DataError(f"{source}: no keys at the top", hint="write names: and train:")
        return _Described(_yaml_names(top, source), _yaml_roots(top, source), "kpt_shape" in top)
    folder = source if source.is_dir() else source.parent
    text = read_text(source) if source.suffix.lower() == ".data" else ""
    names: list[str] = []
    for name in _names_files(source, folder):
        if name.is_file():
            names = [line.strip() for line in read_text(name).splitlines() if line.strip()]
            break
    roots = [source if source.suffix.lower() == ".txt" else folder]
    if source.suffix.lower() == ".data":
        for listed in re.findall(r"^\s*(?:train|valid|test)\s*=\s*(.+?)\s*$", text, re.MULTILINE):
            roots += _listed_roots(listed, folder)
    return _Described(tuple(names), tuple(dict.fromkeys(roots)), key_points=False)


def _listed_roots(written: str, base: Path) -> Iterator[Path]:
    """Yield the folders outside of `base` whose images a list of Darknet's names.

    Darknet takes paths from where it is started, which is often some folders above the list.
    """
    starts = [base, *list(base.resolve().parents)[:_HIGHEST]]
    found = next((start / written for start in starts if (start / written).is_file()), None)
    if found is None:
        return
    inside = base.resolve()
    for parent in dict.fromkeys(Path(line.strip()).parent for line in _lines(found)):
        for start in starts:
            folder = (start / parent).resolve()
            if not folder.is_dir():
                continue
            if folder != inside and inside not in folder.parents:
                yield folder.parent if folder.name in _IMAGE_FOLDERS.values() else folder
            break


def _lines(path: Path) -> list[str]:
    return [line for line in read_text(path).splitlines() if line.strip()]


def _names_files(source: Path, folder: Path) -> Iterator[Path]:
    if source.suffix.lower() == ".data":
        told = re.search(r"^\s*names\s*=\s*(.+?)\s*$", read_text(source), re.MULTILINE)
        if told:
            yield folder / told.group(1)
            yield folder / Path(told.group(1)).name
    for name in _NAMES:
        yield folder / name
    for name in _NAMES:
        yield folder.parent / name


def _yaml_names(top: dict[str, Any], source: Path) -> tuple[str, ...]:
    names = top.get("names")
    if isinstance(names, list):
        return tuple(str(name) for name in names)
    if isinstance(names, dict) and all(isinstance(key, int) and key >= 0 for key in names):
        if max(names, default=0) > 100_000:
            raise DataError(f"{source}: class {max(names)}", hint="classes count from 0")
        return tuple(str(names.get(n, f"class {n}")) for n in range(max(names, default=-1) + 1))
    raise DataError(f"{source}: names is {str(names)[:40]!r}", hint="a list, or 0: name, 1: name")


def _yaml_roots(top: dict[str, Any], source: Path) -> tuple[Path, ...]:
    """Return the folder of the file, and folders outside of it that it names and that exist."""
    base = source.parent
    roots = [base]
    told = top.get("path")
    starts = [base, base / str(told)] if told else [base]
    for key in ("train", "val", "test"):
        value = top.get(key)
        for written in value if isinstance(value, list) else [value]:
            if not isinstance(written, str):
                continue
            for start in starts:
                folder = start / written
                if folder.is_file() and folder.suffix == ".txt":
                    roots += _listed_roots(str(folder), base)
                    break
                outside = folder.is_dir() and base.resolve() not in folder.resolve().parents
                if outside and folder.resolve() != base.resolve():
                    near = folder.parent if folder.name in _IMAGE_FOLDERS.values() else folder
                    roots.append(near)
    return tuple(dict.fromkeys(roots))


def _label_files(roots: Sequence[Path], reading: ReadContext) -> Iterator[tuple[Path, Path]]:
    seen = set()
    for root in roots:
        base = root if root.is_dir() else root.parent
        files = files_of(root, ".txt", below=True) if root.is_dir() else [root]
        for path in sorted(files, key=_labels_first):
            if path.resolve() in seen or _is_other_text(path, base, reading):
                continue
            if (
                reading.within is not None
                and reading.within.resolve() not in path.resolve().parents
            ):
                continue
            seen.add(path.resolve())
            yield base, path


def _is_other_text(path: Path, root: Path, reading: ReadContext) -> bool:
    """Return whether a file is a list or a note by its name, and no image bears that name."""
    if not _NO_LABELS.match(path.stem):
        return False
    if _rows(path, has_image=False) is None:
        return True
    image, _ = _image_of(path, root, reading)
    return image is None or image.stem != path.stem


def _labels_first(path: Path) -> tuple[bool, Path]:
    """Sort folders called labels before others, which may hold other things of the same images."""
    return not path.parent.name.lower().startswith("labels"), path


def _image_of(path: Path, root: Path, reading: ReadContext) -> tuple[Path | None, str]:
    """Return the image of a label file, and how its path is written."""
    inside = path.relative_to(root)
    folders = list(inside.parts[:-1])
    for n in range(len(folders) - 1, -1, -1):
        if folders[n] in _IMAGE_FOLDERS:
            folders[n] = _IMAGE_FOLDERS[folders[n]]
            break
    wanted = Path(*folders, f"{path.stem}.jpg").as_posix()
    for folder in (root.joinpath(*folders), path.parent):
        found = reading.finder.leave_core_free(folder, path.stem)
        if found is not None:
            return found, found.relative_to(root).as_posix()
    told = _below_images(path)
    found = None if told is None else reading.finder.find(told, video=False)
    if told is not None and found is not None:
        return found, told
    found = reading.finder.find(wanted, video=False)
    return found, wanted


def _below_images(path: Path) -> str | None:
    """Return `images/val/1.jpg` for `labels/val/1.txt`, also where only `val` is read."""
    parts = path.absolute().parts
    for n in range(len(parts) - 2, max(0, len(parts) - 6), -1):
        if parts[n] in _IMAGE_FOLDERS:
            folders = (_IMAGE_FOLDERS[parts[n]], *parts[n + 1 : -1])
            return Path(*folders, f"{path.stem}.jpg").as_posix()
    return None


def _rows(path: Path, *, has_image: bool) -> list[tuple[int, list[float]]] | None:
    """Return the rows with their lines; None where the file holds none and belongs to no image."""
    rows: list[tuple[int, list[float]]] = []
    for n, line in enumerate(read_text(path).splitlines(), 1):
        parts = line.split()
        if not parts:
            continue
        try:
            rows.append((n, [float(part) for part in parts]))
        except ValueError:
            if len(parts) == 10:  # a turned box of DOTA: eight numbers, class name, difficulty
                rows.append((n, []))
                continue
            if not has_image and not rows:
                return None
            raise DataError(
                f"{path}, line {n}: {line[:60]!r}", hint="YOLO rows are numbers"
            ) from None
    return rows


def _read_rows(
    rows: list[tuple[int, list[float]]],
    path: Path,
    written: str,
    described: _Described,
    columns: LabelSetBuilder,
    reading: ReadContext,
) -> None:
    video = columns.still(written, written, str(path))
    for n, row in rows:
        where = f"{path}, line {n}"
        if len(row) not in {5, 6} and not (described.key_points and len(row) > 6):
            if 0 < len(row) < 5:
                raise DataError(f"{where}: {len(row)} numbers", hint="class, x, y, width, height")
            reading.notes.add("a polygon or turned box, not a box; left out", where)
            continue
        number = row[0]
        if (
            not 0 <= number < math.inf
            or number != int(number)
            or (described.names and number >= len(described.names))
        ):
            raise DataError(
                f"{where}: class {number:g}", hint=f"there are {len(described.names)} names, from 0"
            )
        if not all(-1 <= value <= 2 for value in row[1:5]):
            raise DataError(f"{where}: {row[1:5]}", hint="YOLO numbers are fractions of the image")
        height, width = reading.size_of(written, where, video=False)
        video.set_size(width, height, where)
        x, y, w, h = row[1] * width, row[2] * height, row[3] * width, row[4] * height
        name = described.names[int(number)] if described.names else f"class {int(number)}"
        video.add(0, (x - w / 2, y - h / 2, x + w / 2, y + h / 2), columns.label(name))


def _note_unlabelled(labelled: dict[Path, set[str]], reading: ReadContext) -> None:
    """Count the images beside labelled ones that have no label file."""
    for folder, names in labelled.items():
        alone = sorted(
            path.name
            for path in media_files(folder)
            if path.parent == folder and path.name not in names
        )
        reading.notes.add(
            "an image without a label file; not looked at, left out",
            str(folder / alone[0]) if alone else "",
            len(alone),
        )
