"""Classes of a model and of the data, joined by name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lstmcli.core.class_synonyms import synonym_of
from lstmcli.core.errors import ConfigError
from lstmcli.core.progress import Progress
from lstmcli.core.types import BoolArray, Detections, IntArray, VideoLabels

_UNNAMED = re.compile(r"class (\d+)")
"""Name of a class that a label file gives by number only."""


def join_classes(
    known: Sequence[str], named: Sequence[str], progress: Progress, *, needs_one: bool = True
) -> tuple[tuple[str, ...], IntArray]:
    """Return the classes of the model and then of the data, and the index of each of the data's.

    Args:
        known: the model's classes.
        named: the data's classes.
        progress: notes differences.
        needs_one: raise without a common class.

    Raises:
        ConfigError: model and data have no class in common.
    """
    numbers = [_UNNAMED.fullmatch(name) for name in named]
    if named and all(match is not None and int(match[1]) < len(known) for match in numbers):
        progress.note(
            "the labels have class numbers only: matched with the model's classes in order"
        )
        return tuple(known), np.array([int(match[1]) for match in numbers if match], np.int64)
    named = [known_as(name, known, progress) for name in named]
    others = [name for name in named if name not in known]
    if needs_one and named and len(others) == len(named):
        raise ConfigError(
            f"the data has the classes {listed(named)}, the model {listed(known)}",
            hint="prepare the data with --rename, or evaluate another model",
        )
    if others:
        progress.note(
            f"the model has no class {', '.join(others)}; such boxes are counted as missed"
        )
    unlabelled = [name for name in known if name not in named]
    if unlabelled and len(unlabelled) < len(known) and named:
        progress.note(
            f"the data has no labels of {listed(unlabelled)}; such detections are not scored"
        )
    classes = (*known, *others)
    return classes, np.array([classes.index(name) for name in named], np.int64)


def known_as(name: str, known: Sequence[str], progress: Progress) -> str:
    """Return the model's name of a class under a synonym, or the data's name."""
    if name in known:
        return name
    usual = synonym_of(name)
    other = usual if usual is not None and usual in known else name
    if other != name:
        progress.note(f"the data's {name} is the model's {other}")
    return other


def listed(names: Sequence[str], most: int = 12) -> str:
    """Return the first names, separated by commas."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def relabelled(labels: VideoLabels, table: IntArray) -> VideoLabels:
    """Return labels whose class indices are those of `join_classes`."""
    numbers = labels.labels
    if not len(numbers):
        return labels
    # A class-agnostic ignored region stays below 0.
    return replace(labels, labels=np.where(numbers < 0, numbers, table[numbers.clip(0)]))


def is_scored(classes: Sequence[str], table: IntArray, *, known: int) -> BoolArray:
    """Return which classes are annotated in the data; detections of others are not scored.

    Where the model knows none of the data's classes, all detections are scored: they are wrong by
    class, but may be right with all classes taken as one.

    Args:
        classes: of the model and the data, see `join_classes`.
        table: the number of each of the data's classes in `classes`; empty scores all.
        known: how many of `classes` are the model's.
    """
    if not (table < known).any():
        return np.ones(len(classes), bool)
    scored = np.zeros(len(classes), bool)
    scored[table] = True
    return scored


def scored_only(detections: Detections, scored: BoolArray) -> Detections:
    """Return the detections of scored classes."""
    rows = scored[detections.labels]
    return detections if rows.all() else detections.select(rows)
