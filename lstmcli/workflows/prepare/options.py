"""What `prepare` is asked for, and what it leaves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lstmcli.core.types import DataWarning
from lstmcli.dataset.manifest import Dataset
from lstmcli.dataset.plan import TimeSplit
from lstmcli.labels.clock import LabelRate

DEFAULT_SHARE = 0.8
"""Of the videos that trains where neither the set nor the person divides them."""


@dataclass(frozen=True, slots=True)
class PrepareOptions:
    """What a user can choose.

    Args:
        format: a name of `READERS`; None: recognised from the content.
        media: where videos or images lie, when the annotation file does not say.
        split: share of the videos that trains, where neither `val` nor `split_time` is given; None:
            the set's own division, or 0.8 where it has none.
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
        notes: what a person should know of the labels besides, for the review page.
        annotator: whose boxes count where several people drew them.
        label_rate: frames a second that the labels count by, or "film"; None compares.
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
        division: where the splits come from, "" where they were drawn or named.
    """

    dataset: Dataset
    counts: tuple[SplitCounts, ...]
    warnings: tuple[DataWarning, ...]
    previews: tuple[Path, ...]
    division: str = ""
