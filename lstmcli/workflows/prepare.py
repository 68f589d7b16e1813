"""Annotated videos or images -> a checked, split dataset with its frames laid on the canvas."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from lstmcli.core.errors import DataError, MediaError, OutputError, choose
from lstmcli.core.geometry import Letterbox
from lstmcli.core.progress import Progress, SilentProgress
from lstmcli.core.structures import DataWarning, IntArray, LabelSet, VideoLabels
from lstmcli.data.formats import read_labels
from lstmcli.data.frame_store import FORMS, FrameStoreWriter
from lstmcli.data.manifest import FILE_NAME, Dataset, PreparedVideo
from lstmcli.data.media import locate_media
from lstmcli.data.picture_checks import check_pictures
from lstmcli.data.planning import (
    TimeSplit,
    choose_canvas,
    choose_classes,
    choose_crop,
    choose_every,
    frames_to_prepare,
    merge_sets,
    put_right,
    split_by_video,
)
from lstmcli.data.preview import write_previews
from lstmcli.data.review import Review, review
from lstmcli.data.review_page import PagePicture, write_page
from lstmcli.models.loss import Targets, assign
from lstmcli.video import Frame, probe, read_frames, read_images

RAW_LIMIT = 12 << 30
"""Bytes of raw frames above which JPEG is chosen: more would not stay in memory."""


@dataclass(frozen=True, slots=True)
class PrepareOptions:
    """What a user can choose.

    Args:
        format: a name of `READERS`; None: recognised from the content.
        media: where videos or images lie, when the annotation file does not say.
        split: share of the videos that trains, where neither `val` nor `split_time` is given.
        split_time: divide every video in time instead.
        seed: of the draw of videos.
        classes: which are kept, in this order; empty: all.
        rename: old name to new name.
        size_wh: (width, height) of the canvas; None: chosen from the videos.
        grid: pixels of the canvas a grid cell is wide and high.
        crop: side of the training crops in pixels of the canvas; 0: chosen from the objects.
        every: prepare every how manieth frame; 0: chosen so that about ten a second are left, where
            there is plenty.
        previews: pictures a split in `preview/`.
        store: `raw`, `jpeg`, or `auto`: raw while the frames fit easily.
    """

    format: str | None = None
    media: Path | None = None
    split: float = 0.8
    split_time: TimeSplit | None = None
    seed: int = 0
    classes: tuple[str, ...] = ()
    rename: Mapping[str, str] | None = None
    size_wh: tuple[int, int] | None = None
    grid: int = 8
    crop: int = 0
    every: int = 0
    previews: int = 12
    store: str = "auto"


@dataclass(frozen=True, slots=True)
class SplitCounts:
    """One row of the table: what a split holds."""

    split: str
    videos: int
    frames: int
    labelled: int
    boxes: Mapping[str, int]
    ignored: int
    median_side: float


@dataclass(frozen=True, slots=True)
class Prepared:
    """What `prepare` wrote.

    Args:
        dataset: as it can be loaded again.
        counts: a row a split.
        warnings: equal ones are counted, not repeated.
        previews: the pictures.
    """

    dataset: Dataset
    counts: tuple[SplitCounts, ...]
    warnings: tuple[DataWarning, ...]
    previews: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class _Job:
    split: str
    labels: VideoLabels
    size_hw: tuple[int, int]


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
    """Read annotations, lay their frames on the canvas and write a dataset.

    Args:
        sources: annotation files or folders for training (or for all splits).
        out: the dataset's folder.
        val: sources that are used for validation alone.
        test: sources that are used for nothing but a last evaluation.
        options: see `PrepareOptions`.
        overwrite: replace a dataset that is there.
        progress: who looks on.

    Raises:
        DataError: labels that cannot be used; MediaError: videos that cannot be read.
        OutputError: the folder exists or cannot be written.
    """
    options = options or PrepareOptions()
    progress = progress or SilentProgress()
    if out.exists() and any(out.iterdir() if out.is_dir() else [out]) and not overwrite:
        raise OutputError(f"{out}: exists already", hint="choose another --out or add --overwrite")
    if overwrite and out.is_dir() and any(out.iterdir()) and not (out / FILE_NAME).is_file():
        raise OutputError(
            f"{out}: holds other things than a prepared dataset, it is not replaced",
            hint="choose another --out",
        )
    if Path.cwd().is_relative_to(out.resolve()):
        raise OutputError(
            f"{out}: the folder that this was started in cannot be made anew",
            hint="give --out a folder that is not there yet",
        )
    labels, splits = _read_all(sources, val, test, options)
    if not any(len(video.box_frames) for video in labels.videos):
        raise DataError("there is no box in these labels", hint="annotate some objects first")
    sizes = [video.size_hw for video in labels.videos if video.size_hw is not None]
    canvas_hw = choose_canvas(sizes, options.size_wh, options.grid)
    crop = options.crop or choose_crop(labels.videos, canvas_hw)
    every = options.every or choose_every(labels.videos)
    part = out.with_name(out.name + ".part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        (part / "frames").mkdir(parents=True)
        dataset = Dataset(part.resolve(), labels.classes, canvas_hw, options.grid, crop, every, ())
        dataset, warnings = _write_frames(dataset, labels, splits, options, progress)
        dataset.save()
        previews = write_previews(
            dataset, part / "preview", count=options.previews, positive_cells=_positive_cells
        )
        found = _review(dataset, options, [*labels.warnings, *warnings])
        write_page(part / "preview" / "index.html", found, _page_pictures(previews), title=out.name)
        if out.exists():
            shutil.rmtree(out)
        part.replace(out)
    except OSError as error:
        shutil.rmtree(part, ignore_errors=True)
        raise OutputError(
            f"{error.filename or out}: {error.strerror or error}",
            hint="free some space or choose another --out",
        ) from None
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    dataset = replace(dataset, folder=out.resolve())
    return Prepared(
        dataset,
        tuple(_counts(dataset, name) for name in ("train", "val", "test") if _has(dataset, name)),
        found.warnings,
        tuple(out / path.relative_to(part) for path in previews),
    )


def _read_all(
    sources: Sequence[Path], val: Sequence[Path], test: Sequence[Path], options: PrepareOptions
) -> tuple[LabelSet, list[str | None]]:
    """Return all labels in one set, and each video's split, None where it is still to be drawn."""
    sets, splits = [], []
    undecided = None if not val else "train"
    for group, split in ((sources, undecided), (val, "val"), (test, "test")):
        for source in group:
            read = read_labels(source, format=options.format, media=options.media)
            sets.append(locate_media(read, source, options.media))
            splits += [split] * len(sets[-1].videos)
    labels = choose_classes(merge_sets(sets), options.classes, options.rename or {})
    videos = tuple(
        video if video.size_hw is not None else replace(video, size_hw=_size_of(video))
        for video in labels.videos
    )
    return replace(labels, videos=videos), splits


