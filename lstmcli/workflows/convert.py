"""`convert`: labels from one format to another, without the media if the labels hold sizes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from lstmcli.core.errors import choose
from lstmcli.core.files import (
    atomic_write,
    check_free,
    check_replaceable,
    claim,
    new_folder,
    real_place,
)
from lstmcli.core.limits import check_limit
from lstmcli.core.progress import Progress, SilentProgress
from lstmcli.core.types import DataWarning, LabelSet
from lstmcli.labels.clock import LabelRate
from lstmcli.labels.context import ReadContext
from lstmcli.labels.exif import turn_found_images
from lstmcli.labels.media import aligned
from lstmcli.labels.media_finder import MediaFinder
from lstmcli.labels.search import ReadOptions, read_labels
from lstmcli.labels.warning_collector import WarningCollector
from lstmcli.labels.writers import LABEL_WRITERS


@dataclass(frozen=True, slots=True)
class ConvertResult:
    """Result of a conversion.

    Args:
        path: the file or folder.
        classes: class names.
        videos: number of videos and images.
        frames: annotated frames, empty ones too.
        boxes: number of boxes.
        ignored: ignored regions among them.
        warnings: of reading, and on properties that the format cannot hold.
    """

    path: Path
    classes: tuple[str, ...]
    videos: int
    frames: int
    boxes: int
    ignored: int
    warnings: tuple[DataWarning, ...]


def convert(
    source: Path,
    to: str,
    out: Path | None = None,
    *,
    format: str | None = None,
    media: Path | None = None,
    size_hw: tuple[int, int] | None = None,
    annotator: str = "",
    label_rate: LabelRate = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ConvertResult:
    """Read labels and write them in another format.

    Args:
        source: a label file, or a folder with label files.
        to: a name of `LABEL_WRITERS`.
        out: the file (a folder gets `annotations.json`) or folder to write, as the format needs;
            None: named after the source, in the current folder.
        format: the format of the source; None: recognised from the content.
        media: folder of the videos or images; only used if the labels hold no sizes.
        size_hw: (height, width) of missing media.
        annotator: whose boxes are used where several people annotated.
        label_rate: frame rate of the labels, or "film"; None: compared with the video, if found.
        overwrite: replace existing output.
        progress: shows the reading of sizes.

    Raises:
        ConfigError: no such format.
        DataError: the labels cannot be read, or sizes are missing that the format needs.
        OutputError: `out` exists, or cannot be written.
    """
    writer = choose(LABEL_WRITERS, to, "format to write")
    if out is None:
        stem = source.resolve().stem or "labels"
        out = Path(f"{stem}-{to}" if writer.FOLDER else f"{stem}.{to}.json")
    if not writer.FOLDER and (out.is_dir() or out.suffix.lower() != ".json"):
        out = out / "annotations.json"
    out = real_place(out) if writer.FOLDER else out
    progress = progress or SilentProgress()
    how = ReadOptions(format, media, size_hw, annotator, label_rate)
    warnings = WarningCollector()
    with claim(out):
        check = check_replaceable if writer.FOLDER else check_free
        check(out, overwrite=overwrite)
        labels = aligned(read_labels(source, options=how), source, media, label_rate)
        labels = turn_found_images(labels, MediaFinder(source, media))
        if writer.NEEDS_SIZE:
            labels = _with_sizes(labels, source, media, size_hw, progress)
        if writer.LISTS_FRAMES:
            frames = sum(len(video.annotated_frames) for video in labels.videos)
            check_limit("listed_frames", frames, str(source))
        soft = sum(video.scores is not None for video in labels.videos)
        if soft and not writer.KEEPS_SCORES:
            warnings.add(f"scores of soft labels; {to} labels do not hold them", str(source), soft)
        write = new_folder if writer.FOLDER else atomic_write
        with write(out, overwrite=overwrite) as path:
            writer.write(labels, path, warnings)
    videos = labels.videos
    return ConvertResult(
        path=out,
        classes=labels.classes,
        videos=len(videos),
        frames=sum(len(video.annotated_frames) for video in videos),
        boxes=sum(len(video.labels) for video in videos),
        ignored=sum(int(video.ignore.sum()) for video in videos),
        warnings=labels.warnings + warnings.collected(),
    )


def _with_sizes(
    labels: LabelSet,
    source: Path,
    media: Path | None,
    size_hw: tuple[int, int] | None,
    progress: Progress,
) -> LabelSet:
    context = ReadContext(MediaFinder(source, media), size_hw)
    videos = []
    for video in progress.track(labels.videos, total=len(labels.videos), label="sizes"):
        if video.size_hw is None:
            written = video.media or next((path for path in video.images if path), video.name)
            size = context.size_of(written, f"{source}, {video.name}", video=not video.images)
            video = replace(video, size_hw=size)
        videos.append(video)
    return LabelSet(labels.classes, tuple(videos), labels.warnings)
