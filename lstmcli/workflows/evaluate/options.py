"""Options of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from lstmcli.core.calibration import USUAL_THRESHOLD
from lstmcli.core.errors import ConfigError
from lstmcli.labels.clock import LabelRate


@dataclass(frozen=True, slots=True)
class EvaluateOptions:
    """Options of an evaluation.

    By default the whole pipeline of `detect` is scored, with tracker, schedule and interpolation.

    Args:
        split: of a prepared dataset.
        threshold: minimum calibrated score for precision, recall, stability and the confusion
            matrix.
        iou: minimum IoU of a true positive for the same.
        memory: False resets recurrent state and track memory before every frame (ablation).
        frames_alone: score the network's own detections at every frame; no tracker, no schedule.
        schedule: with the tracker: run the network with the schedule of `detect` on this device;
            False: at every frame.
        interpolate: with the tracker: interpolate gaps, drop tracks of a single detection.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        engine: `auto` or a name of `RUNTIMES`.
        store_thresholds: store the threshold of the best F1 of each class in the checkpoint; needs
            `frames_alone`, since a tracker shows nothing below its threshold.
        limit: frames of each video from its beginning; 0: all.
        videos: how many videos of the data, evenly spaced in their order; 0: all.
        format: of the labels of a source that is not prepared; None: recognised from the content.
        media: folder of its videos or frames, where the labels hold no paths.
        annotator: whose boxes are used where several people annotated.
        label_rate: frame rate of the labels, or "film"; None: compared with the video.
        needs_class: refuse data without a class of the model; otherwise only what is scored
            with all classes taken as one is above 0.

    Raises:
        ConfigError: a value is out of its range.
    """

    split: str = "val"
    threshold: float = USUAL_THRESHOLD
    iou: float = 0.5
    memory: bool = True
    frames_alone: bool = False
    schedule: bool = True
    interpolate: bool = True
    device: str = "auto"
    engine: str = "auto"
    store_thresholds: bool = False
    limit: int = 0
    videos: int = 0
    format: str | None = None
    media: Path | None = None
    annotator: str = ""
    label_rate: LabelRate = None
    needs_class: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise ConfigError(f"a threshold of {self.threshold:g}", hint="scores are from 0 to 1")
        if not 0 < self.iou <= 1:
            raise ConfigError(f"an overlap of {self.iou:g}", hint="--iou is above 0 and at most 1")
        if self.store_thresholds and not self.frames_alone:
            raise ConfigError(
                "--store-thresholds without --frames-alone",
                hint="a tracker shows nothing below its threshold; add --frames-alone",
            )
        if self.limit < 0:
            raise ConfigError(f"a limit of {self.limit} frames", hint="0 takes all frames")


T = TypeVar("T")


def spaced(items: Sequence[T], count: int) -> Sequence[T]:
    """Return `count` of the items, evenly spaced; all of them for 0 or where there are fewer."""
    if not 0 < count < len(items):
        return items
    return [items[place * len(items) // count] for place in range(count)]
