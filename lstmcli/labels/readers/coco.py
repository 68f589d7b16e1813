"""COCO and its relatives with videos: CocoVID (mmtracking), TAO, YouTube-VIS.

COCO: https://cocodataset.org/#format-data (`bbox` is x, y, width, height; `iscrowd` is ignored in
evaluation, cocoapi cocoeval.py). CocoVID: mmtracking docs/en/dataset.md (`videos`, `images` with
`video_id` and `frame_id` from 0, `instance_id`). TAO: `frame_index` in the video, `track_id`,
https://github.com/TAO-Dataset/tao/blob/master/docs/annotations.md. YouTube-VIS: `bboxes` with one
entry or null a frame, https://github.com/youtubevos/cocoapi. Ids are compared as texts, because
exporters write `image_id` as a text where `id` is a number.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from lstmcli.core.errors import DataError
from lstmcli.core.types import LabelSet
from lstmcli.labels.builder import (
    MOST_BOXES,
    LabelSetBuilder,
    VideoLabelsBuilder,
    is_video,
    stem_of,
)
from lstmcli.labels.media import ReadContext
from lstmcli.labels.readers.json_file import Node, load_json
from lstmcli.labels.readers.sniff import FileSniff


def sniff(sniffed: FileSniff) -> bool:
    """Return whether the file tells of images or videos, annotations and categories."""
    keys = sniffed.keys
    listed = "images" in keys and bool({"annotations", "categories", "file_name"} & keys)
    filmed = "videos" in keys and bool({"categories", "file_names"} & keys)
    # Of a large file only the ends are seen, and they may lie within the lists.
    inside = {"image_id", "category_id", "bbox"} <= keys and sniffed.text.lstrip().startswith("{")
    return sniffed.is_json and (listed or filmed or inside)


def root_of(path: Path) -> Path:
    """Return the file: it stands alone."""
    return path


def read(source: Path, reading: ReadContext) -> LabelSet:
    """Return the labels; images without a video become one-frame videos."""
    rows = _Rows()
    top = load_json(source, hook=rows.take)
    if rows.problem:
        raise DataError(
            f"{source}: {rows.problem}", hint="a bbox is [x, y, width, height] in pixels"
        )
    if not top.is_object():
        raise DataError(f"{source}: no object at the top", hint="COCO has images and annotations")
    columns = LabelSetBuilder(reading.notes, source)
    labels = {}
    for category in top.rows_of("categories"):
        name = category.get("name") or category["id"]
        labels[category["id"].text()] = columns.label(name.text())
    categories = _Categories(labels, columns)
    spots, videos = _frames(top, columns)
    reading.notes.add("an annotation without a bbox; left out", str(source), rows.without_box)
    left = sum(item is not None for item in _listed(top, "annotations"))
    reading.notes.add("an annotation that tells no image or no box; left out", str(source), left)
    for row in rows.boxes:
        spot = spots.get(row.image)
        if spot is None:
            reading.notes.add(
                "an annotation of an image that is not listed; left out",
                f"{source}, image_id {row.image}",
            )
            continue
        video, frame = spot
        video.add(
            frame,
            (row.x, row.y, row.x + row.width, row.y + row.height),
            categories.label(row.category),
            track=video.track(row.track),
            ignore=row.crowd,
        )
    for item in rows.sequences:
        _add_sequence(Node(item, f"{source}#annotations"), videos, categories)
    return columns.build()


def _listed(top: Node, key: str) -> list[Any]:
    found = top.get(key)
    return found.value if found is not None and isinstance(found.value, list) else []


class _Row(NamedTuple):
    image: str
    category: str
    x: float
    y: float
    width: float
    height: float
    track: int | str
    crowd: bool


class _Rows:
    """Annotations as rows, made while the file is parsed: a fifth of the memory of the objects."""

    def __init__(self) -> None:
        self.boxes: list[_Row] = []
        self.sequences: list[dict[str, Any]] = []
        self.without_box = 0
        self.problem = ""

    def take(self, item: dict[str, Any]) -> Any:
        """Keep an annotation as a row and forget the object; give back anything else."""
        if "bboxes" in item and "video_id" in item:
            self.sequences.append(item)
            return None
        if "image_id" not in item or ("file_name" in item and "bbox" not in item):
            return item
        box = item.get("bbox")
        if not box:
            self.without_box += 1
            return None
        track = item.get("instance_id", item.get("track_id"))
        try:
            x, y, width, height = box
            row = _Row(
                str(item["image_id"]),
                str(item.get("category_id", "")),
                float(x),
                float(y),
                float(width),
                float(height),
                track if isinstance(track, int | str) else -1,
                _is_yes(item.get("iscrowd")) or _is_yes(item.get("ignore")),
            )
        except (TypeError, ValueError, OverflowError):
            self.problem = self.problem or (
                f"annotation {item.get('id')}: the bbox is {str(box)[:60]}"
            )
            return None
        self.boxes.append(row)
        if len(self.boxes) > MOST_BOXES and not self.problem:
            self.problem = f"more than {MOST_BOXES} annotations"
        return None


def _is_yes(value: object) -> bool:
    """Return whether a flag is set; some exporters write it as a text."""
    return bool(value) and str(value).strip().lower() not in {"", "0", "0.0", "false", "no", "none"}


class _Categories:
    """Class indices by category id; an id that nobody declared becomes a class of its own."""

    def __init__(self, labels: dict[str, int], columns: LabelSetBuilder) -> None:
        self._labels = labels
        self._columns = columns

    def label(self, category: str) -> int:
        if not category:
            self._columns.notes.add(
                "an annotation without a category_id; called 'object'", self._columns.place
            )
            return self._columns.label("object")
        if category not in self._labels:
            self._columns.notes.add(
                "a category_id that is not among the categories; named by its number",
                f"{self._columns.place}, category_id {category}",
            )
            self._labels[category] = self._columns.label(f"category {category}")
        return self._labels[category]


Spots = dict[str, tuple[VideoLabelsBuilder, int]]


def _frames(top: Node, columns: LabelSetBuilder) -> tuple[Spots, dict[str, VideoLabelsBuilder]]:
    """Return where each image lies (its video and frame), and the videos by id."""
    videos: dict[str, VideoLabelsBuilder] = {}
    for item in top.rows_of("videos"):
        videos[item["id"].text()] = _video(item, columns)
    spots: Spots = {}
    next_frame: dict[str, int] = {}
    for item in top.rows_of("images"):
        image = item["id"].text()
        file_name = item.get("file_name", "coco_url", "flickr_url")
        name = file_name.text() if file_name is not None else ""
        of_video = item.get("video_id")
        if of_video is None:
            video, frame = columns.still(f"image {image}", name or image), 0
            told = item.get("name")
            video.name = told.text() if told is not None else video.name
        else:
            video = videos.setdefault(
                of_video.text(), columns.video(f"video {of_video.text()}", of_video.text())
            )
            told = item.get("frame_index", "frame_id")
            frame = told.whole() if told is not None else next_frame.get(of_video.text(), 0)
            next_frame[of_video.text()] = frame + 1
            video.check_frame(frame, item.place)
            video.look((frame,))
            if name and not video.is_file:
                video.image(frame, name, item.place)
        if video.size_hw is None and "width" in item and "height" in item:
            video.set_size(item["width"].number(), item["height"].number(), item.place)
        spots[image] = video, frame
    return spots, videos


def _video(item: Node, columns: LabelSetBuilder) -> VideoLabelsBuilder:
    number = item["id"].text()
    told = item.get("file_name")
    medium = told.text() if told is not None else ""
    name = item.get("name")
    video = columns.video(
        f"video {number}", name.text() if name is not None else stem_of(medium or number)
    )
    video.media = medium if is_video(medium) else ""
    video.is_file = is_video(medium) or (told is not None and not medium)
    if "width" in item and "height" in item:
        video.set_size(item["width"].number(), item["height"].number(), item.place)
    rate, length = item.get("fps", "frame_rate"), item.get("length")
    video.rate = rate.number() if rate is not None and rate.number() > 0 else None
    if length is not None and length.whole() > 0:
        video.frame_count = video.check_frame(length.whole() - 1, item.place) + 1
    for frame, image in enumerate(item.rows_of("file_names")):
        video.image(frame, image.text())
        video.look((frame,))
    return video


def _add_sequence(
    item: Node, videos: dict[str, VideoLabelsBuilder], categories: _Categories
) -> None:
    """Add an object of YouTube-VIS: one box or null for each frame of its video."""
    number = item["video_id"].text()
    if number not in videos:
        categories.label(item["category_id"].text())
        raise DataError(
            f"{item.place}: an object of video {number}, which is not listed",
            hint="export the file again",
        )
    video = videos[number]
    label = categories.label(item["category_id"].text())
    track = video.track(item["id"].text())
    crowd = item.get("iscrowd")
    for frame, box in enumerate(item["bboxes"].rows()):
        if not box.value:
            continue
        x, y, width, height = box.numbers(4)
        video.check_frame(frame, item.place)
        video.add(
            frame,
            (x, y, x + width, y + height),
            label,
            track=track,
            ignore=crowd is not None and crowd.boolean(),
        )
