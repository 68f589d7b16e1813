"""Warnings of readers and writers: equal texts become one with a count."""

from __future__ import annotations

from lstmcli.core.types import DataWarning

NAMED = 5
"""Images that cannot be read are named up to this number."""


class WarningCollector:
    """Collects warnings about the data; equal texts become one with a count."""

    def __init__(self) -> None:
        self._first: dict[str, str] = {}
        self._count: dict[str, int] = {}
        self._broken = 0

    def add(self, text: str, where: str = "", count: int = 1) -> None:
        """Add a case; `where` of the first case is kept."""
        if count > 0:
            self._first.setdefault(text, where)
            self._count[text] = self._count.get(text, 0) + int(count)

    def add_broken(self, problem: str) -> None:
        """Add an image that cannot be read: the first ones by name, all further ones counted."""
        self._broken += 1
        if self._broken <= NAMED:
            self.add(f"{problem}; left out")
        else:
            self.add("a further image that cannot be read; left out", problem)

    def collected(self) -> tuple[DataWarning, ...]:
        """Return the warnings in the order of their first cases."""
        return tuple(DataWarning(t, where, self._count[t]) for t, where in self._first.items())
