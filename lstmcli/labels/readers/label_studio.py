"""Label Studio: the JSON export of video tracks and of image rectangles, and JSON_MIN.

Video: https://labelstud.io/tags/videorectangle and label_studio_sdk
converter/utils (`extract_key_frames`): frames count from 1, x, y, width, height are percent of the
frame; each key frame is a box, a disabled one too; from an enabled key frame boxes are interpolated
to the next one; the last enabled one holds to `framesCount`. Its frames are seconds times a rate
that it assumes, so they are placed by time where the film is found and the keys hold `time`, or
`framesCount` and `duration` give the rate. Images:
https://labelstud.io/guide/export#Units-of-image-annotations: percent of `original_width` and
`original_height`, `rotation` in degrees clockwise about the upper left corner.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lstmcli.core.media_files import IMAGE_SUFFIXES, VIDEO_SUFFIXES
from lstmcli.core.names import as_path, is_video, stem_of
from lstmcli.core.types import LabelSet
from lstmcli.labels.builder import LabelSetBuilder, VideoLabelsBuilder
from lstmcli.labels.clock import Times, nearest_frames
from lstmcli.labels.context import ReadContext
from lstmcli.labels.division import part_of_folder
from lstmcli.labels.media_finder import written_forms
from lstmcli.labels.readers.json_file import Node, load_json
from lstmcli.labels.readers.label_studio_shapes import hull_of_shape, percent_sides, turned_hull
from lstmcli.labels.readers.label_studio_tasks import ANNOTATED, LABEL_KEYS, is_short, tasks_of
from lstmcli.labels.readers.sniff import FileSniff

_MEDIA_SUFFIXES = IMAGE_SUFFIXES | VIDEO_SUFFIXES
_NO_SHAPES = frozenset(
    (
        *("choices", "textarea", "taxonomy", "rating", "number", "datetime"),
        *("pairwise", "ranker", "relation", "labels"),
    )
)
"""Results that speak of a region or of the whole task and are no shapes of their own."""


SUFFIXES = (".json",)
DROPS: tuple[str, ...] = (
    "shapes other than boxes, rotated boxes: the upright hull is kept",
    "key points: an ignored region",
    "shapes of a video that are no boxes: an ignored region where the frame is otherwise empty",
    "annotations of further people: left out",
    "cancelled annotations: left out",
    "tasks without annotation: unannotated",
    "tasks written again: read once",
    "choices, texts, ratings and relations: left out",
    "labels of a region after the first: left out",
    "regions without a label: the class 'object'",
)
"""Content that the reader drops or converts; each case is counted as a warning."""
NOT_READ = "predictions, scores, meta data"
"""Details beside the boxes that are not read, and not counted."""


def sniff(sniffed: FileSniff) -> bool:
    """Return whether the file holds tasks: `data` with `annotations` or `completions`."""
    keys = sniffed.keys
    if not sniffed.is_json:
        return False
    tasks = "data" in keys and bool({"annotations", "completions", "result"} & keys)
    return (tasks or is_short(keys)) and "categories" not in keys


def root_of(path: Path) -> Path:
    """Return the file: it stands alone."""
    return path


def read(source: Path, context: ReadContext) -> LabelSet:
    """Return the labels of every task; cancelled annotations and predictions do not count."""
    top = load_json(source)
    columns = LabelSetBuilder(context.warnings, source)
    for n, task in enumerate(tasks_of(top)):
        chosen = _chosen(task, context)
        results = [] if chosen is None else list(chosen.rows_of("result"))
        medium = _medium(task, results)
        if not _is_new(task, medium, columns):
            context.warnings.add("a task written again; it is read once", task.location)
            continue
        if chosen is None:
            context.warnings.add("a task without annotation; unannotated", task.location)
            continue
        is_film = any(is_video(str(form)) for form in written_forms(medium))
        if is_film or any(_kind(result) == "videorectangle" for result in results):
            _read_video(n, medium, results, columns, context, task.location, split=_split(task))
        else:
            _read_image(n, medium, results, columns, context, task.location, split=_split(task))
    return columns.build()


def _split(task: Node) -> str | None:
    """Return the part of the set that a column of the task names."""
    data = task.get("data")
    stated = data.get("split", "subset") if data is not None and data.is_object() else None
    text = "" if stated is None else stated.value
    return part_of_folder(text) if isinstance(text, str) else None


def _is_new(task: Node, medium: str, columns: LabelSetBuilder) -> bool:
    number = task.get("id")
    if number is None:
        return True
    content = json.dumps([task.value.get(key) for key in ("data", *ANNOTATED)], sort_keys=True)
    return columns.ids("task").add(number.text(), content, repr(medium), task.location)


def _chosen(task: Node, context: ReadContext) -> Node | None:
    """Return the one annotation of a task that counts, None where there is none.

    Several annotators draw the same objects, so only one of them counts: the one that --annotator
    names, else the one that is marked as ground truth, else the first that drew something.
    """
    rows = task.rows_of(*ANNOTATED)
    listed = list(rows)
    there = [row for row in listed if not ((c := row.get("was_cancelled")) and c.boolean())]
    context.warnings.add(
        "a cancelled annotation; left out", task.location, len(listed) - len(there)
    )
    if context.annotator:
        there = [row for row in there if context.annotator.casefold() in _names_of(row)]
    if not there:
        return None
    marked = [row for row in there if (flag := row.get("ground_truth")) and flag.boolean()]
    drawn = [row for row in there if row.get("result") and any(row["result"].rows())]
    best = next(iter((*marked, *drawn, *there)))
    if len(drawn) > 1:
        why = "the one marked as ground truth" if marked else "the first one"
        context.warnings.add(
            f"a task with annotations of several people; {why} is taken (--annotator chooses)",
            task.location,
            len(drawn) - 1,
        )
    return best


def _names_of(annotation: Node) -> set[str]:
    """Return the id, the address and the names of who made an annotation, in small letters."""
    names: set[str] = set()
    for key in ("completed_by", "created_username", "created_by"):
        node = annotation.get(key)
        if node is not None and node.is_object():
            names |= {str(value).casefold() for value in node.value.values() if value}
        elif node is not None:
            text = node.text()
            names |= {text.casefold(), *text.casefold().replace(",", " ").split()}
    return names


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
    names = [form.name for form in written_forms(medium)] if medium else [otherwise]
    media = [name for name in names if as_path(name).suffix.lower() in _MEDIA_SUFFIXES]
    return stem_of((media or names)[-1])


def _label(result: Node, columns: LabelSetBuilder, named: Mapping[str, list[str]]) -> int:
    value = result["value"]
    found = value.get(*LABEL_KEYS)
    names = [] if found is None else [row.text() for row in found.rows()]
    names = names or named.get(_identity(result), [])
    if len(names) > 1:
        columns.warnings.add("a region with several labels; the first one is taken", value.location)
    if not names:
        columns.warnings.add("a region without a label; called 'object'", value.location)
    return columns.label(names[0] if names else "object")


def _identity(result: Node) -> str:
    identity = result.get("id")
    return "" if identity is None else identity.text()


def _named_regions(results: Sequence[Node]) -> dict[str, list[str]]:
    """Return the labels that a result of its own gives to a region, by the region's id."""
    named: dict[str, list[str]] = {}
    for result in results:
        value = result.get("value")
        if _kind(result) == "labels" and value is not None and "labels" in value:
            named[_identity(result)] = [row.text() for row in value["labels"].rows()]
    return named


