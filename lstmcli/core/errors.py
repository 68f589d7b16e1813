"""The tree of expected failures, and the choice of a name from a table."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeVar

T = TypeVar("T")


class LstmcliError(Exception):
    """An expected failure: `problem` says what was found and where, `hint` what to do about it."""

    def __init__(self, problem: str, *, hint: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.hint = hint


class ConfigError(LstmcliError):
    """A preset, a setting or an option that cannot be used."""


class DataError(LstmcliError):
    """Annotations or a prepared dataset that cannot be used."""


class MediaError(LstmcliError):
    """A video or an image that cannot be read or written."""


class ModelError(LstmcliError):
    """A checkpoint or an exported model that cannot be used."""


class TrainingError(LstmcliError):
    """A training run that cannot go on, for example because the loss diverged."""


class OutputError(LstmcliError):
    """A file or folder that cannot be written."""


def near_name(name: str, allowed: Iterable[str]) -> str:
    """Return a hint that names the nearest allowed name, or lists them all."""
    names = sorted(allowed)
    near = difflib.get_close_matches(name, names, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"use one of: {', '.join(names)}" if names else "there are none"


def choose(table: Mapping[str, T], name: str, kind: str) -> T:
    """Return the entry of a table of variants.

    Raises:
        ConfigError: there is no such name; the hint holds the nearest one.
    """
    try:
        return table[name]
    except KeyError:
        raise ConfigError(
            f"there is no {kind} named {name!r}", hint=near_name(name, table)
        ) from None
