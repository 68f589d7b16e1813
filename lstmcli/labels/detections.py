"""Detections with scores that another program, or `detect`, wrote: for comparisons.

Four formats are detected by content: JSON lines of `detect`, COCO results (a JSON list of
`image_id`, `category_id`, `bbox`, `score`), MOTChallenge results (a text file a video) and YOLO
text files with a score in the sixth column (a file a frame). Videos are matched with those of the
ground truth by name without folder and ending.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lstmcli.core.errors import DataError
from lstmcli.core.types import Detections, VideoLabels
from lstmcli.labels.mot_rows import corners, frame_of, label_of
from lstmcli.labels.readers.json_file import Node, parse_json, read_text

Row = tuple[tuple[float, float, float, float], float, int, int]
"""Box (x1, y1, x2, y2), score, class index, track (-1: none)."""
Rows = dict[str, dict[int, list[Row]]]

_FRAME_NUMBER = re.compile(r"^(.*?)[_-]?0*(\d+)$")


@dataclass(frozen=True, slots=True)
class DetectionSet:
    """Detections of a program in videos that have ground truth.

    Args:
        classes: class names; labels are indices into them.
        videos: name of a ground-truth video -> frame -> detections in pixels, best score first. A
            frame that is absent has none.
        unmatched: names in the file that no ground-truth video has.
    """

    classes: tuple[str, ...]
    videos: Mapping[str, Mapping[int, Detections]]
    unmatched: tuple[str, ...] = ()


def read_detections(
    path: Path, videos: Sequence[VideoLabels], classes: Sequence[str], *, images: Path | None = None
) -> DetectionSet:
    """Read a result file or a folder of them.

    Args:
        path: a `.jsonl`, a COCO results `.json`, a MOT `.txt`, or a folder of MOT or YOLO files.
        videos: of the ground truth.
        classes: names by number, for forms that write class numbers.
        images: the COCO ground-truth file that resolves the `image_id`s of COCO results.

    Raises:
        DataError: the form is not known, a row breaks its rules, or no video has a name of the
            ground truth.
    """
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder", hint="check the path")
    files = sorted(p for p in path.rglob("*.txt") if p.is_file()) if path.is_dir() else [path]
    names = _Names(videos)
    table = tuple(classes)
    if path.is_dir() and not files:
        lines = sorted(path.rglob("*.jsonl"))
        if not lines:
            raise DataError(
                f"{path}: no result file below it",
                hint="give JSON lines of `detect`, COCO results, MOT or YOLO text files",
            )
        table, rows = _json_lines(lines, names)
    elif path.suffix == ".jsonl":
        table, rows = _json_lines([path], names)
    elif path.suffix == ".json":
        table, rows = _coco_results(path, names, classes, images)
    elif path.is_dir() and _is_yolo(files):
        rows = _yolo(files, names)
    else:
        rows = _mot(files, names)
    if not any(rows.values()):
        raise DataError(
            f"{path}: none of its videos is one of the ground truth "
            f"({', '.join(sorted(names.unmatched)[:3]) or 'it is empty'})",
            hint="name the files as the videos: " + ", ".join(v.name for v in videos[:3]),
        )
    _check_labels(path, rows, len(table))
    return DetectionSet(
        table,
        {name: {frame: _detections(r) for frame, r in of.items()} for name, of in rows.items()},
        tuple(sorted(names.unmatched)),
    )


class _Names:
    """Resolves names of a result file to ground-truth videos."""

    def __init__(self, videos: Sequence[VideoLabels]) -> None:
        self.videos = {video.name: video for video in videos}
        self.unmatched: set[str] = set()
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        self._images: dict[str, tuple[str, int]] = {}
        for video in videos:
            for written in {video.name, video.media or ""} - {""}:
                self._by_stem[_stem(written)].append(video.name)
            for frame, image in enumerate(video.images):
                if image:
                    self._images[_stem(image)] = (video.name, frame)

    def video(self, written: str) -> str | None:
        """Return the video's name, None where there is none or several."""
        found = [written] if written in self.videos else sorted(set(self._by_stem[_stem(written)]))
        if len(found) == 1:
            return found[0]
        self.unmatched.add(written)
        return None

    def frame(self, written: str, *, first: int) -> tuple[str, int] | None:
        """Return video and frame of a name such as `clip_000012`, or of an image's own name."""
        stem = _stem(written)
        if stem in self._images:
            return self._images[stem]
        match = _FRAME_NUMBER.match(stem)
        name = self.video(match[1]) if match else None
        if match is None or name is None:
            self.unmatched.add(written)
            return None
        return name, int(match[2]) - first


