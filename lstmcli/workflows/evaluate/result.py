"""Result of an evaluation, and the minimum metrics of `--fail-below`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lstmcli.core.errors import ConfigError, LstmcliError, OutputError, near_name
from lstmcli.metrics.comparison import Json
from lstmcli.metrics.scoring import FrameResult, Scores

SCHEMA = 2
"""Version of `Evaluation.as_json`; it grows where a key is renamed or changes its meaning."""


@dataclass(frozen=True, slots=True)
class Speed:
    """Speed of the network alone, without decoding, scaling and metrics.

    Args:
        frames: how many were timed.
        seconds: the time of all of them.
        device: the torch device.
        engine: name of the runtime.
    """

    frames: int
    seconds: float
    device: str
    engine: str

    def as_json(self) -> dict[str, Json]:
        """Return milliseconds a frame and frames a second; None where nothing was timed."""
        timed = self.frames > 0 and self.seconds > 0
        return {
            "ms_per_frame": 1000 * self.seconds / self.frames if timed else None,
            "frames_per_second": self.frames / self.seconds if timed else None,
            "device": self.device,
            "engine": self.engine,
        }


@dataclass(frozen=True, slots=True)
class PipelineUse:
    """Which stages of the pipeline of `detect` were scored.

    Args:
        tracker: detections were tracked.
        schedule: the network ran at some of the frames only.
        interpolation: gaps of tracks were filled, and flashes dropped.
        memory: recurrent state and track memory went from frame to frame.
    """

    tracker: bool
    schedule: bool
    interpolation: bool
    memory: bool


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Result of an evaluation.

    Args:
        model: as it was given.
        data: as it was given.
        split: of the dataset; `all` where the data was not prepared.
        pipeline: which stages were on.
        classes: the model's, then those that only the data has.
        scores: the metrics.
        speed: of the network.
        report: the page that was written, or None.
        stored_thresholds: of each class, where they were stored in the checkpoint.
        results: every frame with ground truth and its detections, for comparisons.
    """

    model: str
    data: str
    split: str
    pipeline: PipelineUse
    classes: tuple[str, ...]
    scores: Scores
    speed: Speed
    report: Path | None = None
    stored_thresholds: Mapping[str, float] | None = None
    results: tuple[FrameResult, ...] = field(default=(), repr=False)

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain values, the headlines first."""
        return {
            "split": self.split,
            **self.scores.as_json(),
            "speed": self.speed.as_json(),
            "pipeline": asdict(self.pipeline),
            "schema": SCHEMA,
            "model": self.model,
            "data": self.data,
            "memory": self.pipeline.memory,
            "classes": list(self.classes),
        }


def check_minimums(values: Mapping[str, Any], minimums: Mapping[str, float]) -> None:
    """Check metrics of an evaluation against minimum values.

    Args:
        values: as of `Evaluation.as_json`; a key may be a path, as `per_class.bird.ap50`.
        minimums: key -> minimum value.

    Raises:
        ConfigError: there is no such number.
        EvaluationFailed: a number is lower, or not measurable.
    """
    for key, least in minimums.items():
        found: Any = values
        for part in key.split("."):
            if not isinstance(found, Mapping) or part not in found:
                names = [name for name, value in values.items() if isinstance(value, float)]
                raise ConfigError(f"--fail-below: there is no {key!r}", hint=near_name(key, names))
            found = found[part]
        if found is not None and not isinstance(found, int | float):
            raise ConfigError(f"--fail-below: {key!r} is no number", hint="name one, as map50=0.5")
        if found is None or found < least:
            value = "not measurable" if found is None else f"{found:.4g}"
            raise EvaluationFailed(
                f"{key} is {value}, --fail-below requires {least:g}", hint="train or label more"
            )


class UnwrittenEvaluation(OutputError):
    """An evaluation whose files cannot be written; its numbers are not lost.

    Args:
        error: the failed output.
        evaluation: the result.
    """

    def __init__(self, error: OutputError, evaluation: Evaluation) -> None:
        super().__init__(error.problem, hint=error.hint)
        self.evaluation = evaluation


class EvaluationFailed(LstmcliError):
    """A metric is below its minimum of `--fail-below`; for scripts that stop a release."""
