"""Label Studio: the JSON export of video tracks and of image rectangles, and JSON_MIN.

Video: https://labelstud.io/tags/videorectangle and label_studio_sdk
converter/utils (`extract_key_frames`): frames count from 1, x, y, width, height are percent of the
frame; each key frame is a box, a disabled one too; from an enabled key frame boxes are interpolated
to the next one; the last enabled one holds to `framesCount`. Images:
https://labelstud.io/guide/export#Units-of-image-annotations: percent of `original_width` and
`original_height`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lstmcli.core.errors import DataError
from lstmcli.core.types import LabelSet
from lstmcli.labels.builder import (
    MOST_BOXES,
    Box,
    LabelSetBuilder,
    VideoLabelsBuilder,
    is_video,
    stem_of,
)
from lstmcli.labels.media import ReadContext, written_forms
from lstmcli.labels.readers.json_file import Node, load_json
from lstmcli.labels.readers.sniff import FileSniff

_LABEL_KEYS = ("rectanglelabels", "labels", "videolabels", "timelinelabels")


def sniff(sniffed: FileSniff) -> bool:
    """Return whether the file holds tasks: `data` with `annotations` or `completions`."""
    keys = sniffed.keys
    if not sniffed.is_json:
        return False
    tasks = "data" in keys and bool({"annotations", "completions", "result"} & keys)
    return tasks and "categories" not in keys


def root_of(path: Path) -> Path:
    """Return the file: it stands alone."""
    return path


def read(source: Path, reading: ReadContext) -> LabelSet:
    """Return the labels of every task; cancelled annotations and predictions do not count."""
    top = load_json(source)
    columns = LabelSetBuilder(reading.notes, source)
    for n, task in enumerate(top.rows() if top.is_list() else [top]):
        results = list(_results(task, reading))
        medium = _medium(task, results)
        if not results and not _is_annotated(task):
            reading.notes.add("a task that nobody annotated; not looked at", task.place)
            continue
        if is_video(medium) or any(_kind(result) == "videorectangle" for result in results):
            _read_video(n, medium, results, columns, reading, task.place)
        else:
            _read_image(n, medium, results, columns, reading, task.place)
    return columns.build()


def _annotations(task: Node) -> list[Node]:
    rows = task.rows_of("annotations", "completions")
    return [row for row in rows if not ((c := row.get("was_cancelled")) and c.boolean())]


def _is_annotated(task: Node) -> bool:
    return bool(_annotations(task))


def _results(task: Node, reading: ReadContext) -> Iterator[Node]:
    annotations = _annotations(task)
    if len([row for row in annotations if row.get("result")]) > 1:
        reading.notes.add("a task with several annotations; all of them are taken", task.place)
    for annotation in annotations:
        yield from annotation.rows_of("result")


def _kind(result: Node) -> str:
    kind = result.get("type")
    return "" if kind is None else kind.text()


def _medium(task: Node, results: list[Node]) -> str:
    """Return the value of the task's data that names its video or image."""
    data = task.get("data")
    if data is None:
        return ""
    wanted = {name.text() for result in results if (name := result.get("to_name")) is not None}
    texts = [(key, node.value) for key, node in data.items() if isinstance(node.value, str)]
    texts.sort(key=lambda item: (item[0] not in wanted, item[0] not in {"video", "image"}))
    likely = [text for _, text in texts if "/" in text or "." in text]
    return likely[0] if likely else (texts[0][1] if texts else "")


def _named(medium: str, otherwise: str) -> str:
    return stem_of(written_forms(medium)[-1].name) if medium else otherwise


def _label(value: Node, columns: LabelSetBuilder) -> int:
    found = value.get(*_LABEL_KEYS)
    names = [] if found is None else [row.text() for row in found.rows()]
    if len(names) > 1:
        columns.notes.add("a region with several labels; the first one is taken", value.place)
    if not names:
        columns.notes.add("a region without a label; called 'object'", value.place)
    return columns.label(names[0] if names else "object")


