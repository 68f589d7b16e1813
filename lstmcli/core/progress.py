"""The contract by which long work reports its progress."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

T = TypeVar("T")


class Progress(Protocol):
    """Shows the progress of long work on a terminal, in a log, or not at all."""

    def track(
        self, items: Iterable[T], *, total: int | None = None, label: str = ""
    ) -> Iterator[T]:
        """Yield the items unchanged and show how many have passed.

        Args:
            items: anything; it is taken one by one, and only as fast as the caller takes it.
            total: how many there will be; None if unknown.
            label: a word or two.
        """
        ...

    def note(self, text: str) -> None:
        """Print one line."""
        ...

    def adopt(self) -> None:
        """Take over in this process: only one of several forked ones shows progress."""
        ...


class SilentProgress:
    """Shows nothing."""

    def track(
        self, items: Iterable[T], *, total: int | None = None, label: str = ""
    ) -> Iterator[T]:
        """Yield the items."""
        yield from items

    def note(self, text: str) -> None:
        """Print nothing."""

    def adopt(self) -> None:
        """Do nothing."""
