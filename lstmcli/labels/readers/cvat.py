"""CVAT for video 1.1 and CVAT for images 1.1, of tasks, jobs and projects.

https://docs.cvat.ai/docs/manual/advanced/formats/format-cvat/; for the numbers
cvat/apps/dataset_manager/formats/cvat.py and bindings.py: `frame` counts frames of the source
video from 0 and lies on the grid `start_frame + n * step`; `outside="1"` hides the object; every
visible frame is written, `keyframe="0"` where CVAT interpolated. Written boxes are the truth.
Between two written boxes frames of the grid are filled linearly where the earlier one is visible.
After the last one a track ends; CVAT itself holds it to the end of the task, as `cvat_held` does.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from lstmcli.core.errors import DataError
from lstmcli.core.types import LabelSet
from lstmcli.labels.builder import (
    MOST_FRAMES,
    LabelSetBuilder,
    VideoLabelsBuilder,
    is_video,
    stem_of,
)
from lstmcli.labels.media import ReadContext
from lstmcli.labels.readers.sniff import FileSniff
from lstmcli.labels.readers.xml_file import Element, load_xml


def sniff(sniffed: FileSniff) -> bool:
    """Return whether the root is `annotations` with tracks or images."""
    tags = sniffed.tags
    return bool(tags) and tags[0] == "annotations" and bool({"track", "image", "meta"} & set(tags))


def root_of(path: Path) -> Path:
    """Return the file: it stands alone."""
    return path


def read(source: Path, reading: ReadContext) -> LabelSet:
    """Return the labels of every task in the file."""
    root = load_xml(source)
    if root.tag != "annotations":
        raise DataError(f"{root.where}: <{root.tag}>", hint="CVAT writes <annotations>")
    meta = root.find("meta")
    tasks = _tasks(root)
    names = [] if meta is None else _label_names(meta)
    columns = LabelSetBuilder(reading.notes, source, names)
    videos = _Videos(columns, tasks)
    for track in root.all("track"):
        _read_track(track, videos, reading)
    for image in root.all("image"):
        _read_image(image, videos, reading)
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
        video.set_size(*task.size_wh)
        return video

    def look_at_whole_tasks(self) -> None:
        for task in self.tasks:
            self.of(task).look(task.frames)


def _tasks(root: Element) -> list[_Task]:
    meta = root.find("meta")
    if meta is None:
        return [_Task("", "video", "", (0, 0), range(0), True)]
    listed = meta.find("project/tasks")
    elements = list(listed.all("task")) if listed is not None else list(meta.all("task", "job"))
    tasks = [_task(element, meta) for element in elements]
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
    if start < 0 or stop >= MOST_FRAMES:
        raise DataError(
            f"{element.where}: a task from frame {start} to {stop}",
            hint=f"frames count from 0 and stay below {MOST_FRAMES}",
        )
    sizes = element.find("original_size") or meta.find("original_size")
    medium = element.text_of("source") or meta.text_of("source")
    return _Task(
        element.text_of("id"),
        element.text_of("name") or stem_of(medium) or element.text_of("id"),
        medium if is_video(medium) else "",
        (0, 0) if sizes is None else (sizes.number_of("width"), sizes.number_of("height")),
        range(start, stop + 1, step),
        element.text_of("mode") != "annotation",
    )


def _label_names(meta: Element) -> list[str]:
    names = []
    for path in ("task/labels", "job/labels", "project/labels"):
        labels = meta.find(path)
        if labels is not None:
            names += [label.text_of("name") for label in labels.all("label")]
    return [name for name in dict.fromkeys(names) if name]


def _box(element: Element) -> tuple[float, float, float, float]:
    return (
        element.number("xtl"),
        element.number("ytl"),
        element.number("xbr"),
        element.number("ybr"),
    )


def _count_others(element: Element, reading: ReadContext) -> None:
    for child in element.children:
        if child.tag not in {"box", "attribute", "tag"}:
            reading.notes.add(f"a shape of kind {child.tag!r}, not a box; left out", child.where)
        elif child.tag == "tag":
            reading.notes.add("a tag of a whole picture, not a box; left out", child.where)
        if child.attributes.get("rotation", "0").strip("0.") != "":
            reading.notes.add("a rotated box; taken as if it stood upright", child.where)


def _read_track(track: Element, videos: _Videos, reading: ReadContext) -> None:
    task = videos.task(track)
    video = videos.of(task)
    _count_others(track, reading)
    written = sorted(track.all("box"), key=lambda box: box.whole("frame"))
    if not written:
        return
    label = videos.columns.label(track.attribute("label"))
    number = video.track(track.attributes.get("id", ""))
    for n, box in enumerate(written):
        frame = video.check_frame(box.whole("frame"), box.where)
        if n and frame == written[n - 1].whole("frame"):
            raise DataError(
                f"{box.where}: the track has two boxes in frame {frame}", hint="export it again"
            )
        if box.gt("outside"):
            continue
        sides = _box(box)
        video.add(frame, sides, label, track=number)
        following = written[n + 1] if n + 1 < len(written) else None
        if following is not None:
            _fill(video, frame, sides, following, task, label, number)
        elif frame < task.frames.stop - task.frames.step:
            _end_or_hold(video, frame, sides, task, label, number, reading, box.where)


def _fill(
    video: VideoLabelsBuilder,
    frame: int,
    sides: tuple[float, ...],
    following: Element,
    task: _Task,
    label: int,
    number: int,
) -> None:
    end, goal = following.whole("frame"), _box(following)
    video.check_frame(end, following.where)
    step = task.frames.step
    for between in range(frame + step, end, step):
        share = (between - frame) / (end - frame)
        box = [a + share * (b - a) for a, b in zip(sides, goal, strict=True)]
        video.add(between, box, label, track=number)


def _end_or_hold(
    video: VideoLabelsBuilder,
    frame: int,
    sides: tuple[float, ...],
    task: _Task,
    label: int,
    number: int,
    reading: ReadContext,
    where: str,
) -> None:
    if not reading.hold:
        reading.notes.add(
            "a track that never ends; ended at its last written box"
            " (--format cvat_held holds it to the end of the task, as CVAT shows it)",
            where,
        )
        return
    for later in task.frames:
        if later > frame:
            video.add(later, sides, label, track=number)


def _read_image(image: Element, videos: _Videos, reading: ReadContext) -> None:
    """Add an image; images of a task that is a video are frames of it, numbered by their id."""
    task = videos.task(image)
    name = image.attribute("name")
    if task.medium and task.from_video:
        video, frame = videos.of(task), image.whole("id")
        video.check_frame(frame, image.where)
        video.look((frame,))
    else:
        subset = image.attributes.get("subset", "")
        key = f"image {image.attributes.get('task_id', '')} {subset} {name}"
        video, frame = videos.columns.still(key, f"{subset}/{name}" if subset else name), 0
        video.name = stem_of(name)
    if "width" in image.attributes and "height" in image.attributes:
        video.set_size(image.number("width"), image.number("height"), image.where)
    _count_others(image, reading)
    for box in image.all("box"):
        sides = _box(box)
        if not all(map(math.isfinite, sides)):
            continue
        video.add(frame, sides, videos.columns.label(box.attribute("label")))