def _size_of(video: VideoLabels) -> tuple[int, int]:
    if video.media is not None:
        return probe(video.media).size_hw
    first = next((path for path in video.images if path), None)
    if first is None:
        raise DataError(f"{video.name}: no frame of it has an image", hint="give --media")
    return next(read_images([Path(first)])).size_hw


def _assign_splits(
    jobs: list[tuple[VideoLabels, str | None]], options: PrepareOptions
) -> list[tuple[VideoLabels, str]]:
    open_ones = [video for video, split in jobs if split is None]
    if not open_ones:
        return [(video, split) for video, split in jobs if split is not None]
    if options.split_time is not None:
        return [
            (part, name)
            for video, split in jobs
            for part, name in (
                [(video, split)] if split is not None else _cut_in_time(video, options.split_time)
            )
        ]
    groups = [
        int(np.bincount(video.labels).argmax()) if len(video.labels) else -1 for video in open_ones
    ]
    drawn = split_by_video([v.name for v in open_ones], groups, options.split, options.seed)
    return [(video, split or drawn[video.name]) for video, split in jobs]


def _cut_in_time(video: VideoLabels, cut: TimeSplit) -> Iterator[tuple[VideoLabels, str]]:
    """Yield the beginning of a video for training and its end for validation."""
    if len(video.looked_at) < 2:
        yield video, "train"
        return
    border = int(
        video.looked_at[min(len(video.looked_at) - 1, round(len(video.looked_at) * cut.share))]
    )
    gap = round(cut.gap_s * (video.rate or 25.0))
    for name, first, last in (
        ("train", 0, border),
        ("val", border + gap, int(video.looked_at[-1]) + 1),
    ):
        frames = (video.looked_at >= first) & (video.looked_at < last)
        rows = (video.box_frames >= first) & (video.box_frames < last)
        yield (
            replace(
                video,
                name=f"{video.name} {name}",
                looked_at=video.looked_at[frames],
                box_frames=video.box_frames[rows],
                boxes=video.boxes[rows],
                labels=video.labels[rows],
                tracks=video.tracks[rows],
                ignore=video.ignore[rows],
            ),
            name,
        )