def _size(
    result: Node | None, medium: str, context: ReadContext, where: str, *, video: bool
) -> tuple[int, int]:
    if result is not None and "original_width" in result and "original_height" in result:
        width, height = result["original_width"].whole(), result["original_height"].whole()
        if width > 0 and height > 0:
            return height, width
    return context.size_of(medium, where, video=video)


@dataclass(frozen=True, slots=True)
class _Clock:
    """From the frames that Label Studio counts (from 1) to those of the film (from 0).

    Args:
        rate: frames a second that Label Studio counts, None where unknown.
        times: of the film's frames, None where it is not found or numbers are taken as they are.
    """

    rate: float | None
    times: Times | None

    def frame(self, number: int) -> int:
        if self.times is None or self.rate is None:
            return number - 1
        return int(nearest_frames(self.times, (number - 1) / self.rate))


def _clock(results: Sequence[Node], medium: str, context: ReadContext) -> _Clock:
    """Return the clock of a video: its rate by the keys' times, else by framesCount / duration."""
    rate: float | None = None
    for result in results:
        value = result["value"]
        keys = [key for key in value.rows_of("sequence") if "time" in key and "frame" in key]
        spots = sorted({(key["frame"].number(), key["time"].number()) for key in keys})
        if len(spots) > 1 and spots[-1][1] > spots[0][1]:
            rate = (spots[-1][0] - spots[0][0]) / (spots[-1][1] - spots[0][1])
        elif rate is None and "framesCount" in value and "duration" in value:
            length = value["duration"].number()
            rate = value["framesCount"].number() / length if length > 0 else None
    if rate is None or rate <= 0 or context.label_rate is not None:
        return _Clock(rate, None)
    return _Clock(rate, context.times_of(medium))


