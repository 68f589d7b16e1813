"""The tree of expected errors, messages for the others, and `choose` for names of a table."""

from __future__ import annotations

import difflib
import errno
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
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


def output_exists(path: Path) -> OutputError:
    """Return the error for an output that exists and may not be replaced."""
    return OutputError(f"{path} exists", hint="use --overwrite to replace it")


_OS_HINTS: Mapping[int, str] = {
    errno.ENOSPC: "free some space, or choose another folder with --out",
    errno.EDQUOT: "free some space, or choose another folder with --out",
    errno.EACCES: "choose a folder that you may read and write, with --out",
    errno.EPERM: "choose a folder that you may read and write, with --out",
    errno.EROFS: "choose a folder that you may write, with --out",
    errno.ENAMETOOLONG: "the name is too long for this disk: rename the source",
    errno.EMFILE: "too many files are open: use fewer --jobs, or raise `ulimit -n`",
    errno.EFBIG: "the disk takes no larger file: choose another folder with --out",
}
"""Hints by errno."""


def write_failure(path: Path | str, error: Exception) -> OutputError:
    """Return the error for an output that could not be written."""
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    number = getattr(error, "errno", None) or 0
    return OutputError(
        f"{path}: cannot be written: {reason}",
        hint=_OS_HINTS.get(number, "choose another folder with --out"),
    )


def explain(error: Exception) -> tuple[str, str]:
    """Return problem and hint for an exception that nothing else handled."""
    if isinstance(error, OSError) and error.strerror:
        prefix = f"{error.filename}: " if error.filename else ""
        return prefix + error.strerror, _OS_HINTS.get(error.errno or 0, "check the path")
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return (
            "out of memory",
            "try --device cpu, fewer --jobs, a smaller preset or --set train.batch_size=2",
        )
    if "torchvision::nms" in str(error):
        return (
            "torch and torchvision do not belong together",
            "install both from the same index: pip install --force-reinstall torch torchvision",
        )
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(last.filename).name}, line {last.lineno}"
    return (
        f"internal error (please report): {type(error).__name__}: {error} ({where})",
        "run `lstmcli -v ...` for the traceback and attach it to the report",
    )


def near_name(name: str, allowed: Iterable[str]) -> str:
    """Return a hint that names the nearest allowed name, or lists them all."""
    names = sorted(allowed)
    near = difflib.get_close_matches(str(name)[:200], names, n=1)
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
