"""Reference data: settings, label formats and names of all tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lstmcli.labels.readers import Reader


def label_formats() -> Sequence[str]:
    """Return the names of the label formats that are read."""
    from lstmcli.labels.readers import READERS

    return tuple(READERS)


def label_targets() -> Sequence[str]:
    """Return the names of the label formats that are written."""
    from lstmcli.labels.writers import LABEL_WRITERS

    return tuple(LABEL_WRITERS)


def outputs() -> Sequence[str]:
    """Return the names of the outputs of `detect`."""
    from lstmcli.outputs import WRITERS

    return tuple(WRITERS)


def codecs() -> Sequence[str]:
    """Return the names of the video codecs."""
    from lstmcli.video.writer import CODECS

    return tuple(CODECS)


def runtimes() -> Sequence[str]:
    """Return the names of the runtimes of a network."""
    from lstmcli.inference.runtimes import RUNTIMES

    return tuple(RUNTIMES)


CHOICES: Mapping[str, Callable[[], Sequence[str]]] = {
    "label_formats": label_formats,
    "label_targets": label_targets,
    "outputs": outputs,
    "codecs": codecs,
    "runtimes": runtimes,
}
"""Names for `{name}` in a help text; each function imports only its own table."""


def _backbones() -> Sequence[str]:
    from lstmcli.models.backbones import BACKBONES

    return tuple(BACKBONES)


def _temporal_cores() -> Sequence[str]:
    from lstmcli.models.temporal import TEMPORAL_CORES

    return tuple(TEMPORAL_CORES)


def _heads() -> Sequence[str]:
    from lstmcli.models.heads import HEADS

    return tuple(HEADS)


def _optimizers() -> Sequence[str]:
    from lstmcli.training.optim import OPTIMIZERS

    return tuple(OPTIMIZERS)


def _schedules() -> Sequence[str]:
    from lstmcli.training.schedule import SCHEDULES

    return tuple(SCHEDULES)


SETTING_CHOICES: Mapping[str, Callable[[], Sequence[str]]] = {
    "backbone.name": _backbones,
    "temporal.name": _temporal_cores,
    "head.name": _heads,
    "train.optimizer": _optimizers,
    "train.schedule": _schedules,
}
"""Settings that take a name of a table -> function that returns the names; imports torch."""


@dataclass(frozen=True, slots=True)
class LabelFormat:
    """A label format.

    Args:
        name: value of `--format` or `--to`.
        is_read: whether `prepare` and `convert` read it.
        is_written: whether `convert --to` writes it.
        meaning: description, as sentences.
    """

    name: str
    is_read: bool
    is_written: bool
    meaning: str


def list_formats() -> list[LabelFormat]:
    """Return every label format in the order of recognition."""
    from lstmcli.labels.readers import READERS
    from lstmcli.labels.writers import LABEL_WRITERS

    modules = {**LABEL_WRITERS, **READERS}  # a reader's description wins
    names = [*READERS, *(name for name in LABEL_WRITERS if name not in READERS)]
    return [
        LabelFormat(
            name,
            name in READERS,
            name in LABEL_WRITERS,
            (modules[name].__doc__ or "") + (_losses(READERS[name]) if name in READERS else ""),
        )
        for name in names
    ]


def _losses(reader: Reader) -> str:
    """Return what a reader drops or converts as a list, and what it does not read."""
    from lstmcli.labels.builder import DROPS_OF_ALL

    listed = "".join(f"- {text}\n" for text in (*reader.DROPS, *DROPS_OF_ALL))
    rest = f"\nNot read, and not counted: {reader.NOT_READ}.\n" if reader.NOT_READ else ""
    return f"\nLeft out or kept in another form; each case is counted and reported:\n{listed}{rest}"
