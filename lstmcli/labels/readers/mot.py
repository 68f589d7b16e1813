"""MOTChallenge: folders with `gt/gt.txt` next to `img1/` or a video.

Columns: frame, id, left, top, width, height, flag, then class and visibility (MOT16, 17, 20) or
x, y, z (MOT15); frames from 1; flag 0 means that the row is not considered. Milan et al. 2016,
https://arxiv.org/abs/1603.00831, tables 3 and 6; MOT20: https://arxiv.org/abs/2003.09003. Frames
count from 1; the pixels of boxes are read and written as they stand, from 0, as CVAT, Datumaro and
the trackers do. Frames may be written as 1.0 or 1e+00, as NumPy does.
Class 1 is the target; the MOTChallenge evaluation kit takes detections on classes 2, 7, 8, 12 (and
MOT20's 13, crowd) for neither right nor wrong, and knows nothing of the others. CVAT writes class
names into `gt/labels.txt` (cvat/apps/dataset_manager/formats/mot.py), the class column counts them
from 1.
"""

from __future__ import annotations

import configparser
import math
import re
from pathlib import Path

from lstmcli.core.errors import DataError
from lstmcli.core.media_files import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from lstmcli.core.types import LabelSet
from lstmcli.labels.builder import LabelSetBuilder, VideoLabelsBuilder
from lstmcli.labels.context import ReadContext
from lstmcli.labels.mot_rows import corners, frame_of
from lstmcli.labels.plausibility import base_hint
from lstmcli.labels.readers.json_file import read_text
from lstmcli.labels.readers.sniff import FileSniff

Row = tuple[float, ...]

_NEITHER = frozenset({2, 7, 8, 12, 13})
_PEDESTRIANS = re.compile(
    r"(?i)^(mot\d\d|tud|pets|eth|adl|kitti|venice|avg|bahnhof|sunnyday|town|dancetrack|crowdhuman)"
)
# possessive quantifiers: aligned columns of numbers must not be divided in every possible way
_SIDE = r"-?(?:\d++(?:\.\d*+)?|\.\d++)(?:e[-+]?\d++)?"
_ROW = re.compile(rf"^{_SIDE}(?:(?:\s*+,\s*+|\s++){_SIDE}){{6,10}}$", re.IGNORECASE)


SUFFIXES = (".txt",)
DROPS: tuple[str, ...] = (
    "rows with flag 0: an ignored region",
    "distractors of MOTChallenge sets of pedestrians: an ignored region",
    "vehicles, bicycles and occluders of such sets: left out",
    "an eighth column of ten: taken for the class",
)
"""Content that the reader drops or converts; each case is counted as a warning."""
NOT_READ = "scores, visibility, world coordinates (MOT15)"
"""Details beside the boxes that are not read, and not counted."""


def sniff(sniffed: FileSniff) -> bool:
    """Return whether the file holds rows of 7 to 11 numbers, frame and id first."""
    path = sniffed.path
    if path.name == "gt.txt" and path.parent.name == "gt" and not sniffed.lines:
        return True
    if path.suffix.lower() != ".txt" or path.parent.name == "det" or not sniffed.lines:
        return False
    rows = [line for line in sniffed.lines if not line.startswith("#")]
    if not rows or not all(_ROW.match(row) for row in rows):
        return False
    if not all(float(part).is_integer() for row in rows for part in _split(row)[:2]):
        return False
    return 7 <= len(_split(rows[0])) <= 11 and (path.parent.name == "gt" or "," in rows[0])


def root_of(path: Path) -> Path:
    """Return the folder of the sequence for a `gt/gt.txt`, otherwise the file."""
    return path.parent.parent if path.name == "gt.txt" and path.parent.name == "gt" else path


def read(source: Path, context: ReadContext) -> LabelSet:
    """Return the labels of one sequence."""
    gt = source / "gt" / "gt.txt" if source.is_dir() else source
    folder = root_of(gt)
    folder = folder if folder.is_dir() else folder.parent
    rows = _rows(gt)
    info = _sequence_info(folder)
    name = info.get("name") or (folder.name if gt.name == "gt.txt" else gt.stem)
    columns = LabelSetBuilder(context.warnings, gt)
    video = columns.video(name)
    _medium(video, info, folder, own_folder=gt.parent.name == "gt")
    _boxes(rows, columns, video, _names_beside(gt))
    last = max((int(row[0]) for row in rows), default=0)
    video.mark_annotated_until(max(last, video.frame_count or 0), str(gt))
    return columns.build()


def _split(line: str) -> list[str]:
    return [part for part in re.split(r"[,\s]+", line.strip()) if part]


def _rows(path: Path) -> list[Row]:
    rows = []
    for n, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        where = f"{path}, line {n}"
        try:
            row = tuple(float(part) for part in _split(line))
        except ValueError:
            raise DataError(f"{where}: {line[:60]!r}", hint="MOT rows are numbers") from None
        if len(row) < 6 or not all(map(math.isfinite, row)):
            raise DataError(
                f"{where}: {len(row)} numbers", hint="frame, id, left, top, width, height, flag ..."
            )
        frame_of(row, where)
        if row[4] < 0 or row[5] < 0:
            raise DataError(
                f"{where}: a box of {row[4]:g}x{row[5]:g}", hint="width and height are positive"
            )
        rows.append(row)
    return rows