def _percent(node: Node, size_hw: tuple[int, int]) -> Box:
    height, width = size_hw
    x, y = node["x"].number() / 100 * width, node["y"].number() / 100 * height
    return (
        x,
        y,
        x + node["width"].number() / 100 * width,
        y + node["height"].number() / 100 * height,
    )


def _size(
    result: Node | None, medium: str, reading: ReadContext, where: str, *, video: bool
) -> tuple[int, int]:
    if result is not None and "original_width" in result and "original_height" in result:
        width, height = result["original_width"].whole(), result["original_height"].whole()
        if width > 0 and height > 0:
            return height, width
    return reading.size_of(medium, where, video=video)


def _read_video(
    n: int,
    medium: str,
    results: list[Node],
    columns: LabelSetBuilder,
    reading: ReadContext,
    where: str,
) -> None:
    video = columns.video(f"task {n}", _named(medium, f"task {n + 1}"))
    video.media = medium
    count = 0
    for result in results:
        if _kind(result) != "videorectangle":
            _ignore(result, reading)
            continue
        value = result["value"]
        told = value.get("framesCount")
        keys = sorted(value["sequence"].rows(), key=lambda key: key["frame"].number())
        last = keys[-1]["frame"].whole() if keys else 0
        frames = told.whole() if told is not None else last
        video.check_frame(max(frames, 1) - 1, value.place)
        if told is not None:
            video.frame_count = max(video.frame_count or 0, frames) or None
        size = _size(result, medium, reading, where, video=True)
        video.set_size(size[1], size[0], where)
        identity = result.get("id")
        track = video.track(f"region {identity.text() if identity else len(video)}")
        _read_sequence(keys, video, size, _label(value, columns), track, frames)
        count = max(count, frames, last)
    video.look_until(count, where)


def _read_sequence(
    keys: list[Node],
    video: VideoLabelsBuilder,
    size_hw: tuple[int, int],
    label: int,
    track: int,
    frames: int,
) -> None:
    for n, key in enumerate(keys):
        frame = key["frame"].whole() - 1
        video.check_frame(frame, key.place)
        box = _percent(key, size_hw)
        following = keys[n + 1] if n + 1 < len(keys) else None
        if following is not None and following["frame"].whole() - 1 == frame:
            continue
        video.add(frame, box, label, track=track)
        enabled = key.get("enabled")
        if enabled is not None and not enabled.boolean():
            continue
        goal = box if following is None else _percent(following, size_hw)
        end = frames if following is None else following["frame"].whole() - 1
        if len(video) + end - frame > MOST_BOXES:
            raise DataError(
                f"{key.place}: a box held for {end - frame} frames",
                hint="correct framesCount, or close the track",
            )
        for between in range(frame + 1, end):
            share = (between - frame) / (end - frame)
            sides = [a + share * (b - a) for a, b in zip(box, goal, strict=True)]
            video.add(between, sides, label, track=track)


def _read_image(
    n: int,
    medium: str,
    results: list[Node],
    columns: LabelSetBuilder,
    reading: ReadContext,
    where: str,
) -> None:
    video = columns.still(f"task {n}", medium or f"task {n + 1}", where)
    video.name = _named(medium, f"task {n + 1}")
    for result in results:
        if _kind(result) not in {"rectanglelabels", "rectangle"}:
            _ignore(result, reading)
            continue
        value = result["value"]
        size = _size(result, medium, reading, where, video=False)
        video.set_size(size[1], size[0], where)
        rotation = value.get("rotation")
        if rotation is not None and rotation.number() != 0:
            reading.notes.add("a rotated box; taken as if it stood upright", value.place)
        video.add(0, _percent(value, size), _label(value, columns))


def _ignore(result: Node, reading: ReadContext) -> None:
    reading.notes.add(f"a region of kind {_kind(result)!r}, not a box; left out", result.place)
