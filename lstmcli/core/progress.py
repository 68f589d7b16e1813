"""How long work tells where it is, without knowing who looks on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

T = TypeVar("T")


class Progress(Protocol):
    """Somebody who watches long work: the terminal, a log, or nobody."""

    def track(
        self, items: Iterable[T], *, total: int | None = None, label: str = ""
    ) -> Iterator[T]:
        """Yield the items unchanged while somebody watches them go by.

        Args:
            items: anything; it is taken one by one, and only as fast as the caller takes it.
            total: how many there will be; None where nobody can know.
            label: what is being done, a word or two.
        """
        ...

    def note(self, text: str) -> None:
        """Say one line."""
        ...


class SilentProgress:
    """Nobody looks on."""

    def track(
        self, items: Iterable[T], *, total: int | None = None, label: str = ""
    ) -> Iterator[T]:
        """Yield the items."""
        yield from items

    def note(self, text: str) -> None:
        """Say nothing."""
