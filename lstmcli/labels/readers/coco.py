"""COCO and its relatives with videos: CocoVID (mmtracking), TAO, YouTube-VIS.

COCO: https://cocodataset.org/#format-data (`bbox` is x, y, width, height; `iscrowd` is ignored in
evaluation, cocoapi cocoeval.py). CocoVID: mmtracking docs/en/dataset.md (`videos`, `images` with
`video_id` and `frame_id` from 0, `instance_id`). TAO: `frame_index` in the video, `track_id`,
https://github.com/TAO-Dataset/tao/blob/master/docs/annotations.md. YouTube-VIS: `bboxes` with one
entry or null a frame, https://github.com/youtubevos/cocoapi. Ids are compared by value, because
exporters write `image_id` as a text or as 3.0 where `id` is 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lstmcli.core.errors import DataError
from lstmcli.core.limits import limit
from lstmcli.core.names import is_video, stem_of
from lstmcli.core.types import LabelSet
from lstmcli.labels.builder import LabelSetBuilder, VideoLabelsBuilder
from lstmcli.labels.context import ReadContext
from lstmcli.labels.division import part_of_folder
from lstmcli.labels.identity import id_key
from lstmcli.labels.readers.json_file import Node, load_json
from lstmcli.labels.readers.sniff import FileSniff
from lstmcli.labels.shapes import coco_hull, hull_of

SUFFIXES = (".json",)
DROPS: tuple[str, ...] = (
    "annotations without a bbox: the hull of segmentation or key points is kept",
    "annotations without any of them: an ignored region",
    "annotations of images that are not listed: left out",
    "annotations that name no image: left out",
    "annotations of categories that are not listed: a class named by the number",
    "annotations without a category: the class 'object'",
    "images listed twice under two ids: joined",
    "scores that are not above 0 and at most 1: left out; others are kept as soft labels",
)
"""Content that the reader drops or converts; each case is counted as a warning."""
NOT_READ = "attributes, areas, captions"
"""Details beside the boxes that are not read, and not counted."""


def sniff(sniffed: FileSniff) -> bool:
    """Return whether the file lists images or videos, annotations and categories."""
    keys = sniffed.keys
    listed = "images" in keys and bool({"annotations", "categories", "file_name"} & keys)
    filmed = "videos" in keys and bool({"categories", "file_names"} & keys)
    # Of a large file only the ends are seen, and they may lie within the lists.
    inside = {"image_id", "category_id", "bbox"} <= keys and sniffed.text.lstrip().startswith("{")
    return sniffed.is_json and (listed or filmed or inside)


def root_of(path: Path) -> Path:
    """Return the file: it stands alone."""
    return path


def read(source: Path, context: ReadContext) -> LabelSet:
    """Return the labels; images without a video become one-frame videos."""
    rows = _Rows()
    top = load_json(source, hook=rows.take)
    if rows.problem:
        hint = "a bbox is [x, y, width, height] in pixels"
        if "twice" in rows.problem:
            hint = "an id stands for one thing; export the file again, or number its annotations"
        raise DataError(f"{source}: {rows.problem}", hint=hint)
    if not top.is_object():
        raise DataError(f"{source}: no object at the top", hint="COCO has images and annotations")
    columns = LabelSetBuilder(context.warnings, source)
    labels, named = {}, {}
    for category in top.rows_of("categories"):
        name, number = (category.get("name") or category["id"]).text(), category["id"].text()
        columns.ids("category").add(number, name, repr(name), category.location)
        labels[id_key(number)] = columns.label(name)
        named[id_key(number)] = name
    columns.note_same_names(list(named.values()))
    categories = _Categories(labels, columns)
    spots, videos = _frames(top, columns)
    for image in rows.without_box:
        if image in spots:
            video, frame = spots[image]
            columns.add_shape(
                video, frame, None, 0, kind="annotation without a bbox", where=str(source)
            )
    context.warnings.add(
        "an annotation without a bbox; the hull of its segmentation or key points is taken",
        str(source),
        rows.hulls,
    )
    context.warnings.add(
        "a score that is not above 0 and at most 1; left out", str(source), rows.odd_scores
    )
    left = sum(item is not None for item in _listed(top, "annotations"))
    context.warnings.add("an annotation without image or box; left out", str(source), left)
    for row in rows.boxes:
        spot = spots.get(row.image)
        if spot is None:
            context.warnings.add(
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
            score=row.score,
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
    score: float


class _Rows:
    """Annotations as rows, made while the file is parsed: a fifth of the memory of the objects.

    Attributes:
        boxes: the rows.
        sequences: objects of YouTube-VIS.
        without_box: the image ids of annotations that no box surrounds.
        hulls: how many boxes are hulls of other shapes.
        odd_scores: how many scores are outside of 0..1.
        problem: the first annotation that cannot be read.
    """

    def __init__(self) -> None:
        self.boxes: list[_Row] = []
        self.sequences: list[dict[str, Any]] = []
        self.without_box: list[str] = []
        self.hulls = self.odd_scores = 0
        self.problem = ""
        self.most = limit("boxes")
        self._ids: dict[Any, int] = {}

    def take(self, item: dict[str, Any]) -> Any:
        """Keep an annotation as a row and forget the object; give back anything else."""
        if "video_id" in item and ("bboxes" in item or "segmentations" in item):
            self.sequences.append(item)
            return None
        if "image_id" not in item or ("file_name" in item and "bbox" not in item):
            return item
        try:
            box = self._box_of(item)
            if box is None:
                self.without_box.append(_key(item["image_id"]))
                return None
            x, y, width, height = box
            track = item.get("instance_id", item.get("track_id"))
            row = _Row(
                _key(item["image_id"]),
                _key(item.get("category_id", "")),
                float(x),
                float(y),
                float(width),
                float(height),
                track if isinstance(track, int | str) else -1,
                _is_yes(item.get("iscrowd")) or _is_yes(item.get("ignore")),
                self._score_of(item.get("score")),
            )
        except (TypeError, ValueError, OverflowError):
            self.problem = self.problem or (
                f"annotation {item.get('id')}: the bbox is {str(item.get('bbox'))[:60]}"
            )
            return None
        if self._is_new(item.get("id"), row):
            self.boxes.append(row)
        if len(self.boxes) > self.most and not self.problem:
            self.problem = f"more than {self.most} annotations"
        return None

    def _score_of(self, value: Any) -> float:
        """Return the score of a soft label; 1 where there is none."""
        if value is None:
            return 1.0
        if isinstance(value, int | float) and 0 < value <= 1:
            return float(value)
        self.odd_scores += 1
        return 1.0

    def _box_of(self, item: dict[str, Any]) -> Sequence[Any] | None:
        """Return x, y, width, height: the bbox, or the hull of the segmentation or key points."""
        box = item.get("bbox")
        if box and (any(box) or not item.get("segmentation")):
            return list(box)
        hull = coco_hull(item.get("segmentation"))
        points = item.get("keypoints")
        if hull is None and isinstance(points, list):
            shown = zip(points[::3], points[1::3], points[2::3], strict=False)
            hull = hull_of((float(x), float(y)) for x, y, visible in shown if visible)
        if hull is None:
            return list(box) if box else None
        self.hulls += 1
        return hull[0], hull[1], hull[2] - hull[0], hull[3] - hull[1]

    def _is_new(self, number: Any, row: _Row) -> bool:
        """Return False for an annotation that is there already under its id."""
        if number is None:
            return True
        row_index = self._ids.setdefault(_key(number), len(self.boxes))
        if row_index == len(self.boxes):
            return True
        if self.boxes[row_index] != row and not self.problem:
            self.problem = (
                f"annotation id {_key(number)} is used twice, "
                f"for a box of image {self.boxes[row_index].image} and for one of image {row.image}"
            )
        return False


def _key(value: Any) -> str:
    return str(value) if type(value) is int else id_key(value)


def _is_yes(value: object) -> bool:
    """Return whether a flag is set; some exporters write it as a text."""
    return bool(value) and str(value).strip().lower() not in {"", "0", "0.0", "false", "no", "none"}


class _Categories:
    """Class indices by category id; an undeclared id becomes a class of its own."""

    def __init__(self, labels: dict[str, int], columns: LabelSetBuilder) -> None:
        self._labels = labels
        self._columns = columns

    def label(self, category: str) -> int:
        if not category:
            self._columns.warnings.add(
                "an annotation without a category_id; called 'object'", self._columns.source
            )
            return self._columns.label("object")
        if category not in self._labels:
            self._columns.warnings.add(
                "a category_id that is not among the categories; named by its number",
                f"{self._columns.source}, category_id {category}",
            )
            self._labels[category] = self._columns.label(f"category {category}")
        return self._labels[category]


Spots = dict[str, tuple[VideoLabelsBuilder, int]]


def _frames(top: Node, columns: LabelSetBuilder) -> tuple[Spots, dict[str, VideoLabelsBuilder]]:
    """Return where each image lies (its video and frame), and the videos by id."""
    videos: dict[str, VideoLabelsBuilder] = {}
    for item in top.rows_of("videos"):
        number = item["id"].text()
        name = next((t.text() for k in ("file_name", "name") if (t := item.get(k))), number)
        rest = tuple(sorted((k, str(v)) for k, v in item.value.items() if k != "id"))
        columns.ids("video").add(number, rest, repr(name), item.location)
        videos[id_key(number)] = _video(item, columns)
    spots: Spots = {}
    next_frame: dict[str, int] = {}
    for item in top.rows_of("images"):
        file_name = item.get("file_name", "coco_url", "flickr_url")
        name = file_name.text() if file_name is not None else ""
        of_video, given = item.get("video_id"), item.get("frame_index", "frame_id")
        number, film = item["id"].text(), "" if of_video is None else id_key(of_video.text())
        content = (name, film, "" if given is None else given.text())
        shown = repr(name) if name else f"frame {content[2]} of video {film}"
        if not columns.ids("image").add(number, content, shown, item.location):
            continue
        if of_video is None:
            video, frame = _still(item, name or number, columns), 0
        else:
            if film not in videos:
                videos[film] = columns.video(f"video {film}", of_video.text())
            video = videos[film]
            frame = given.whole() if given is not None else next_frame.get(film, 0)
            next_frame[film] = frame + 1
            video.check_frame(frame, item.location)
            columns.ids(f"video {film}, frame").add(
                frame, name, f"image {number} ({name})", item.location
            )
            video.mark_annotated((frame,))
            if name and not video.is_file:
                video.image(frame, name, item.location)
        if video.size_hw is None and "width" in item and "height" in item:
            video.set_size(item["width"].number(), item["height"].number(), item.location)
        spots[id_key(number)] = video, frame
    return spots, videos


def _still(item: Node, written: str, columns: LabelSetBuilder) -> VideoLabelsBuilder:
    """Return the video of a still; one file under two ids is one picture."""
    key = f"image {written}"
    if columns.has_video(key):
        columns.warnings.add("one image file under two ids; their boxes are joined", item.location)
    video = columns.still(key, written)
    given = item.get("name")
    video.name = given.text() if given is not None else video.name
    video.split = _split(item)
    return video


def _split(item: Node) -> str | None:
    """Return the part of the set that a row states, as `convert` and some exporters write it."""
    stated = item.value.get("split")
    return part_of_folder(stated) if isinstance(stated, str) else None


def _video(item: Node, columns: LabelSetBuilder) -> VideoLabelsBuilder:
    number = item["id"].text()
    given = item.get("file_name")
    medium = given.text() if given is not None else ""
    name = item.get("name")
    video = columns.video(
        f"video {id_key(number)}", name.text() if name is not None else stem_of(medium or number)
    )
    video.media = medium if is_video(medium) else ""
    video.is_file = is_video(medium) or (given is not None and not medium)
    video.split = _split(item)
    if "width" in item and "height" in item:
        video.set_size(item["width"].number(), item["height"].number(), item.location)
    rate, length = item.get("fps", "frame_rate"), item.get("length")
    video.rate = rate.number() if rate is not None and rate.number() > 0 else None
    if length is not None and length.whole() > 0:
        video.frame_count = video.check_frame(length.whole() - 1, item.location) + 1
    for frame, image in enumerate(item.rows_of("file_names")):
        video.image(frame, image.text())
        video.mark_annotated((frame,))
    return video


def _add_sequence(
    item: Node, videos: dict[str, VideoLabelsBuilder], categories: _Categories
) -> None:
    """Add an object of YouTube-VIS: one box or null for each frame of its video."""
    number = item["video_id"].text()
    label = categories.label(id_key(item["category_id"].text()))
    if id_key(number) not in videos:
        raise DataError(
            f"{item.location}: an object of video {number}, which is not listed",
            hint="export the file again",
        )
    video = videos[id_key(number)]
    track = video.track(item["id"].text())
    crowd = item.get("iscrowd")
    masks = list(item.rows_of("segmentations"))
    boxes = list(item.rows_of("bboxes"))
    for frame in range(max(len(boxes), len(masks))):
        box = boxes[frame] if frame < len(boxes) and boxes[frame].value else None
        hull = coco_hull(masks[frame].value) if box is None and frame < len(masks) else None
        if box is not None:
            x, y, width, height = box.numbers(4)
            hull = (x, y, x + width, y + height)
        if hull is None:
            continue
        video.check_frame(frame, item.location)
        video.add(frame, hull, label, track=track, ignore=crowd is not None and crowd.boolean())