def _write_frames(
    dataset: Dataset,
    labels: LabelSet,
    splits: list[str | None],
    options: PrepareOptions,
    progress: Progress,
) -> tuple[Dataset, list[DataWarning]]:
    jobs = _assign_splits(list(zip(labels.videos, splits, strict=True)), options)
    expected = [frames_to_prepare(v, _known_count(v), dataset.every) for v, _ in jobs]
    total = sum(len(frames) for frames in expected)
    form = _form_of(dataset, total, options.store)
    warnings: list[DataWarning] = []
    videos: list[PreparedVideo] = []

    def canvases() -> Iterator[None]:
        for number, ((video, split), frames) in enumerate(zip(jobs, expected, strict=True)):
            if len(frames) == 0:
                warnings.append(DataWarning("videos without any truth were left out", video.name))
                continue
            size_hw = video.size_hw
            assert size_hw is not None
            store = f"frames/{number:05d}.{form}"
            letterbox = Letterbox(size_hw, dataset.canvas_hw)
            times: list[float] = []
            kept: list[int] = []
            count = 0
            with FrameStoreWriter(
                dataset.folder / store, form=form, canvas_hw=dataset.canvas_hw
            ) as writer:
                wanted = set(frames.tolist())
                for frame in _frames_of(video):
                    count = frame.index + 1
                    if frame.index in wanted:
                        if frame.size_hw != size_hw:
                            raise MediaError(
                                f"{video.media or video.images[frame.index]}: "
                                f"{frame.size_hw[1]}x{frame.size_hw[0]} pixels, the "
                                f"labels say {size_hw[1]}x{size_hw[0]}",
                                hint="these labels were made for another copy of it",
                            )
                        writer.add(frame.canvas(letterbox))
                        kept.append(frame.index)
                        times.append(frame.time_s)
                        yield None
                    if frame.index >= frames[-1]:
                        # the rest is not needed, but the number of frames is
                        count = max(count, video.frame_count or 0)
                        if len(video.box_frames) == 0 or video.box_frames[-1] < count:
                            break
            right, found = put_right(video, size_hw, count)
            warnings.extend(found)
            if len(kept) < len(frames):
                warnings.append(
                    DataWarning(
                        "frames with truth are missing from the video",
                        f"{video.name}, {count} frames",
                        len(frames) - len(kept),
                    )
                )
            videos.append(
                PreparedVideo(
                    name=video.name,
                    split=split,
                    path=video.media if video.media is not None else _folder(video),
                    size_hw=size_hw,
                    rate=video.rate or _rate_of(times),
                    frames=np.array(kept, np.int64),
                    times=np.array(times, np.float64),
                    store=store,
                    labels=replace(right, frame_count=max(count, video.frame_count or 0)),
                )
            )

    for _ in progress.track(canvases(), total=total, label="frames"):
        pass
    return replace(dataset, videos=tuple(videos)), warnings


