"""`prepare`: annotated videos or images to a checked, split dataset of letterboxed frames."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from lstmcli.core.errors import DataError, LstmcliError
from lstmcli.core.files import check_replaceable, claim, new_folder, real_place
from lstmcli.core.progress import Progress, SilentProgress
from lstmcli.core.types import DataWarning, IntArray, LabelSet, VideoLabels
from lstmcli.dataset.label_checks import Review, review
from lstmcli.dataset.manifest import Dataset, PreparedVideo
from lstmcli.dataset.pixel_checks import check_pictures
from lstmcli.dataset.plan import (
    TimeSplit,
    choose_canvas,
    choose_classes,
    choose_crop,
    choose_frame_stride,
    merge_sets,
)
from lstmcli.dataset.preview import write_previews
from lstmcli.labels.division import part_of_file, part_of_folder
from lstmcli.labels.exif import turn_with_exif
from lstmcli.labels.media import locate_media
from lstmcli.labels.search import ReadOptions, read_labels
from lstmcli.models.losses import Targets, assign
from lstmcli.report.dataset_page import write_dataset_page
from lstmcli.report.page import PagePicture
from lstmcli.video import probe, read_images
from lstmcli.workflows.prepare.frames import write_frames
from lstmcli.workflows.prepare.options import Prepared, PrepareOptions, SplitCounts
from lstmcli.workflows.prepare.propagate import propagate
from lstmcli.workflows.prepare.splits import keep_own_splits

__all__ = ["PrepareOptions", "Prepared", "SplitCounts", "TimeSplit", "merge_warnings", "prepare"]


def prepare(
    sources: Sequence[Path],
    *,
    out: Path,
    val: Sequence[Path] = (),
    test: Sequence[Path] = (),
    options: PrepareOptions | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Prepared:
    """Read annotations, letterbox their frames and write a dataset.

    Args:
        sources: annotation files or folders for training (or for all splits).
        out: the dataset's folder.
        val: sources of the val split.
        test: sources of the test split.
        options: see `PrepareOptions`.
        overwrite: replace an existing dataset.
        progress: shows progress and notes.

    Raises:
        DataError: invalid labels; MediaError: unreadable videos.
        OutputError: the folder exists or cannot be written.
    """
    options = options or PrepareOptions()
    progress = progress or SilentProgress()
    out = real_place(out)
    with claim(out):
        check_replaceable(out, overwrite=overwrite)
        labels, splits = _read_all(sources, val, test, options)
        if options.propagate:
            labels = propagate(labels, progress)
        labels = replace(labels, warnings=(*options.notes, *labels.warnings))
        splits, division = keep_own_splits(labels, splits, options)
        try:
            with new_folder(out, overwrite=overwrite) as folder:
                prepared = _write(labels, splits, folder, out.name, options, progress)
        except LstmcliError:
            for warning in labels.warnings:  # they may be the cause, and are not shown otherwise
                times = f" ({warning.count} times)" if warning.count > 1 else ""
                text = ": ".join(part for part in (warning.where, warning.text) if part)
                progress.note(f"{text}{times}")
            raise
    return replace(
        prepared,
        dataset=replace(prepared.dataset, folder=out.resolve()),
        previews=tuple(out / path.relative_to(folder) for path in prepared.previews),
        division=division,
    )


def _write(
    labels: LabelSet,
    splits: list[str | None],
    folder: Path,
    name: str,
    options: PrepareOptions,
    progress: Progress,
) -> Prepared:
    """Write the dataset into an empty folder."""
    if not any(len(video.box_frames) for video in labels.videos):
        raise DataError("there is no box in these labels", hint="annotate some objects first")
    sizes = [video.size_hw for video in labels.videos if video.size_hw is not None]
    canvas_hw = choose_canvas(sizes, options.size_wh, options.grid)
    crop = options.crop or choose_crop(labels.videos, canvas_hw)
    every = options.every or choose_frame_stride(labels.videos)
    (folder / "frames").mkdir()
    dataset = Dataset(folder.resolve(), labels.classes, canvas_hw, options.grid, crop, every, ())
    dataset, warnings, uncut = write_frames(dataset, labels, splits, options, progress)
    dataset.save()
    previews = write_previews(
        dataset, folder / "preview", count=options.previews, positive_cells=_positive_cells
    )
    found = _review(dataset, uncut, options, [*labels.warnings, *warnings])
    write_dataset_page(
        folder / "preview" / "index.html",
        title=f"Dataset {name}",
        warnings=found.warnings,
        tables=found.tables()[:2],
        histograms=(found.sizes, found.motion),
        pictures=_page_pictures(previews),
    )
    return Prepared(
        dataset,
        tuple(_counts(dataset, name) for name in ("train", "val", "test") if _has(dataset, name)),
        found.warnings,
        tuple(previews),
    )


def _read_all(
    sources: Sequence[Path], val: Sequence[Path], test: Sequence[Path], options: PrepareOptions
) -> tuple[LabelSet, list[str | None]]:
    """Return all labels in one set, and each video's split, None where it is still open."""
    sets, splits = [], []
    how = ReadOptions(
        options.format,
        options.media,
        annotator=options.annotator,
        label_rate=options.label_rate,
    )
    undecided = None if not val else "train"
    for group, split in ((sources, undecided), (val, "val"), (test, "test")):
        for source in group:
            read = read_labels(source, options=how)
            located = locate_media(read, source, options.media, label_rate=options.label_rate)
            found = turn_with_exif(located)
            sets.append(
                _with_split_of_source(found, source)
                if split is None and len(sources) > 1
                else found
            )
            splits += [split] * len(sets[-1].videos)
    labels = choose_classes(merge_sets(sets), options.classes, options.rename or {})
    videos = tuple(
        video if video.size_hw is not None else replace(video, size_hw=_size_of(video))
        for video in labels.videos
    )
    return replace(labels, videos=videos), splits


