"""CSV with a header, as many tutorials, VoTT, Kaggle and our own `detect --write csv` write it.

Headerless CSV of keras-retinanet is read too.

Columns are known by their names, see `_COLUMNS`; their order is free. `width` and `height` are of
the box where there is no right edge, of the picture otherwise (datitran/raccoon_dataset).
keras-retinanet (README, "CSV datasets"): path, x1, y1, x2, y2, class; empty cells say that the
image is empty. A box of four zeros says the same (weecology/DeepForest). Frames that a table does
not mention are unannotated. Of a film that is found, seconds in a column place the rows; `split` or
`subset` divides the set.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from lstmcli.core.errors import DataError
from lstmcli.core.media_files import IMAGE_SUFFIXES
from lstmcli.core.names import as_path, stem_of
from lstmcli.core.types import LabelSet
from lstmcli.labels.builder import LabelSetBuilder, VideoLabelsBuilder
from lstmcli.labels.context import ReadContext
from lstmcli.labels.division import part_of_folder
from lstmcli.labels.readers.json_file import read_text
from lstmcli.labels.readers.sniff import FileSniff

_COLUMNS = {
    "image": "filename file_name image image_path image_name img path file imageid image_id",
    "video": "video video_name videoname video_id video_path",
    "frame": "frame frame_id frame_index frame_number frameindex frame_no",
    "class": "class label label_name labelname class_name category species cell_type object name",
    "track": "track_id trackid track object_id instance_id",
    "x1": "x1 xmin x_min left xtl bbox_x1 x",
    "y1": "y1 ymin y_min top ytl bbox_y1 y",
    "x2": "x2 xmax x_max right xbr bbox_x2",
    "y2": "y2 ymax y_max bottom ybr bbox_y2",
    "w": "w box_width bbox_width bbox_w width",
    "h": "h box_height bbox_height bbox_h height",
    "bbox": "bbox box bounding_box",
    "size_w": "image_width img_width width",
    "size_h": "image_height img_height height",
    "time": "time time_s seconds timestamp_s",
    "split": "split subset set partition",
}
SLACK_S = 0.5
"""Seconds by which a time may lie before the first frame or after the last."""
SLIPS = 0.1
"""More boxes than this share that are no corners are no slips of the pen."""
_COMMA = re.compile(r"-?\d+,\d+")
_NUMBER = re.compile(r"^\s*-?\d+(\.\d+)?([eE][-+]?\d+)?\s*$")


SUFFIXES = (".csv", ".tsv", ".txt")
DROPS: tuple[str, ...] = (
    "rows of four zeros or empty cells: an empty picture",
    "rows without a class: the class 'object'",
    "decimal commas: taken for points",
    "four numbers without names, many of which are no corners: taken for x, y, width, height",
)
"""Content that the reader drops or converts; each case is counted as a warning."""
NOT_READ = "scores and columns that are not known"
"""Details beside the boxes that are not read, and not counted."""


def sniff(sniffed: FileSniff) -> bool:
    """Return whether the first line names the columns of boxes, or is a row of keras-retinanet."""
    if sniffed.path.suffix.lower() not in {".csv", ".tsv", ".txt"} or not sniffed.lines:
        return False
    columns = _columns(_cells(sniffed.lines[0]))
    return columns is not None and (sniffed.path.suffix.lower() != ".txt" or columns.headless)


def root_of(path: Path) -> Path:
    """Return the file: it stands alone."""
    return path


@dataclass(frozen=True, slots=True)
class _Columns:
    """Index of each column by its meaning."""

    at: dict[str, int]
    headless: bool

    def text(self, row: Sequence[str], kind: str) -> str:
        column = self.at.get(kind, -1)
        return row[column].strip() if 0 <= column < len(row) else ""


def _delimiter(line: str) -> str:
    return max(",;\t", key=line.count)


def _cells(line: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=_delimiter(line)), [])
    except csv.Error:
        return []


def _columns(first: list[str]) -> _Columns | None:
    names = [re.sub(r"[\s-]+", "_", name.strip().strip('"').lower()) for name in first]
    at: dict[str, int] = {}
    for kind, known in _COLUMNS.items():
        for name in known.split():
            if name in names:
                at[kind] = names.index(name)
                break
    boxed = {"x1", "y1", "x2", "y2"} <= at.keys() or {"x1", "y1", "w", "h"} <= at.keys()
    if (boxed or "bbox" in at) and ("image" in at or "frame" in at):
        if {"x2", "y2"} <= at.keys():
            at.pop("w", None)
            at.pop("h", None)
        else:
            at = {k: v for k, v in at.items() if v not in {at.get("w"), at.get("h")} or k in "wh"}
        return _Columns(at, headless=False)
    return _headless(first)


def _headless(first: list[str]) -> _Columns | None:
    if not first or as_path(first[0]).suffix.lower() not in IMAGE_SUFFIXES:
        return None
    numeric = [bool(_NUMBER.match(cell)) for cell in first]
    sides = ("x1", "y1", "x2", "y2")
    if len(first) in {5, 6} and (all(numeric[1:5]) or not any(cell for cell in first[1:5])):
        at = {"image": 0, **{side: n + 1 for n, side in enumerate(sides)}}
        return _Columns(at | ({"class": 5} if len(first) == 6 else {}), headless=True)
    if len(first) == 6 and all(numeric[2:6]):
        at = {"image": 0, "class": 1, **{side: n + 2 for n, side in enumerate(sides)}}
        return _Columns(at, headless=True)
    return None


def read(source: Path, context: ReadContext) -> LabelSet:
    """Return the labels of a table."""
    text = read_text(source)
    first = text.partition("\n")[0]
    cells = _cells(first.rstrip("\r"))
    at = _columns(cells)
    if at is None:
        raise DataError(
            f"{source}, line 1: {first[:60]!r}",
            hint="name the columns, as image,class,x1,y1,x2,y2 or video,frame,class,x1,y1,x2,y2",
        )
    _check_header(cells, at, f"{source}, line 1")
    delimiter = _delimiter(first)
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    rows: list[tuple[int, list[str]]] = []
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append((reader.line_num, row))
    except csv.Error as error:
        raise DataError(f"{source}, line {reader.line_num}: {error}", hint="no CSV") from None
    if not at.headless:
        rows = rows[1:]
    if delimiter != ",":
        rows = [(n, _with_points(row, at, context, f"{source}, line {n}")) for n, row in rows]
    boxes = [_box(row, at, f"{source}, line {n}") for n, row in rows]
    if ("bbox" in at.at or at.headless) and _are_sides(boxes, context, source):
        boxes = [b and [b[0], b[1], b[0] + b[2], b[1] + b[3]] for b in boxes]
    columns = LabelSetBuilder(context.warnings, source)
    fractions, timed = _are_fractions(boxes), _timed(rows, at, context)
    for (n, row), box in zip(rows, boxes, strict=True):
        where = f"{source}, line {n}"
        video, frame, medium = _spot(row, at, columns, where, context, timed)
        video.split = part_of_folder(at.text(row, "split")) or video.split
        if box is None:
            context.warnings.add("a row without a box; its picture is empty", where)
            continue
        name = at.text(row, "class")
        if not name:
            context.warnings.add("a row without a class; called 'object'", where)
        if fractions:
            height, width = context.size_of(medium, where, video="video" in at.at)
            video.set_size(width, height)
            box = [box[0] * width, box[1] * height, box[2] * width, box[3] * height]
        track = at.text(row, "track")
        video.add(
            frame,
            box,
            columns.label(name),
            track=video.track(track) if track and track != "-1" else -1,
        )
    return columns.build()


def _check_header(cells: Sequence[str], at: _Columns, where: str) -> None:
    """Refuse a table that names a column of the boxes twice."""
    names = [] if at.headless else [cell.strip().lower() for cell in cells]
    twice = next((n for n in at.at.values() if names.count(names[n]) > 1), None) if names else None
    if twice is not None:
        raise DataError(
            f"{where}: the column {cells[twice].strip()!r} is there twice",
            hint="give each column a name of its own, as image_width and width",
        )


def _with_points(row: list[str], at: _Columns, context: ReadContext, where: str) -> list[str]:
    """Return a row whose numbers have decimal points; spreadsheets of many lands write commas."""
    columns = [at.at[kind] for kind in ("x1", "y1", "x2", "y2", "w", "h") if kind in at.at]
    commas = [n for n in columns if n < len(row) and _COMMA.fullmatch(row[n].strip())]
    if commas:
        context.warnings.add("a row with decimal commas; they are taken for points", where)
    return [cell.replace(",", ".") if n in commas else cell for n, cell in enumerate(row)]


def _are_sides(boxes: Sequence[list[float] | None], context: ReadContext, source: Path) -> bool:
    """Return whether unnamed numbers are x, y, width, height, because many are no corners.

    Sizes may look like corners where objects are large or far to the left, corners never like
    sizes, but for slips. A box without area says nothing.
    """
    with_area = [box for box in boxes if box and box[2] != box[0] and box[3] != box[1]]
    inverted = sum(box[2] < box[0] or box[3] < box[1] for box in with_area)
    if inverted <= SLIPS * len(with_area):
        return False
    context.warnings.add(
        "four numbers without names, many of which are no corners; taken for x, y, width, height",
        str(source),
        len(with_area) - inverted,
    )
    return True


def _are_fractions(boxes: Sequence[list[float] | None]) -> bool:
    sides = [side for box in boxes if box for side in box]
    return bool(sides) and max(sides) <= 1 and min(sides) >= 0 and any(s % 1 for s in sides)


def _box(row: list[str], at: _Columns, where: str) -> list[float] | None:
    """Return x1, y1, x2, y2; None where the row says that there is nothing."""
    if "bbox" in at.at and "x1" not in at.at:
        texts = re.split(r"[,\s]+", at.text(row, "bbox").strip("[]() "))
    else:
        kinds = ("x1", "y1", "x2", "y2") if "x2" in at.at else ("x1", "y1", "w", "h")
        texts = [at.text(row, kind) for kind in kinds]
    if not any(texts):
        return None
    try:
        box = [float(text) for text in texts]
    except ValueError:
        box = [math.nan]
    if len(box) != 4 or not all(map(math.isfinite, box)):
        raise DataError(f"{where}: the box {texts}", hint="four numbers belong there")
    if not any(box):
        return None
    if "x2" not in at.at and "x1" in at.at:
        box = [box[0], box[1], box[0] + box[2], box[1] + box[3]]
    return box


def _timed(rows: Sequence[tuple[int, list[str]]], at: _Columns, context: ReadContext) -> set[str]:
    """Return the videos whose rows are placed by seconds: the film is there and holds them all."""
    if not {"time", "video"} <= at.at.keys() or context.label_rate is not None:
        return set()
    spans: dict[str, tuple[float, float]] = {}
    for _, row in rows:
        medium, text = at.text(row, "video"), at.text(row, "time")
        seconds = float(text) if _NUMBER.match(text) else math.inf
        low, high = spans.get(medium, (seconds, seconds))
        spans[medium] = min(low, seconds), max(high, seconds)
    timed = set()
    for medium, (low, high) in spans.items():
        there = bool(medium) and context.finder.find(medium, video=True) is not None
        times = context.times_of(medium) if there else None
        if times is not None and low >= -SLACK_S and high <= times[-1] + SLACK_S:
            timed.add(medium)
        elif times is not None:
            text = "times that are no seconds of the film; frames are taken by number"
            context.warnings.add(text, medium)
    return timed


def _spot(
    row: list[str],
    at: _Columns,
    columns: LabelSetBuilder,
    where: str,
    context: ReadContext,
    timed: Collection[str],
) -> tuple[VideoLabelsBuilder, int, str]:
    frame_text = at.text(row, "frame")
    image, medium = at.text(row, "image"), at.text(row, "video")
    if frame_text and (medium or not image):
        try:
            number = float(frame_text)
        except ValueError:
            number = math.nan
        if not number == number // 1:
            raise DataError(
                f"{where}: frame {frame_text!r}", hint="frames are whole numbers from 0"
            )
        video = columns.video(
            medium, stem_of(medium) if medium else stem_of(Path(columns.source).stem)
        )
        frame = video.check_frame(int(number), where)
        seconds = at.text(row, "time")
        if medium in timed:
            frame = context.frame_at(medium, float(seconds), where)
            video.placed_by_time = True
        video.media = medium
        video.mark_annotated((frame,))
        if image:
            video.image(frame, image, where)
    else:
        if not image:
            raise DataError(f"{where}: no image", hint="every row names its image")
        if not as_path(image).suffix:
            image = f"{image}.jpg"
        video, frame, medium = columns.still(image, image), 0, image
    width, height = at.text(row, "size_w"), at.text(row, "size_h")
    if _NUMBER.match(width) and _NUMBER.match(height):
        video.set_size(float(width), float(height), where)
    return video, frame, medium