def _form_of(dataset: Dataset, frames: int, wanted: str) -> str:
    """Return how frames are stored: raw while they fit easily, otherwise as JPEG."""
    if wanted != "auto":
        return choose({form: form for form in FORMS}, wanted, "frame store")
    size = frames * dataset.canvas_hw[0] * dataset.canvas_hw[1] * 3 // 2
    free = shutil.disk_usage(dataset.folder).free
    return "raw" if size <= min(RAW_LIMIT, free // 3) else "jpeg"


def _known_count(video: VideoLabels) -> int:
    if video.media is None:
        return len(video.images)
    # what the labels say of the length may be short of the truth that they hold
    truth = int(video.looked_at[-1]) + 1 if len(video.looked_at) else 0
    return max(truth, video.frame_count or 0)


def _frames_of(video: VideoLabels) -> Iterator[Frame]:
    if video.media is not None:
        yield from read_frames(video.media)
        return
    places = [place for place, path in enumerate(video.images) if path]
    frames = read_images([Path(video.images[place]) for place in places], rate=video.rate or 25.0)
    for place, frame in zip(places, frames, strict=True):
        frame.index = place
        frame.time_s = place / (video.rate or 25.0)
        yield frame


def _folder(video: VideoLabels) -> str:
    return str(Path(next(path for path in video.images if path)).parent)


def _rate_of(times: list[float]) -> float:
    steps = np.diff(times)
    return float(1 / np.median(steps)) if len(steps) and np.median(steps) > 0 else 25.0


def _positive_cells(dataset: Dataset, video: PreparedVideo, frame: int) -> IntArray:
    """Return the cells that must find something, int64 [n, 2] (row, column), for the previews."""
    truth = video.labels.at(frame)
    if truth is None or len(truth) == 0:
        return np.zeros((0, 2), np.int64)
    height, width = (side // dataset.grid for side in dataset.canvas_hw)
    y, x = np.mgrid[:height, :width]
    centres = torch.from_numpy((np.stack((x.ravel(), y.ravel()), 1) + 0.5) * dataset.grid).float()
    n = len(truth)
    targets = Targets(
        torch.from_numpy(dataset.canvas_boxes(video, truth.boxes))[None],
        torch.from_numpy(truth.labels)[None],
        torch.ones(1, n, dtype=torch.bool),
        torch.from_numpy(truth.ignore)[None],
        torch.ones(1, dtype=torch.bool),
    )
    cells = assign(targets, centres, stride=dataset.grid, radius=1.5).box[0] >= 0
    return np.argwhere(cells.numpy().reshape(height, width)).astype(np.int64)


def _review(dataset: Dataset, options: PrepareOptions, warnings: Sequence[DataWarning]) -> Review:
    """Look for what is likely wrong with the data, before an hour of training is spent on it."""
    # two parts of one video are no leak where the user asked for them
    alone = options.split_time is not None
    videos = tuple(
        replace(video.labels, media="") if alone else video.labels for video in dataset.videos
    )
    found = review(
        LabelSet(dataset.classes, videos),
        {video.name: video.split for video in dataset.videos},
        found_in_pictures=check_pictures(dataset, look_for_twins=not alone),
    )
    return replace(found, warnings=merge_warnings([*warnings, *found.warnings]))


def _page_pictures(previews: Sequence[Path]) -> list[PagePicture]:
    return [PagePicture(path.stem, path.read_bytes()) for path in previews]


def merge_warnings(warnings: Sequence[DataWarning]) -> tuple[DataWarning, ...]:
    """Return each text once, with the place of its first case and the number of all."""
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
        labelled=sum(int(np.isin(v.frames, v.labels.looked_at).sum()) for v in videos),
        boxes=dict(boxes),
        ignored=sum(int(video.labels.ignore.sum()) for video in videos),
        median_side=float(np.median(together)) if len(together) else 0.0,
    )
