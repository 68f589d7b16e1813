"""The threshold of the best F1 of each class, stored in a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lstmcli.core.errors import ConfigError
from lstmcli.core.metadata import ModelMetadata
from lstmcli.core.model_files import find_checkpoint
from lstmcli.metrics.frame_result import FrameResult
from lstmcli.metrics.operating_point import best_class_thresholds

LOWEST = 0.02
"""Smallest calibrated score down to which a threshold is searched."""
ROUNDING = 1e-4
"""A threshold lies this share below the score that it keeps."""


def storable(model: object) -> Path:
    """Return the checkpoint of a model whose thresholds can be stored.

    Raises:
        ConfigError, ModelError: it is none.
    """
    from lstmcli.models.checkpoint import check_can_store

    if not isinstance(model, Path | str) or "," in str(model):
        raise ConfigError(
            f"--store-thresholds of {model}", hint="thresholds are stored in one checkpoint"
        )
    path = find_checkpoint(model)
    check_can_store(path)
    return path


def store_thresholds(
    path: Path, metadata: ModelMetadata, results: Sequence[FrameResult]
) -> dict[str, float]:
    """Store the threshold of the best F1 of each class; return them as calibrated scores.

    Afterwards `--threshold 0.3` means this threshold for each class. Classes with few true
    positives keep the common one.

    Args:
        path: of the checkpoint.
        metadata: of the model as it was evaluated.
        results: with the network's own detections, down to `LOWEST`.
    """
    from lstmcli.models.checkpoint import store_class_thresholds

    found = best_class_thresholds(results, metadata.classes)
    powers = metadata.class_powers or (1.0,) * len(metadata.classes)
    raw = {}
    for name, power in zip(metadata.classes, powers, strict=True):
        if name in found:
            score = metadata.calibration.raw_score(found[name]) * (1 - ROUNDING)
            raw[name] = max(score, ROUNDING) ** (1 / power)
    store_class_thresholds(path, raw)
    return found