def _with_split_of_source(labels: LabelSet, source: Path) -> LabelSet:
    """Return the set with the split of its source's name, if that is one."""
    name = source.resolve().name
    part = part_of_folder(name) if source.is_dir() else part_of_file(name)
    videos = tuple(replace(video, split=video.split or part) for video in labels.videos)
    return replace(labels, videos=videos)


def _size_of(video: VideoLabels) -> tuple[int, int]:
    if video.media is not None:
        return probe(video.media).size_hw
    first = next((path for path in video.images if path), None)
    if first is None:
        raise DataError(f"{video.name}: no frame of it has an image", hint="give --media")
    return next(read_images([Path(first)])).size_hw


def _positive_cells(dataset: Dataset, video: PreparedVideo, frame: int) -> IntArray:
    """Return the positive cells, int64 [n, 2] (row, column), for the previews."""
    gt = video.labels.at(frame)
    if gt is None or len(gt) == 0:
        return np.zeros((0, 2), np.int64)
    height, width = (side // dataset.grid for side in dataset.canvas_hw)
    y, x = np.mgrid[:height, :width]
    centres = torch.from_numpy((np.stack((x.ravel(), y.ravel()), 1) + 0.5) * dataset.grid).float()
    n = len(gt)
    targets = Targets(
        torch.from_numpy(dataset.canvas_boxes(video, gt.boxes))[None],
        torch.from_numpy(gt.labels)[None],
        torch.ones(1, n, dtype=torch.bool),
        torch.from_numpy(gt.ignore)[None],
        torch.ones(1, n),
        torch.ones(1, dtype=torch.bool),
    )
    cells = assign(targets, centres, stride=dataset.grid, radius=1.5).box[0] >= 0
    return np.argwhere(cells.numpy().reshape(height, width)).astype(np.int64)


def _review(
    dataset: Dataset,
    uncut: Sequence[VideoLabels],
    options: PrepareOptions,
    warnings: Sequence[DataWarning],
) -> Review:
    """Return likely errors of the data."""
    # two parts of one video are no leak with --split-time
    alone = options.split_time is not None
    videos = tuple(
        replace(video.labels, media="") if alone else video.labels for video in dataset.videos
    )
    found = review(
        LabelSet(dataset.classes, videos),
        {video.name: video.split for video in dataset.videos},
        uncut=uncut,
        found_in_pictures=check_pictures(dataset, check_near_duplicates=not alone),
    )
    return replace(found, warnings=merge_warnings([*warnings, *found.warnings]))


def _page_pictures(previews: Sequence[Path]) -> list[PagePicture]:
    return [PagePicture(path.stem, path.read_bytes()) for path in previews]


def merge_warnings(warnings: Sequence[DataWarning]) -> tuple[DataWarning, ...]:
    """Merge equal texts: location of the first case and count."""
    merged: dict[str, DataWarning] = {}
    for warning in warnings:
        old = merged.get(warning.text)
        merged[warning.text] = (
            warning if old is None else replace(old, count=old.count + warning.count)
        )
    return tuple(merged.values())


def _has(dataset: Dataset, split: str) -> bool:
    return any(video.split == split for video in dataset.videos)


def _counts(dataset: Dataset, split: str) -> SplitCounts:
    videos = dataset.split(split)
    boxes: Counter[str] = Counter(dict.fromkeys(dataset.classes, 0))
    sides = []
    for video in videos:
        labels = video.labels
        counted = labels.labels[~labels.ignore]
        boxes.update({dataset.classes[i]: int(n) for i, n in enumerate(np.bincount(counted))})
        canvas = dataset.canvas_boxes(video, labels.boxes[~labels.ignore])
        sides.append(np.sqrt(np.prod(canvas[:, 2:] - canvas[:, :2], axis=1)))
    together = np.concatenate(sides)
    return SplitCounts(
        split,
        videos=len(videos),
        frames=sum(len(video.frames) for video in videos),
        labelled=sum(int(np.isin(v.frames, v.labels.annotated_frames).sum()) for v in videos),
        boxes=dict(boxes),
        ignored=sum(int(video.labels.ignore.sum()) for video in videos),
        median_side=float(np.median(together)) if len(together) else 0.0,
    )