def _stem(written: str) -> str:
    name = written.replace("\\", "/").rsplit("/", 1)[-1]
    return name.rsplit(".", 1)[0] if re.search(r"\.[A-Za-z0-9]{1,5}$", name) else name


def _detections(rows: list[Row]) -> Detections:
    worst = max((abs(value) for row in rows for value in (*row[0], row[2], row[3])), default=0)
    if not worst < 1 << 53:
        raise DataError(f"a box, class or track of {worst:g}", hint="export the results again")
    order = sorted(range(len(rows)), key=lambda i: -rows[i][1])
    return Detections(
        np.array([rows[i][0] for i in order], np.float32).reshape(-1, 4),
        np.array([rows[i][1] for i in order], np.float32),
        np.array([rows[i][2] for i in order], np.int64),
        np.array([rows[i][3] for i in order], np.int64),
    )


def _check_labels(path: Path, rows: Rows, classes: int) -> None:
    worst = max((r[2] for of in rows.values() for rs in of.values() for r in rs), default=-1)
    if worst >= classes:
        raise DataError(
            f"{path}: class number {worst}, there are {classes} names from 0",
            hint="give results of a model with the ground truth's classes",
        )


def _score(value: float, location: str) -> float:
    if not math.isfinite(value) or not 0 <= value <= 1:
        raise DataError(f"{location}: a score of {value:g}", hint="scores lie in 0 to 1")
    return value


def _json_lines(files: Iterable[Path], names: _Names) -> tuple[tuple[str, ...], Rows]:
    """Read JSON lines as `detect` writes them."""
    rows: Rows = defaultdict(lambda: defaultdict(list))
    classes: dict[str, int] = {}
    for path in files:
        for number, line in enumerate(read_text(path).splitlines(), start=1):
            if not line.strip():
                continue
            top = parse_json(line, f"{path}, line {number}")
            name = names.video(top["video"].text())
            if name is None:
                continue
            frame = rows[name][top["frame"].whole()]
            for found in top["detections"].rows():
                label = classes.setdefault(found["class"].text(), len(classes))
                track = found.get("track_id")
                x1, y1, x2, y2 = found["box"].numbers(4)
                score = _score(found["score"].number(), found.location)
                frame.append(
                    ((x1, y1, x2, y2), score, label, -1 if track is None else track.whole())
                )
    return tuple(classes), rows


def _coco_results(
    path: Path, names: _Names, classes: Sequence[str], images: Path | None
) -> tuple[tuple[str, ...], Rows]:
    """Read COCO results; image and category ids are those of the ground-truth file."""
    top = parse_json(read_text(path), str(path))
    if not top.is_list():
        raise DataError(f"{path}: no list of detections", hint="give COCO *results*, a JSON list")
    if images is None or images.suffix != ".json":
        raise DataError(
            f"{path}: COCO results hold image ids, which only their COCO ground truth resolves",
            hint="give that JSON file as DATA, or JSON lines with the videos' names",
        )
    gt = parse_json(read_text(images), str(images))
    categories = {c["id"].text(): c["name"].text() for c in gt.rows_of("categories")}
    frame_of_id = _coco_images(gt, names)
    rows: Rows = defaultdict(lambda: defaultdict(list))
    table = list(classes)
    for item in top.rows():
        category = item["category_id"].text()
        name = categories.get(category)
        if name is None:
            raise DataError(
                f"{item.location}: category_id {category} is not in {images.name}",
                hint="the results belong to another ground truth",
            )
        if name not in table:
            table.append(name)
        location = frame_of_id.get(item["image_id"].text())
        if location is None:
            names.unmatched.add(f"image {item['image_id'].text()}")
            continue
        x, y, width, height = item["bbox"].numbers(4)
        score = _score(item["score"].number(), item.location)
        track = item.get("track_id", "instance_id")
        rows[location[0]][location[1]].append(
            ((x, y, x + width, y + height), score, table.index(name), _track(track))
        )
    return tuple(table), rows