def _sequence_info(folder: Path) -> dict[str, str]:
    path = folder / "seqinfo.ini"
    if not path.is_file():
        return {}
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(read_text(path), source=str(path))
    except configparser.Error as error:
        raise DataError(
            f"{path}: {error.message.splitlines()[0]}", hint="an INI file with [Sequence]"
        ) from None
    section = dict(parser["Sequence"]) if "Sequence" in parser else {}
    # "%" is doubled where the writer minds Python's own reader, and single elsewhere
    return {key: value.replace("%%", "%") for key, value in section.items()}


def _number(info: dict[str, str], key: str, path: Path) -> float | None:
    if not info.get(key, "").strip():
        return None
    try:
        number = float(info[key])
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number >= 0):
        raise DataError(f"{path}: {key}={info[key]}", hint=f"{key} is a positive number")
    return number or None


def _medium(
    video: VideoLabelsBuilder, info: dict[str, str], folder: Path, *, own_folder: bool
) -> None:
    path = folder / "seqinfo.ini"
    video.rate = _number(info, "frameRate", path)
    length = _number(info, "seqLength", path)
    if length is not None:
        video.frame_count = video.check_frame(int(length) - 1, str(path)) + 1
    width, height = _number(info, "imWidth", path), _number(info, "imHeight", path)
    video.set_size(width or 0, height or 0, str(path))
    image_folder = info.get("imDir", "img1")
    suffix = Path(image_folder).suffix.lower()
    images = [] if suffix in VIDEO_SUFFIXES else _images(folder / image_folder)
    if images and own_folder:
        for frame, image in _numbered(images):
            video.image(frame, f"{image_folder}/{image}")
        return
    films = sorted(p.name for p in folder.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES)
    if suffix in VIDEO_SUFFIXES and image_folder in films:
        video.media = image_folder
    elif own_folder and len(films) == 1:
        video.media = films[0]
    else:
        video.media = image_folder if suffix in VIDEO_SUFFIXES else ""


def _images(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    return sorted(p.name for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)


def _numbered(images: list[str]) -> list[tuple[int, str]]:
    """Return the images with the frames of their numbers (from 1), or in order without numbers."""
    numbers = [re.search(r"(\d+)$", Path(image).stem) for image in images]
    if all(numbers):
        frames = [int(number.group(1)) - 1 for number in numbers if number]
        if min(frames) >= 0 and len(set(frames)) == len(frames) and max(frames) < 10 * len(frames):
            return list(zip(frames, images, strict=True))
    return list(enumerate(images))


def _has_classes(rows: list[Row]) -> bool:
    """Return whether the eighth column is a class.

    With eight and nine columns it is. MOT15 has ten columns and world coordinates (or -1) in the
    last three; where the eighth is a whole number from 0, the ninth a share and the tenth the same
    in every row, they are class, visibility and an unused column.
    """
    if any(len(row) in {8, 9} for row in rows):
        return True
    long = [row for row in rows if len(row) >= 10]
    return (
        bool(long)
        and all(row[7].is_integer() and 0 <= row[7] <= 10_000 for row in long)
        and all(-1 <= row[8] <= 1 for row in long)
        and len({row[9:] for row in long}) == 1
    )


def _of_pedestrians(rows: list[Row], name: str) -> bool:
    if _PEDESTRIANS.match(name):
        return True
    return _has_classes(rows) and any(row[6] == 0 and int(row[7]) in _NEITHER for row in rows)


def _names_beside(path: Path) -> list[str]:
    for file in (path.parent / "labels.txt", path.parent / "classes.txt"):
        if file.is_file():
            return [line.strip() for line in read_text(file).splitlines() if line.strip()]
    return []


def _boxes(
    rows: list[Row], columns: LabelSetBuilder, video: VideoLabelsBuilder, names: list[str]
) -> None:
    """Add the rows; the class is written next to the file, or is the data set's own target."""
    has_classes = _has_classes(rows)
    of_pedestrians = not names and _of_pedestrians(rows, video.name)
    target = "pedestrian" if of_pedestrians else "object"
    numbers = {int(row[7]) for row in rows if has_classes and len(row) > 7 and row[6] != 0}
    several = len(numbers - {-1}) > 1
    if numbers - {-1} and any(len(row) >= 10 for row in rows):
        columns.warnings.add(
            "the eighth of ten columns is taken for the class, the ninth for the visibility",
            columns.source,
        )
    for name in names:
        columns.label(name)
    columns.note_same_names(names)
    for n, row in enumerate(rows):
        ignore = len(row) > 6 and row[6] == 0
        number = int(row[7]) if has_classes and len(row) > 7 and row[7] != -1 else 1
        name = target
        if names:
            if not 1 <= number <= len(names):
                raise DataError(
                    f"{columns.source}, row {n + 1}: class {number}",
                    hint=f"labels.txt: {base_hint(numbers - {-1}, len(names), base=1)}",
                )
            name = names[number - 1]
        elif of_pedestrians and number not in {1, -1} and number not in _NEITHER:
            columns.warnings.add(
                "a row of MOT that is no target (vehicle, bicycle, occluder); left out",
                columns.source,
            )
            continue
        elif of_pedestrians:
            ignore = ignore or number in _NEITHER
        elif several:
            name = f"class {number}"
        if ignore:
            why = (
                "a row with flag 0"
                if len(row) > 6 and row[6] == 0
                else "a distractor of MOTChallenge"
            )
            columns.warnings.add(f"{why}; an ignored region", columns.source)
        frame = video.check_frame(frame_of(row, columns.source), columns.source)
        video.add(
            frame,
            corners(row),
            columns.label(name),
            track=video.track(int(row[1])),
            ignore=ignore,
        )
