"""Options and result of `prepare`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lstmcli.core.types import DataWarning
from lstmcli.dataset.manifest import Dataset
from lstmcli.dataset.plan import TimeSplit
from lstmcli.labels.clock import LabelRate

DEFAULT_SHARE = 0.8
"""Share of the videos in the train split where neither the set nor the options define splits."""


@dataclass(frozen=True, slots=True)
class PrepareOptions:
    """Options of `prepare`.

    Args:
        format: a name of `READERS`; None: recognised from the content.
        media: folder of videos or images, where the labels hold no paths.
        split: share of the videos in the train split, without `val` and `split_time`; None: the
            set's own splits, or 0.8 without any.
        split_time: split every video in time instead.
        seed: of the random split.
        classes: kept classes, in this order; empty: all.
        rename: old name to new name.
        size_wh: (width, height) of the canvas; None: chosen from the videos.
        grid: pixels of the canvas a grid cell is wide and high.
        crop: side of the training crops in pixels of the canvas; 0: chosen from the objects.
        every: frame stride; 0: about ten frames a second.
        previews: pictures a split in `preview/`.
        notes: further notes for the review page.
        annotator: whose boxes are used where several people annotated.
        label_rate: frame rate of the labels, or "film"; None: compared with the video.
        propagate: label the frames between annotated ones, see `propagate`.
        store: `raw`, `jpeg`, or `auto`: raw while the frames fit easily.
    """

    format: str | None = None
    media: Path | None = None
    split: float | None = None
    split_time: TimeSplit | None = None
    seed: int = 0
    classes: tuple[str, ...] = ()
    rename: Mapping[str, str] | None = None
    size_wh: tuple[int, int] | None = None
    grid: int = 8
    crop: int = 0
    every: int = 0
    previews: int = 12
    notes: tuple[DataWarning, ...] = ()
    annotator: str = ""
    label_rate: LabelRate = None
    propagate: bool = False
    store: str = "auto"


@dataclass(frozen=True, slots=True)
class SplitCounts:
    """Counts of a split, one row of the table."""

    split: str
    videos: int
    frames: int
    labelled: int
    boxes: Mapping[str, int]
    ignored: int
    median_side: float


@dataclass(frozen=True, slots=True)
class Prepared:
    """Result of `prepare`.

    Args:
        dataset: as it can be loaded again.
        counts: a row a split.
        warnings: merged, with counts.
        previews: paths of the pictures.
        division: origin of the splits, "" where they are random or given.
    """

    dataset: Dataset
    counts: tuple[SplitCounts, ...]
    warnings: tuple[DataWarning, ...]
    previews: tuple[Path, ...]
    division: str = ""
