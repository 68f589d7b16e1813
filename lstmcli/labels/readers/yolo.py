"""YOLO: a text file an image, with `data.yaml` (Ultralytics), `obj.data` (Darknet) or neither.

https://docs.ultralytics.com/datasets/detect and https://github.com/AlexeyAB/darknet: a line is
class, centre x, centre y, width, height as fractions of the image; longer lines are polygons or
turned boxes, of which the upright hull is taken as Ultralytics does, or a box with key points.
`images` in the path of an image becomes `labels` in the path of its text. An empty file says that
there is nothing; an image without a file is unannotated (Ultralytics takes it for background).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lstmcli.core.errors import DataError, MediaError
from lstmcli.core.types import LabelSet
from lstmcli.labels.builder import LabelSetBuilder, VideoLabelsBuilder, files_of
from lstmcli.labels.context import ReadContext, probe_size
from lstmcli.labels.media_finder import media_files
from lstmcli.labels.plausibility import base_hint
from lstmcli.labels.readers.json_file import read_text
from lstmcli.labels.readers.sniff import FileSniff
from lstmcli.labels.readers.yolo_description import (
    HIGHEST,
    IMAGE_FOLDERS,
    NAMES_FILES,
    YoloDescription,
    describe,
    film_frame,
    film_of,
)
from lstmcli.labels.readers.yolo_rows import Row, are_poses, is_dota
from lstmcli.labels.shapes import hull_of, pairs_of

_ROW = re.compile(r"^\d+(?:\.0)?(?:\s+-?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?){4,}$")
_NO_LABELS = re.compile(
    r"(?i)^(readme.*|license.*|classes|_darknet|obj|labels|names|train|valid?|test)$"
)
"""Names of other texts, unless there is an image of that name."""


SUFFIXES = (".txt", ".yaml", ".yml", ".data")
DROPS: tuple[str, ...] = (
    "polygons, turned boxes: the upright hull is kept",
    "key points behind a box: left out",
    "a sixth number behind a box (score or track id): left out",
    "difficult objects of DOTA: an ignored region",
    "label files whose image is not there: left out",
    "second label files of an image, texts without labels: left out",
    "images without a label file: unannotated",
)
"""Content that the reader drops or converts; each case is counted as a warning."""
NOT_READ = ""
"""Details beside the boxes that are not read, and not counted."""


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
    for folder in list(path.parents)[:HIGHEST]:
        for found in sorted(
            (*folder.glob("*.yaml"), *folder.glob("*.yml"), *folder.glob("*.data"))
        ):
            if sniff(FileSniff.of(found)):
                return found
        if any((folder / name).is_file() for name in NAMES_FILES):
            return folder
    return path.parent


def read(source: Path, context: ReadContext) -> LabelSet:
    """Return the labels of a data set; images become one-frame videos."""
    description = describe(source, context.warnings)
    columns = LabelSetBuilder(context.warnings, source, description.names)
    columns.note_same_names(description.names)
    taken: set[str] = set()
    unlabelled: dict[Path, set[str]] = {}
    files: list[_File] = []
    for folder, path in _label_files(description.roots, context):
        image, written = _image_of(path, folder, context)
        if image is not None and context.finder.find(written, video=False) is None:
            written = str(image.absolute())  # in a folder that only a list names
        key = str(image or written)
        if key in taken:
            context.warnings.add("a second label file of the same image; left out", str(path))
            continue
        rows = _rows(path, has_image=image is not None)
        if rows is None:
            context.warnings.add("a text file that holds no labels; left out", str(path))
            continue
        taken.add(key)
        files.append(_File(path, written, image, rows))
        if image is not None:
            unlabelled.setdefault(image.parent, set()).add(image.name)
    _add_files(files, description, columns, context)
    _note_unlabelled(unlabelled, context)
    return columns.build()


@dataclass(frozen=True, slots=True)
class _File:
    """A label file with its image, how that is written, and its rows with their lines."""

    path: Path
    written: str
    image: Path | None
    rows: list[tuple[int, Row]]


def _add_files(
    files: list[_File], description: YoloDescription, columns: LabelSetBuilder, context: ReadContext
) -> None:
    rows = [row for file in files for _, row in file.rows]
    classes = _Classes.of(description.names, rows)
    posed = description.key_points or are_poses(rows)
    if posed and not description.key_points:
        context.warnings.add(
            "rows of a box and key points, though no kpt_shape is stated; the box is taken",
            columns.source,
        )
    films = {str(name): film_of(row, columns, str(name)) for name, row in description.films.items()}
    there = any(file.image is not None for file in files)
    for file in files:
        inside = film_frame(file.path, films)
        size = None
        if inside is None and file.rows and file.image is not None:
            size = _readable_size(file.image, context)
            if size is None:
                continue
        lost = file.image is None and inside is None and there and context.size_hw is None
        if lost and file.rows:
            context.warnings.add("a label file whose image is not there; left out", str(file.path))
            continue
        if inside is not None:
            video, frame = films[inside[0]], inside[1]
            if file.image is not None:
                video.image(frame, file.written)
        else:
            video, frame = columns.still(file.written, file.written, str(file.path)), 0
            video.split = description.parts.of(file.image or Path(file.written))
            if size is not None:
                video.set_size(size[1], size[0])
        video.mark_annotated((frame,))
        for n, row in file.rows:
            where = f"{file.path}, line {n}"
            if video.size_hw is None:
                height, width = context.size_of(file.written, where, video=False)
                video.set_size(width, height, where)
            _add_row(row, video, frame, where, classes, columns, posed=posed)


def _readable_size(image: Path, context: ReadContext) -> tuple[int, int] | None:
    """Return (height, width) of an image; None where it cannot be read, which is noted."""
    try:
        return probe_size(image)
    except MediaError as error:
        context.warnings.add_broken(error.problem)
        return None


def _label_files(roots: Sequence[Path], context: ReadContext) -> Iterator[tuple[Path, Path]]:
    seen = set()
    for root in roots:
        base = root if root.is_dir() else root.parent
        files = files_of(root, ".txt", below=True) if root.is_dir() else [root]
        for path in sorted(files, key=_labels_first):
            if path.resolve() in seen or _is_other_text(path, base, context):
                continue
            if (
                context.within is not None
                and context.within.resolve() not in path.resolve().parents
            ):
                continue
            seen.add(path.resolve())
            yield base, path


def _is_other_text(path: Path, root: Path, context: ReadContext) -> bool:
    """Return whether a file is a list or a note by its name, and no image bears that name."""
    if not _NO_LABELS.match(path.stem):
        return False
    if _rows(path, has_image=False) is None:
        return True
    image, _ = _image_of(path, root, context)
    return image is None or image.stem != path.stem


def _labels_first(path: Path) -> tuple[bool, Path]:
    """Sort folders called labels before others, which may hold other things of the same images."""
    return not path.parent.name.lower().startswith("labels"), path


def _image_of(path: Path, root: Path, context: ReadContext) -> tuple[Path | None, str]:
    """Return the image of a label file, and how its path is written."""
    inside = path.relative_to(root)
    folders = list(inside.parts[:-1])
    for n in range(len(folders) - 1, -1, -1):
        if folders[n] in IMAGE_FOLDERS:
            folders[n] = IMAGE_FOLDERS[folders[n]]
            break
    wanted = Path(*folders, f"{path.stem}.jpg").as_posix()
    for folder in (root.joinpath(*folders), path.parent):
        found = context.finder.same_stem_in(folder, path.stem)
        if found is not None:
            return found, found.relative_to(root).as_posix()
    stated = _below_images(path)
    found = None if stated is None else context.finder.find(stated, video=False)
    if stated is not None and found is not None:
        return found, stated
    found = context.finder.find(wanted, video=False)
    return found, wanted


def _below_images(path: Path) -> str | None:
    """Return `images/val/1.jpg` for `labels/val/1.txt`, also where only `val` is read."""
    parts = path.absolute().parts
    for n in range(len(parts) - 2, max(0, len(parts) - 6), -1):
        if parts[n] in IMAGE_FOLDERS:
            folders = (IMAGE_FOLDERS[parts[n]], *parts[n + 1 : -1])
            return Path(*folders, f"{path.stem}.jpg").as_posix()
    return None


def _rows(path: Path, *, has_image: bool) -> list[tuple[int, Row]] | None:
    """Return the rows with their lines; None where the file holds none and belongs to no image."""
    rows: list[tuple[int, Row]] = []
    for n, line in enumerate(read_text(path).splitlines(), 1):
        parts = line.split()
        if not parts:
            continue
        if is_dota(parts):
            rows.append((n, tuple(parts)))
            continue
        try:
            rows.append((n, tuple(float(part) for part in parts)))
        except ValueError:
            if not has_image and not rows:
                return None
            raise DataError(
                f"{path}, line {n}: {line[:60]!r}", hint="YOLO rows are numbers"
            ) from None
    return rows


def _add_row(
    row: Row,
    video: VideoLabelsBuilder,
    frame: int,
    where: str,
    classes: _Classes,
    columns: LabelSetBuilder,
    *,
    posed: bool,
) -> None:
    assert video.size_hw is not None
    if isinstance(row[0], str):  # DOTA: eight sides in pixels, class name, difficulty
        hull = hull_of(pairs_of([float(side) for side in row[:8]]))
        label, ignore = columns.label(str(row[8])), str(row[-1]) == "1"
        if ignore:
            columns.warnings.add("a difficult object of DOTA; an ignored region", where)
        columns.add_shape(video, frame, hull, label, kind="turned box", where=where, ignore=ignore)
        return
    numbers = [float(value) for value in row]
    if len(numbers) < 5:
        raise DataError(f"{where}: {len(numbers)} numbers", hint="class, x, y, width, height")
    label = columns.label(classes.name(numbers[0], where))
    height, width = video.size_hw
    is_box = len(numbers) in {5, 6} or posed
    checked = numbers[1:5] if is_box else numbers[1:]
    if not all(-1 <= value <= 2 for value in checked):
        raise DataError(
            f"{where}: {numbers[1:5]}",
            hint="YOLO numbers are fractions of the image; are these pixels?",
        )
    if not is_box:
        points = [(x * width, y * height) for x, y in pairs_of(numbers[1:])]
        kind = "turned box" if len(numbers) == 9 else "polygon"
        columns.add_shape(video, frame, hull_of(points), label, kind=kind, where=where)
        return
    if posed and len(numbers) > 6:
        columns.warnings.add("key points behind a box; left out", where)
    elif len(numbers) > 5:
        columns.warnings.add("a sixth number behind a box; left out", where)
    x, y = numbers[1] * width, numbers[2] * height
    w, h = numbers[3] * width, numbers[4] * height
    video.add(frame, (x - w / 2, y - h / 2, x + w / 2, y + h / 2), label)


@dataclass(frozen=True, slots=True)
class _Classes:
    """The names of the classes, and which numbers the rows of the set use."""

    names: tuple[str, ...]
    used: frozenset[int]

    @classmethod
    def of(cls, names: tuple[str, ...], rows: Sequence[Row]) -> _Classes:
        numbers = {row[0] for row in rows if row and not isinstance(row[0], str)}
        return cls(names, frozenset(int(n) for n in numbers if math.isfinite(float(n))))

    def name(self, number: float, where: str) -> str:
        """Return the name of a class; DataError where there is none."""
        is_index = 0 <= number < math.inf and number == int(number)
        if not is_index or (self.names and number >= len(self.names)):
            hint = base_hint(self.used, len(self.names)) if self.names else "classes count from 0"
            raise DataError(f"{where}: class {number:g}", hint=hint)
        return self.names[int(number)] if self.names else f"class {int(number)}"


def _note_unlabelled(labelled: dict[Path, set[str]], context: ReadContext) -> None:
    """Count the images next to labelled ones that have no label file."""
    for folder, names in labelled.items():
        alone = sorted(
            path.name
            for path in media_files(folder)
            if path.parent == folder and path.name not in names
        )
        context.warnings.add(
            "an image without a label file; unannotated, left out",
            str(folder / alone[0]) if alone else "",
            len(alone),
        )
