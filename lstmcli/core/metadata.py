"""Metadata of a trained detector; it travels inside every checkpoint, export and runtime."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from lstmcli.core.boxes import Fit
from lstmcli.core.calibration import USUAL_THRESHOLD, ScoreCalibration
from lstmcli.core.errors import ModelError
from lstmcli.core.limits import check_canvas

FORMAT = 4


@dataclass(frozen=True, slots=True)
class TrackMemoryConfig:
    """Settings of the track memory, which averages predictions along each object.

    Args:
        class_memory_s: decay time constant of a track's class scores in seconds; 0: no class
            memory.
        box_smoothing_s: decay time constant of a track's box size in seconds, half of that of its
            objectness; 0: neither is smoothed.
        temperature: softens class distributions before they are averaged along a track (Guo et
            al. 2017, 1706.04599).
        score_memory: how far a detection that is weaker than its track's best one, fading within a
            second, is lifted towards it, 0..1; 0: not at all.
        coast_s: how long a track without a detection goes on at its predicted position, with
            `score_memory` of its best score; 0: not at all.
        objectness: of a box with several class scores: their `sum`, where they share one
            probability, or their `max`, where each class has a sigmoid of its own.
    """

    class_memory_s: float = 0.0
    box_smoothing_s: float = 0.0
    temperature: float = 1.0
    score_memory: float = 0.0
    coast_s: float = 0.0
    objectness: Literal["sum", "max"] = "sum"

    @property
    def is_on(self) -> bool:
        """Whether anything is kept along tracks."""
        return self.averages or self.score_memory > 0

    @property
    def averages(self) -> bool:
        """Whether classes or boxes are averaged, so that a track is output once, as its average."""
        return self.class_memory_s > 0 or self.box_smoothing_s > 0


FOREIGN_TRACK_MEMORY = TrackMemoryConfig(score_memory=0.5, coast_s=0.15, objectness="max")
"""Track memory of foreign detectors; chosen on seven domains, see presets/EXPERIMENTS.md."""


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    """Input contract, post-processing and provenance of a detector.

    Args:
        classes: names of the classes.
        input_hw: (height, width) in pixels of the canvas, the letterboxed picture that it takes.
        motion_lag_s: how long before the frame the previous one lies; 0: it takes none.
        track_memory: how predictions are averaged along each object of the stream.
        calibration: how raw scores become calibrated ones.
        class_powers: exponents of the raw scores of each class before that, which bring the
            thresholds of all classes to one; empty: none.
        nms: `greedy`, or `none` where the boxes that a step returns are suppressed already.
        nms_iou: overlap above which the lesser of two boxes is dropped.
        box_voting_iou: a box becomes the mean of the predictions that overlap it by more than this,
            weighted by objectness; 0: it stays as predicted.
        max_detections: most boxes of a frame.
        threshold: smallest calibrated score that its maker wants to be output.
        licence: what the network may be used for; "" where it is unknown.
        precision: `full`, or `int8` where weights and maps are quantised.
        config: the settings that it was trained with.
        fit: how a frame is laid on the canvas, see `Letterbox`.
    """

    classes: tuple[str, ...]
    input_hw: tuple[int, int]
    motion_lag_s: float = 0.0
    track_memory: TrackMemoryConfig = field(default_factory=TrackMemoryConfig)
    calibration: ScoreCalibration = field(default_factory=ScoreCalibration)
    class_powers: tuple[float, ...] = ()
    nms: Literal["greedy", "none"] = "greedy"
    nms_iou: float = 0.45
    box_voting_iou: float = 0.0
    max_detections: int = 100
    threshold: float = USUAL_THRESHOLD
    licence: str = ""
    precision: str = "full"
    config: Mapping[str, Any] = field(default_factory=dict)
    fit: Fit = "center"

    @property
    def suppression_iou(self) -> float:
        """Overlap above which NMS drops the lesser box; 1 where it drops none."""
        return 1.0 if self.nms == "none" else self.nms_iou

    def as_texts(self) -> dict[str, str]:
        """Return names and JSON texts, the form that every file format can carry."""
        values = {"format": FORMAT, **asdict(self)}
        return {name: json.dumps(value, ensure_ascii=False) for name, value in values.items()}

    @classmethod
    def from_texts(cls, texts: Mapping[str, str], source: str) -> ModelMetadata:
        """Return the metadata of `as_texts`; a field that the file does not have takes its default.

        Args:
            texts: names and JSON texts.
            source: names the file in errors.

        Raises:
            ModelError: it is not ours, something is missing, or another version wrote it.
        """
        if "classes" not in texts or "format" not in texts:
            raise ModelError(
                f"{source}: not exported by lstmcli, it holds no metadata",
                hint="make it with `lstmcli export`",
            )
        try:
            values = {name: json.loads(texts[name]) for name in METADATA_NAMES if name in texts}
            if values["format"] != FORMAT:
                raise ModelError(
                    f"{source}: format {values['format']!r}, this version reads {FORMAT}",
                    hint="export it again",
                )
            known = {part.name: values[part.name] for part in fields(cls) if part.name in values}
            height, width = known["input_hw"]
            known["input_hw"] = (int(height), int(width))
            check_canvas(known["input_hw"], source, error=ModelError)
            if not all(isinstance(name, str) for name in known["classes"]):
                raise ValueError("the classes are no names")
            known["classes"] = tuple(known["classes"])
            known["track_memory"] = TrackMemoryConfig(**known["track_memory"])
            known["calibration"] = ScoreCalibration(**known["calibration"])
            powers = tuple(float(power) for power in known.get("class_powers", ()))
            if len(powers) not in (0, len(known["classes"])) or not all(p > 0 for p in powers):
                raise ValueError(f"powers of {len(powers)} classes")
            known["class_powers"] = powers
            return cls(**known)
        except (KeyError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
            raise ModelError(
                f"{source}: invalid model metadata ({error})", hint="export it again"
            ) from None


METADATA_NAMES = ("format", *(part.name for part in fields(ModelMetadata)))
"""The names of `ModelMetadata.as_texts`."""
