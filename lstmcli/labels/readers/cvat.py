"""CVAT for video 1.1 and CVAT for images 1.1, of tasks, jobs and projects.

https://docs.cvat.ai/docs/manual/advanced/formats/format-cvat/; for the numbers
cvat/apps/dataset_manager/formats/cvat.py and bindings.py: `frame` counts frames of the source
video from 0 and lies on the grid `start_frame + n * step`; `outside="1"` hides the object; every
visible frame is written, `keyframe="0"` where CVAT interpolated. Boxes are the ground truth.
Between two written boxes frames of the grid are filled linearly where the earlier one is visible.
A rotation is in degrees, clockwise, about the centre of the box. Of polygons, masks, ellipses,
cuboids and skeletons the upright hull is taken, for pictures without one they are ignored regions.
After the last one a track ends; CVAT itself holds it to the end of the task, as `cvat_held` does.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from lstmcli.core.errors import DataError
from lstmcli.core.limits import check_limit
from lstmcli.core.names import is_video, stem_of
from lstmcli.core.types import LabelSet
from lstmcli.labels.builder import LabelSetBuilder, VideoLabelsBuilder
from lstmcli.labels.context import ReadContext
from lstmcli.labels.division import part_of_folder
from lstmcli.labels.identity import IdRegistry
from lstmcli.labels.readers.sniff import FileSniff
from lstmcli.labels.readers.xml_file import Element, load_xml
from lstmcli.labels.shapes import Box, ellipse_hull, hull_of, rotated_hull
from lstmcli.labels.warning_collector import WarningCollector

SUFFIXES = (".xml",)
DROPS: tuple[str, ...] = (
    "shapes other than boxes, rotated boxes: the upright hull is kept",
    "single points: an ignored region",
    "tags of whole pictures: left out",
    "elements that are not known: an ignored region where the picture is otherwise empty",
    "frames after the last written box of a track that never ends: without it",
)
"""Content that the reader drops or converts; each case is counted as a warning."""
NOT_READ = "attributes, occlusion, z order"
"""Details beside the boxes that are not read, and not counted."""


def sniff(sniffed: FileSniff) -> bool:
    """Return whether the root is `annotations` with tracks or images."""
    tags = sniffed.tags
    return bool(tags) and tags[0] == "annotations" and bool({"track", "image", "meta"} & set(tags))


def root_of(path: Path) -> Path:
    """Return the file: it stands alone."""
    return path


def read(source: Path, context: ReadContext) -> LabelSet:
    """Return the labels of every task in the file."""
    root = load_xml(source)
    if root.tag != "annotations":
        raise DataError(f"{root.where}: <{root.tag}>", hint="CVAT writes <annotations>")
    meta = root.find("meta")
    tasks = _tasks(root)
    names = [] if meta is None else _label_names(meta)
    columns = LabelSetBuilder(context.warnings, source, names)
    videos = _Videos(columns, tasks)
    for track in root.all("track"):
        _read_track(track, videos, context)
    for image in root.all("image"):
        _read_image(image, videos, context)
    if next(root.all("track"), None) is not None:
        videos.look_at_whole_tasks()
    return columns.build()


@dataclass(frozen=True, slots=True)
class _Task:
    number: str
    name: str
    medium: str
    size_wh: tuple[float, float]
    frames: range
    from_video: bool
    part: str | None = None


class _Videos:
    """The videos of the tasks; what names no task belongs to the first one."""

    def __init__(self, columns: LabelSetBuilder, tasks: list[_Task]) -> None:
        self.columns = columns
        self.tasks = tasks

    def task(self, element: Element) -> _Task:
        number = element.attributes.get("task_id", "")
        return next((task for task in self.tasks if task.number == number), self.tasks[0])

    def of(self, task: _Task) -> VideoLabelsBuilder:
        video = self.columns.video(
            f"task {task.number}", stem_of(task.medium) if task.medium else task.name
        )
        video.media = task.medium
        video.split = task.part
        video.set_size(*task.size_wh)
        return video

    def look_at_whole_tasks(self) -> None:
        for task in self.tasks:
            self.of(task).mark_annotated(task.frames)


def _tasks(root: Element) -> list[_Task]:
    meta = root.find("meta")
    if meta is None:
        return [_Task("", "video", "", (0, 0), range(0), True)]
    listed = meta.find("project/tasks")
    elements = list(listed.all("task")) if listed is not None else list(meta.all("task", "job"))
    tasks = [_task(element, meta) for element in elements]
    ids = IdRegistry("task", root.file)
    for task, element in zip(tasks, elements, strict=True):
        if task.number:
            ids.add(task.number, task, repr(task.medium or task.name), element.where)
    return tasks or [_task(meta, meta)]


def _task(element: Element, meta: Element) -> _Task:
    def number(path: str, otherwise: float) -> float:
        return element.number_of(path) if element.text_of(path) else otherwise

    size = int(number("size", 0))
    start = int(number("start_frame", 0))
    step_text = re.search(r"step\s*=\s*(\d+)", element.text_of("frame_filter"))
    step = max(1, int(step_text.group(1))) if step_text else 1
    stop = start + (size - 1) * step
    if element.text_of("stop_frame"):
        stop = min(stop, int(number("stop_frame", 0))) if size else int(number("stop_frame", 0))
    if start < 0:
        raise DataError(f"{element.where}: a task from frame {start}", hint="frames count from 0")
    check_limit("frames", stop + 1, f"{element.where}: a task from frame {start} to {stop}")
    sizes = element.find("original_size") or meta.find("original_size")
    medium = element.text_of("source") or meta.text_of("source")
    return _Task(
        element.text_of("id"),
        element.text_of("name") or stem_of(medium) or element.text_of("id"),
        medium if is_video(medium) else "",
        (0, 0) if sizes is None else (sizes.number_of("width"), sizes.number_of("height")),
        range(start, stop + 1, step),
        element.text_of("mode") != "annotation",
        part_of_folder(element.text_of("subset")),
    )


def _label_names(meta: Element) -> list[str]:
    names = []
    for path in ("task/labels", "job/labels", "project/labels"):
        labels = meta.find(path)
        if labels is not None:
            names += [label.text_of("name") for label in labels.all("label")]
    return [name for name in dict.fromkeys(names) if name]


SHAPES = frozenset({"polygon", "polyline", "points", "ellipse", "mask", "cuboid", "skeleton"})
"""Shapes that are no boxes; their upright hulls are taken."""


@dataclass(frozen=True, slots=True)
class _Shape:
    """A shape in one frame: `sides` before the turn by `degrees` about the centre.

    Args:
        sides: None of a shape that no box surrounds.
    """

    sides: Box | None
    degrees: float = 0.0

    def hull(self) -> Box | None:
        return None if self.sides is None else rotated_hull(self.sides, self.degrees)

    def towards(self, goal: _Shape, share: float) -> Box | None:
        """Return the hull on the way to another shape, turned the shorter way as CVAT does."""
        if self.sides is None or goal.sides is None:
            return None
        mixed = [a + share * (b - a) for a, b in zip(self.sides, goal.sides, strict=True)]
        turn = (goal.degrees - self.degrees + 180) % 360 - 180
        return rotated_hull(mixed, self.degrees + share * turn)


def _points(element: Element) -> list[list[float]]:
    pairs = element.attributes.get("points", "").split(";")
    try:
        points = [[float(side) for side in pair.split(",")] for pair in pairs if pair.strip()]
    except ValueError:
        points = [[]]
    if any(len(point) != 2 or not all(map(math.isfinite, point)) for point in points):
        raise DataError(
            f"{element.where}: points {element.attributes['points'][:40]!r}",
            hint="points are x,y;x,y;...",
        )
    return points


def _shape(element: Element) -> _Shape:
    """Return the shape of an element of any kind."""
    attributes = element.attributes
    degrees = element.number("rotation") if attributes.get("rotation", "").strip() else 0.0
    if element.tag == "box":
        sides = [element.number(side) for side in ("xtl", "ytl", "xbr", "ybr")]
        return _Shape((sides[0], sides[1], sides[2], sides[3]), degrees)
    if element.tag == "ellipse":
        cx, cy, rx, ry = (element.number(key) for key in ("cx", "cy", "rx", "ry"))
        return _Shape(ellipse_hull(cx, cy, rx, ry, degrees))
    if element.tag == "mask":
        left, top = element.number("left"), element.number("top")
        size = element.number("width"), element.number("height")
        return _Shape((left, top, left + size[0], top + size[1]))
    if element.tag == "skeleton":
        shown = [part for part in element.all("points") if not part.flag("outside")]
        return _Shape(hull_of([point for part in shown for point in _points(part)]))
    if element.tag == "cuboid" and "points" not in attributes:
        sides = [
            element.number(key) for key in sorted(attributes) if re.match(r"[xy][tb][lr]\d$", key)
        ]
        corners = [key for key in sorted(attributes) if re.match(r"x[tb][lr]\d$", key)]
        points = [(element.number(key), element.number("y" + key[1:])) for key in corners]
        return _Shape(hull_of(points) if sides else None)
    return _Shape(hull_of(_points(element)))


def _note_shape(element: Element, warnings: WarningCollector) -> None:
    if element.tag in SHAPES:
        warnings.add(
            f"a shape of kind {element.tag!r}; its upright bounding box is taken", element.where
        )
    elif element.attributes.get("rotation", "0").strip("0.") != "":
        warnings.add("a rotated box; its upright bounding box is taken", element.where)


def _note_others(
    element: Element, video: VideoLabelsBuilder, frame: int | None, context: ReadContext
) -> None:
    """Count what is no shape; an element that is not known may be one, so its frame is not empty.

    Args:
        element: an image or a track.
        video: its video.
        frame: of an image; None: elements of a track have their own.
        context: its warnings are added to.
    """
    for child in element.children:
        if child.tag == "tag":
            context.warnings.add("a tag of a whole picture, not a box; left out", child.where)
        elif child.tag not in SHAPES | {"box", "attribute"}:
            context.warnings.add(f"a {child.tag!r} is not known; left out", child.where)
            at = child.whole("frame") if frame is None and "frame" in child.attributes else frame
            if at is not None:
                video.lose(at, if_empty=True)


def _read_track(track: Element, videos: _Videos, context: ReadContext) -> None:
    task = videos.task(track)
    video = videos.of(task)
    _note_others(track, video, None, context)
    written = sorted(track.all("box", *SHAPES), key=lambda item: item.whole("frame"))
    if not written:
        return
    name = track.attribute("label")
    label, identity = videos.columns.label(name), track.attributes.get("id", "")
    if identity:
        content = hash((name, *(str(sorted(item.attributes.items())) for item in written)))
        shown = f"a track of {name!r} (line {track.line})"
        ids = videos.columns.ids(f"task {task.number}, track")
        if not ids.add(identity, content, shown, track.where):
            return
    number = video.track(identity)
    for n, item in enumerate(written):
        frame = video.check_frame(item.whole("frame"), item.where)
        if n and frame == written[n - 1].whole("frame"):
            raise DataError(
                f"{item.where}: the track has two boxes in frame {frame}", hint="export it again"
            )
        if item.flag("outside"):
            continue
        _add(video, frame, _shape(item).hull(), label, number, videos.columns, item)
        following = written[n + 1] if n + 1 < len(written) else None
        if following is not None:
            _fill(video, frame, item, following, task, label, number, videos.columns)
        elif frame < task.frames.stop - task.frames.step:
            sides = _shape(item).hull()
            if context.hold:
                videos.columns.hold(len(task.frames), item.where)
            _end_or_hold(video, frame, sides, task, label, number, context, item.where)


def _add(
    video: VideoLabelsBuilder,
    frame: int,
    hull: Box | None,
    label: int,
    track: int,
    columns: LabelSetBuilder,
    item: Element,
) -> None:
    if hull is None:
        columns.add_shape(video, frame, None, label, kind=item.tag, where=item.where)
    else:
        _note_shape(item, columns.warnings)
        video.add(frame, hull, label, track=track)


def _fill(
    video: VideoLabelsBuilder,
    frame: int,
    item: Element,
    following: Element,
    task: _Task,
    label: int,
    number: int,
    columns: LabelSetBuilder,
) -> None:
    end = video.check_frame(following.whole("frame"), following.where)
    step = task.frames.step
    if frame + step >= end:
        return
    columns.hold((end - frame) // step, following.where)
    shape, goal = _shape(item), _shape(following)
    for between in range(frame + step, end, step):
        box = shape.towards(goal, (between - frame) / (end - frame))
        if box is None:
            video.lose(between)
        else:
            video.add(between, box, label, track=number)


def _end_or_hold(
    video: VideoLabelsBuilder,
    frame: int,
    sides: Box | None,
    task: _Task,
    label: int,
    number: int,
    context: ReadContext,
    where: str,
) -> None:
    if not context.hold:
        context.warnings.add(
            "a track that never ends; ended at its last written box"
            " (--format cvat_held holds it to the end of the task, as CVAT shows it)",
            where,
        )
        return
    for later in task.frames:
        if later > frame and sides is not None:
            video.add(later, sides, label, track=number)


def _read_image(image: Element, videos: _Videos, context: ReadContext) -> None:
    """Add an image; images of a task that is a video are frames of it, numbered by their id."""
    task = videos.task(image)
    name = image.attribute("name")
    subset = image.attributes.get("subset", "")
    if "id" in image.attributes:
        key = f"task {image.attributes.get('task_id', '')} {subset}".strip()
        shown = f"{name!r} (line {image.line})"
        videos.columns.ids(f"{key}, image").add(image.attributes["id"], name, shown, image.where)
    if task.medium and task.from_video:
        video, frame = videos.of(task), image.whole("id")
        video.check_frame(frame, image.where)
        video.mark_annotated((frame,))
    else:
        key = f"image {image.attributes.get('task_id', '')} {subset} {name}"
        if videos.columns.has_video(key):
            text = "an image that is listed twice; its boxes are joined"
            context.warnings.add(text, image.where)
        video, frame = videos.columns.still(key, f"{subset}/{name}" if subset else name), 0
        video.name = stem_of(name)
        video.split = task.part
    if "width" in image.attributes and "height" in image.attributes:
        video.set_size(image.number("width"), image.number("height"), image.where)
    _note_others(image, video, frame, context)
    for item in image.all("box", *SHAPES):
        label = videos.columns.label(item.attribute("label"))
        _add(video, frame, _shape(item).hull(), label, -1, videos.columns, item)
