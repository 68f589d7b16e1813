"""What a runtime must know of a network besides its graph; it travels inside every export."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from lstmcli.core.calibration import ScoreCalibration
from lstmcli.core.errors import ModelError

FORMAT = 4


@dataclass(frozen=True, slots=True)
class TrackMemoryConfig:
    """How objects are remembered.

    Args:
        class_memory_s: decay time constant of a track's class scores in seconds; 0: no class
            memory.
        box_smoothing_s: decay time constant of a track's box size in seconds, half of that of its
            objectness; 0: neither is smoothed.
        temperature: softens class distributions before they are averaged along a track (Guo et
            al. 2017, 1706.04599).
        power: exponent of the scores. Averages and temperature make scores small; it maps the
            best-F1 threshold of the validation to 0.3.
    """

    class_memory_s: float = 0.0
    box_smoothing_s: float = 0.0
    temperature: float = 1.0
    power: float = 1.0

    @property
    def is_on(self) -> bool:
        """Whether anything is remembered."""
        return self.class_memory_s > 0 or self.box_smoothing_s > 0


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    """How an exported network is fed and read.

    Args:
        classes: names of the classes.
        canvas_hw: (height, width) of the canvas in pixels.
        motion_lag_s: how long before the frame the earlier one lies; 0: there is no such input.
        remembering: how objects are remembered along the stream.
        confidence: how scores are told to people.
        nms_iou: overlap above which the lesser of two boxes is dropped.
        max_detections: boxes that are kept at the most.
        threshold: the least score that its maker wants to be shown.
        licence: what the network may be used for, as its maker tells it; "" where nobody told.
        precision: `full`, or `int8` where weights and maps were quantised.
        config: the settings that it was trained with.
    """

    classes: tuple[str, ...]
    canvas_hw: tuple[int, int]
    motion_lag_s: float
    track_memory: TrackMemoryConfig
    calibration: ScoreCalibration
    nms_iou: float
    max_detections: int
    threshold: float = 0.3
    licence: str = ""
    precision: str = "full"
    config: Mapping[str, Any] = field(default_factory=dict)

    def as_texts(self) -> dict[str, str]:
        """Return names and JSON texts, the form that every file format can carry."""
        values = {"format": FORMAT, **asdict(self)}
        return {name: json.dumps(value, ensure_ascii=False) for name, value in values.items()}

    @classmethod
    def from_texts(cls, texts: Mapping[str, str], place: str) -> ModelMetadata:
        """Read what `as_texts` made.

        Raises:
            ModelError: something is missing, or another version wrote it.
        """
        if "classes" not in texts or "canvas_hw" not in texts:
            raise ModelError(
                f"{place}: not exported by lstmcli, its classes and canvas are not told",
                hint="make it with `lstmcli export`",
            )
        try:
            values = {name: json.loads(text) for name, text in texts.items()}
            if values["format"] != FORMAT:
                raise ModelError(
                    f"{place}: format {values['format']!r}, this version reads {FORMAT}",
                    hint="export it again",
                )
            known = {part.name: values[part.name] for part in fields(cls)}
            height, width = known["canvas_hw"]
            known["canvas_hw"] = (int(height), int(width))
            known["classes"] = tuple(known["classes"])
            known["track_memory"] = TrackMemoryConfig(**known["track_memory"])
            known["calibration"] = ScoreCalibration(**known["calibration"])
            return cls(**known)
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(
                f"{place}: what it says of itself is damaged ({error})", hint="export it again"
            ) from None


METADATA_NAMES = ("format", *(part.name for part in fields(ModelMetadata)))
"""The names of `ModelMetadata.as_texts`."""


class DescribedRuntime:
    """The part of every network that comes from its facts.

    Args:
        facts: of the network.
        device: what it runs on.
    """

    def __init__(self, metadata: ModelMetadata, device: str) -> None:
        self.metadata = metadata
        self.classes = metadata.classes
        self.canvas_hw = metadata.canvas_hw
        self.motion_lag_s = metadata.motion_lag_s
        self.track_memory = metadata.track_memory
        self.calibration = metadata.calibration
        self.nms_iou = metadata.nms_iou
        self.max_detections = metadata.max_detections
        self.device = device
