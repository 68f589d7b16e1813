"""`convert`: labels from one format to another, without the media if the labels hold sizes."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from lstmcli.core.errors import OutputError, choose, output_exists
from lstmcli.core.progress import Progress, SilentProgress
from lstmcli.core.scratch import scratch_folder
from lstmcli.core.types import DataWarning, LabelSet
from lstmcli.labels.clock import LabelRate
from lstmcli.labels.media import MediaFinder, ReadContext, aligned
from lstmcli.labels.search import ReadOptions, read_labels
from lstmcli.labels.warning_collector import WarningCollector
from lstmcli.labels.writers import LABEL_WRITERS, LabelWriter


@dataclass(frozen=True, slots=True)
class ConvertResult:
    """What was written.

    Args:
        path: the file or folder.
        classes: the names.
        videos: how many videos and images.
        frames: annotated frames, empty ones too.
        boxes: how many boxes.
        ignored: how many of them are ignored regions.
        warnings: what was dropped or doubtful in reading, and what the format cannot say.
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
        format: the format of the source; None recognises it.
        media: folder of the videos or images; only used if the labels hold no sizes.
        size_hw: (height, width) of media that are not there.
        annotator: whose boxes count where several people drew them.
        label_rate: frames a second that the labels count by, or "film"; None compares where the
            film is found.
        overwrite: whether what is at `out` may be replaced.
        progress: shows the reading of sizes.

    Raises:
        ConfigError: there is no such format.
        DataError: the labels cannot be read, or sizes are missing that the format needs.
        OutputError: something is at `out`, or it cannot be written.
    """
    writer = choose(LABEL_WRITERS, to, "format to write")
    if out is None:
        stem = source.resolve().stem or "labels"
        out = Path(f"{stem}-{to}" if writer.FOLDER else f"{stem}.{to}.json")
    if not writer.FOLDER and (out.is_dir() or out.suffix.lower() != ".json"):
        out = out / "annotations.json"
    _check_free(out, writer, overwrite=overwrite)
    progress = progress or SilentProgress()
    how = ReadOptions(format, media, size_hw, annotator, label_rate)
    labels = aligned(read_labels(source, options=how), source, media, label_rate)
    if writer.NEEDS_SIZE:
        labels = _with_sizes(labels, source, media, size_hw, progress)
    warnings = WarningCollector()
    _write(writer, labels, out, warnings)
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


def _check_free(out: Path, writer: LabelWriter, *, overwrite: bool) -> None:
    if not out.exists() or (out.is_dir() and writer.FOLDER and not any(out.iterdir())):
        return
    if not overwrite:
        raise output_exists(out)
    if out.is_dir():
        files = sorted(path for path in out.rglob("*") if not path.is_dir() or path.is_symlink())
        other = next((p for p in files if not _is_ours(p.relative_to(out), out)), None)
        if other is not None or not writer.FOLDER:
            raise OutputError(
                f"{out} holds other things than convert writes there ({(other or out).name})",
                hint="name a folder of its own with --out",
            )


def _is_ours(path: Path, folder: Path) -> bool:
    """Return whether a file was written by any of the writers, so that it may be replaced."""
    return any(writer.wrote(path, folder) for writer in LABEL_WRITERS.values())


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


def _write(writer: LabelWriter, labels: LabelSet, out: Path, warnings: WarningCollector) -> None:
    """Write under a temporary name beside `out` and rename: no output is half-written."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with scratch_folder(out) as scratch:
            part = scratch / "part"
            if writer.FOLDER:
                part.mkdir()
            writer.write(labels, part, warnings)
            if out.is_dir():
                shutil.rmtree(out)
            os.replace(part, out)  # noqa: PTH105 - also from a file to a file
    except OSError as error:
        raise OutputError(
            f"{out}: {error.strerror or error}", hint="name another place with --out"
        ) from None
