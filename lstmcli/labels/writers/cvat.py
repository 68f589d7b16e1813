"""CVAT: a file of its own for each video (CVAT for video 1.1), one for all pictures (for images).

https://docs.cvat.ai/docs/manual/advanced/formats/format-cvat/. A track's box holds until the next
one, so that a box with `outside="1"` follows the last of each stretch. Frames lie on the grid
`start_frame + n * step`; other labelled frames cannot be said. A divided set has its part as the
`subset` of each task; the pictures of each part have a file of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from lstmcli.core.types import LabelSet, VideoLabels
from lstmcli.labels.warning_collector import WarningCollector
from lstmcli.labels.writers.regions import frames_of_regions
from lstmcli.labels.writers.tracks import tracks_of

FOLDER = True
NEEDS_SIZE = True
KEEPS_SCORES = False
LISTS_FRAMES = False


MARK = "<!-- written by lstmcli convert -->"


def write(labels: LabelSet, out: Path, warnings: WarningCollector) -> None:
    """Write `NAME.xml` for every video, and `images.xml` (`images.train.xml` ...) for pictures."""
    pictures: dict[str | None, list[VideoLabels]] = {}
    for video in labels.videos:
        ignored = int(video.ignore.sum())
        warnings.add("an ignored region; CVAT cannot say so, left out", video.name, ignored)
        lost = len(frames_of_regions(video))
        if len(video.images) != 1:
            warnings.add(
                "a frame with nothing but ignored regions; CVAT shows it empty", video.name, lost
            )
            path = out / f"{video.name}.xml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(_video(video, labels.classes, warnings)), encoding="utf-8")
        elif lost:
            warnings.add("a picture with nothing but ignored regions; left out", video.name)
        else:
            pictures.setdefault(video.split, []).append(video)
    for split, videos in pictures.items():
        path = out / (f"images.{split}.xml" if split else "images.xml")
        path.write_text("\n".join(_pictures(videos, labels.classes)), encoding="utf-8")


def _head(classes: tuple[str, ...], inner: list[str]) -> Iterator[str]:
    yield '<?xml version="1.0" encoding="utf-8"?>'
    yield MARK
    yield "<annotations>"
    yield "  <version>1.1</version>"
    yield "  <meta><task>"
    yield from (f"    {line}" for line in inner)
    yield "    <labels>"
    for name in classes:
        yield f"      <label><name>{escape(name)}</name><attributes></attributes></label>"
    yield "    </labels>"
    yield "  </task></meta>"


def _video(
    video: VideoLabels, classes: tuple[str, ...], warnings: WarningCollector
) -> Iterator[str]:
    assert video.size_hw is not None
    height, width = video.size_hw
    frames, step = _grid(video, warnings)
    inner = [
        f"<name>{escape(video.name)}</name>",
        f"<size>{len(frames)}</size>",
        "<mode>interpolation</mode>",
        f"<start_frame>{frames.start}</start_frame>",
        f"<stop_frame>{frames[-1]}</stop_frame>",
        f"<frame_filter>{f'step={step}' if step > 1 else ''}</frame_filter>",
        f"<original_size><width>{width}</width><height>{height}</height></original_size>",
        f"<source>{escape(video.media or video.name)}</source>",
        *_subset(video),
    ]
    yield from _head(classes, inner)
    for number, rows in enumerate(tracks_of(video, warnings)):
        label = quoteattr(classes[int(video.labels[rows[0]])])
        yield f'  <track id="{number}" label={label} source="auto">'
        at = {int(video.box_frames[row]): row for row in rows}
        for frame, row in at.items():
            yield f"    {_box(video, row, frame, is_outside=False)}"
            if frame + step <= frames[-1] and frame + step not in at:
                yield f"    {_box(video, row, frame + step, is_outside=True)}"
        yield "  </track>"
    yield "</annotations>\n"


def _subset(video: VideoLabels) -> list[str]:
    return [f"<subset>{video.split}</subset>"] if video.split else []


def _grid(video: VideoLabels, warnings: WarningCollector) -> tuple[range, int]:
    """Return the frames of the task: those that are annotated, if they lie evenly."""
    annotated = video.annotated_frames
    if not len(annotated):
        return range(1), 1
    gaps = np.diff(annotated)
    step = int(np.gcd.reduce(gaps)) if len(gaps) else 1
    frames = range(int(annotated[0]), int(annotated[-1]) + 1, step)
    warnings.add(
        "a frame without annotation between others; CVAT shows it empty",
        video.name,
        len(frames) - len(annotated),
    )
    return frames, step


def _box(video: VideoLabels, row: int, frame: int, *, is_outside: bool) -> str:
    return (
        f'<box frame="{frame}" keyframe="1" outside="{int(is_outside)}" occluded="0" '
        f'{_sides(video, row)} z_order="0"></box>'
    )


def _sides(video: VideoLabels, row: int) -> str:
    names = ("xtl", "ytl", "xbr", "ybr")
    sides = video.boxes[row].tolist()
    return " ".join(f'{name}="{side:.4f}"' for name, side in zip(names, sides, strict=True))


def _pictures(videos: list[VideoLabels], classes: tuple[str, ...]) -> Iterator[str]:
    inner = [f"<size>{len(videos)}</size>", "<mode>annotation</mode>", *_subset(videos[0])]
    yield from _head(classes, inner)
    for number, video in enumerate(videos):
        assert video.size_hw is not None
        height, width = video.size_hw
        name = quoteattr(video.images[0])
        yield f'  <image id="{number}" name={name} width="{width}" height="{height}">'
        for row in range(len(video.box_frames)):
            if not video.ignore[row]:
                label = quoteattr(classes[int(video.labels[row])])
                sides = _sides(video, row)
                yield f'    <box label={label} source="auto" occluded="0" {sides}></box>'
        yield "  </image>"
    yield "</annotations>\n"