def _read_video(
    n: int,
    medium: str,
    results: list[Node],
    columns: LabelSetBuilder,
    context: ReadContext,
    where: str,
    *,
    split: str | None,
) -> None:
    video = columns.video(f"task {n}", _named(medium, f"task {n + 1}"))
    video.media, video.split = medium, split
    boxes = [result for result in results if _kind(result) == "videorectangle"]
    others = [result for result in results if _kind(result) != "videorectangle"]
    clock, named = _clock(boxes, medium, context), _named_regions(results)
    video.placed_by_time = clock.times is not None
    count = 0
    for result in boxes:
        value = result["value"]
        node = value.get("framesCount")
        keys = sorted(value["sequence"].rows(), key=lambda key: key["frame"].number())
        last = keys[-1]["frame"].whole() if keys else 0
        frames = node.whole() if node is not None else last
        video.check_frame(max(frames, 1) - 1, value.location)
        count = max(count, frames, last)
        size = _size(result, medium, context, where, video=True)
        video.set_size(size[1], size[0], where)
        region = _identity(result) or str(len(video))
        content = json.dumps(value.value, sort_keys=True)
        if columns.ids(f"task {n + 1}, region").add(region, content, "one track", result.location):
            track = video.track(f"region {region}")
            end = clock.frame(frames) + 1 if frames else 0
            label = _label(result, columns, named)
            _read_sequence(keys, video, size, label, track, end, clock, columns)
    if count:
        video.frame_count = len(clock.times) if clock.times is not None else count
        video.rate = None if clock.times is not None else clock.rate
        video.mark_annotated_until(clock.frame(count) + 1, where)
    for result in others:
        _ignore_in_video(result, video, clock, context)


def _ignore_in_video(
    result: Node, video: VideoLabelsBuilder, clock: _Clock, context: ReadContext
) -> None:
    """Count what is no box; a shape that is not known keeps the frames of its keys from empty."""
    _ignore(result, context)
    if _kind(result) in _NO_SHAPES | {"timelinelabels"} or "value" not in result:
        return
    for key in result["value"].rows_of("sequence"):
        number = key.get("frame")
        if number is not None:
            frame = video.check_frame(number.whole() - 1, key.location, base=1)
            video.lose(clock.frame(frame + 1), if_empty=True)


def _read_sequence(
    keys: list[Node],
    video: VideoLabelsBuilder,
    size_hw: tuple[int, int],
    label: int,
    track: int,
    frames: int,
    clock: _Clock,
    columns: LabelSetBuilder,
) -> None:
    numbers = [key["frame"].whole() for key in keys]
    for number, key in zip(numbers, keys, strict=True):
        video.check_frame(number - 1, key.location, base=1)
    frames_of_keys = [clock.frame(number) for number in numbers]
    for n, key in enumerate(keys):
        frame = frames_of_keys[n]
        sides, degrees = percent_sides(key, size_hw)
        if degrees % 360:
            columns.warnings.add("a rotated box; its upright bounding box is taken", key.location)
        following = keys[n + 1] if n + 1 < len(keys) else None
        if following is not None and frames_of_keys[n + 1] == frame:
            continue
        video.add(frame, turned_hull(sides, degrees), label, track=track)
        enabled = key.get("enabled")
        if enabled is not None and not enabled.boolean():
            continue
        goal, last_degrees = (
            (sides, degrees) if following is None else percent_sides(following, size_hw)
        )
        end = frames if following is None else frames_of_keys[n + 1]
        columns.hold(end - frame, key.location)
        for between in range(frame + 1, end):
            share = (between - frame) / (end - frame)
            mixed = [a + share * (b - a) for a, b in zip(sides, goal, strict=True)]
            box = turned_hull(mixed, degrees + share * (last_degrees - degrees))
            video.add(between, box, label, track=track)


def _read_image(
    n: int,
    medium: str,
    results: list[Node],
    columns: LabelSetBuilder,
    context: ReadContext,
    where: str,
    *,
    split: str | None,
) -> None:
    video = columns.still(f"task {n}", medium or f"task {n + 1}", where)
    video.name, video.split = _named(medium, f"task {n + 1}"), split
    named = _named_regions(results)
    for result in results:
        kind = _kind(result).removesuffix("labels")
        if _kind(result) in _NO_SHAPES or "value" not in result:
            _ignore(result, context)
            continue
        value = result["value"]
        size = _size(result, medium, context, where, video=False)
        video.set_size(size[1], size[0], where)
        label = _label(result, columns, named)
        if kind == "rectangle":
            sides, degrees = percent_sides(value, size)
            if degrees % 360:
                context.warnings.add(
                    "a rotated box; its upright bounding box is taken", value.location
                )
            video.add(0, turned_hull(sides, degrees), label)
        else:
            hull = hull_of_shape(kind, value, size)
            columns.add_shape(video, 0, hull, label, kind=kind, where=value.location)


def _ignore(result: Node, context: ReadContext) -> None:
    context.warnings.add(
        f"a result of kind {_kind(result)!r}, not a shape; left out", result.location
    )
