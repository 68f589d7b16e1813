"""Classes of a model and of the data, joined by name."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from lstmcli.core.errors import ConfigError
from lstmcli.core.progress import Progress
from lstmcli.core.types import BoolArray, Detections, IntArray, VideoLabels

SAME_CLASS: Mapping[str, tuple[str, ...]] = {
    "pedestrian": ("person",),
    "people": ("person",),
    "human": ("person",),
    "motorbike": ("motorcycle",),
    "bike": ("bicycle",),
    "aeroplane": ("airplane",),
    "plane": ("airplane",),
}
"""Names of data sets for classes that detectors call otherwise."""
_UNNAMED = re.compile(r"class (\d+)")
"""What readers call a class of which a file tells the number only."""


def join_classes(
    known: Sequence[str], told: Sequence[str], progress: Progress, *, needs_one: bool = True
) -> tuple[tuple[str, ...], IntArray]:
    """Return the model's classes and the data's others, and the number of each of the data's.

    Args:
        known: the model's classes.
        told: the data's classes.
        progress: is told of differences.
        needs_one: refuse data of which the model knows no class.

    Raises:
        ConfigError: the model knows none of the data's classes.
    """
    numbers = [_UNNAMED.fullmatch(name) for name in told]
    if told and all(match is not None and int(match[1]) < len(known) for match in numbers):
        progress.note("the labels only number their classes: taken in the model's order")
        return tuple(known), np.array([int(match[1]) for match in numbers if match], np.int64)
    told = [known_as(name, known, progress) for name in told]
    strange = [name for name in told if name not in known]
    if needs_one and told and len(strange) == len(told):
        raise ConfigError(
            f"the data has the classes {listed(told)}, the model {listed(known)}",
            hint="prepare the data with --rename, or evaluate another model",
        )
    if strange:
        progress.note(
            f"the model does not know {', '.join(strange)}; such boxes are counted as missed"
        )
    unlabelled = [name for name in known if name not in told]
    if told and unlabelled:
        progress.note(
            f"the data does not label {listed(unlabelled)}; such detections are not scored"
        )
    classes = (*known, *strange)
    return classes, np.array([classes.index(name) for name in told], np.int64)


def known_as(name: str, known: Sequence[str], progress: Progress) -> str:
    """Return the model's name of a class that the data calls otherwise, or the data's."""
    if name in known:
        return name
    other = next((one for one in SAME_CLASS.get(name.lower(), ()) if one in known), name)
    if other != name:
        progress.note(f"the data's {name} is the model's {other}")
    return other


def listed(names: Sequence[str], most: int = 12) -> str:
    """Return names with commas between them, the first ones of many."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def relabelled(labels: VideoLabels, table: IntArray) -> VideoLabels:
    """Return labels whose class indices are those of `join_classes`."""
    numbers = labels.labels
    if not len(numbers):
        return labels
    # An ignored region may have no class; it stays below 0.
    return replace(labels, labels=np.where(numbers < 0, numbers, table[numbers.clip(0)]))


def is_scored(classes: Sequence[str], table: IntArray) -> BoolArray:
    """Return which classes the data labels; detections of others cannot be right or wrong.

    Args:
        classes: of the model and the data, see `join_classes`.
        table: the number of each of the data's classes in `classes`; empty scores all.
    """
    if not len(table):
        return np.ones(len(classes), bool)
    scored = np.zeros(len(classes), bool)
    scored[table] = True
    return scored


def scored_only(detections: Detections, scored: BoolArray) -> Detections:
    """Return the detections of scored classes."""
    rows = scored[detections.labels]
    return detections if rows.all() else detections.select(rows)