def _track(node: Node | None) -> int:
    return -1 if node is None else node.whole()


def _coco_images(gt: Node, names: _Names) -> dict[str, tuple[str, int]]:
    """Return video and frame of every image id."""
    of_video = {
        v["id"].text(): names.video((v.get("file_name") or v.get("name") or v["id"]).text())
        for v in gt.rows_of("videos")
    }
    frame_of_id: dict[str, tuple[str, int]] = {}
    for image in gt.rows_of("images"):
        number, video = image["id"].text(), image.get("video_id")
        name = of_video.get(video.text()) if video is not None else None
        frame = image.get("frame_index", "frame_id")
        if name is not None and frame is not None:
            frame_of_id[number] = (name, frame.whole())
            continue
        found = names.frame(image["file_name"].text(), first=0)
        if found is not None:
            frame_of_id[number] = found
    return frame_of_id


def _numbers(line: str, location: str) -> list[float]:
    try:
        values = [float(cell) for cell in re.split(r"[,\s]+", line.strip()) if cell]
    except ValueError:
        raise DataError(f"{location}: {line.strip()[:40]!r} is no row of numbers") from None
    if not all(math.isfinite(value) for value in values):
        raise DataError(f"{location}: a number that is not finite", hint="leave such rows out")
    return values


def _lines(path: Path) -> Iterable[tuple[str, str]]:
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if line.strip():
            yield f"{path}, line {number}", line


def _mot(files: Sequence[Path], names: _Names) -> Rows:
    """Read MOT results: frame from 1, id, x, y, width, height, score, class from 1 (optional)."""
    rows: Rows = defaultdict(lambda: defaultdict(list))
    for path in files:
        written = path.parent.parent.name if path.parent.name in ("gt", "det") else path.stem
        name = names.video(written)
        if name is None:
            continue
        for location, line in _lines(path):
            cells = _numbers(line, location)
            if len(cells) < 7:
                raise DataError(
                    f"{location}: {len(cells)} columns, a MOT result has 7 or more",
                    hint="frame, id, x, y, width, height, score",
                )
            score = _score(cells[6], location)
            row = (corners(cells), score, label_of(cells) or 0, int(cells[1]))
            rows[name][frame_of(cells, location)].append(row)
    return rows


def _is_yolo(files: Sequence[Path]) -> bool:
    """Return whether the first file with rows holds fractions in six or seven columns."""
    for path in files:
        for location, line in _lines(path):
            cells = _numbers(line, location)
            return len(cells) in (6, 7) and all(0 <= cell <= 1 for cell in cells[1:6])
    return False


def _yolo(files: Sequence[Path], names: _Names) -> Rows:
    """Read YOLO files with scores: class, cx, cy, width, height, score, track (optional).

    A file is named for its image, or for video and frame (`clip_12.txt`); the frames of a video
    count from 1 where no file says 0, as Ultralytics writes them.
    """
    rows: Rows = defaultdict(lambda: defaultdict(list))
    numbers = [int(match[2]) for p in files if (match := _FRAME_NUMBER.match(p.stem))]
    first = 0 if not numbers or min(numbers) == 0 else 1
    for path in files:
        spot = names.frame(path.name, first=first)
        if spot is None:
            continue
        name, frame = spot
        size_hw = names.videos[name].size_hw
        if size_hw is None:
            raise DataError(
                f"{path}: boxes are fractions of a picture whose size is not known",
                hint="give results in pixels (JSON lines, COCO or MOT)",
            )
        height, width = size_hw
        for location, line in _lines(path):
            cells = _numbers(line, location)
            if len(cells) not in (6, 7):
                raise DataError(
                    f"{location}: {len(cells)} columns, a YOLO result with a score has 6 or 7",
                    hint="write results with scores (save_conf=True in Ultralytics)",
                )
            label, cx, cy, w, h, score = cells[:6]
            box = (
                (cx - w / 2) * width,
                (cy - h / 2) * height,
                (cx + w / 2) * width,
                (cy + h / 2) * height,
            )
            track = int(cells[6]) if len(cells) == 7 else -1
            rows[name][frame].append((box, _score(score, location), int(label), track))
    return rows
