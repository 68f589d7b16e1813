"""Plain tables and histograms for terminals and pages."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Table:
    """A table of texts.

    Args:
        title: what it shows.
        columns: the head of every column.
        rows: a cell a column.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of each class in each bin.

    Args:
        title: what is counted.
        bins: the names of the bins.
        rows: the name of a class and its counts, one a bin.
    """

    title: str
    bins: tuple[str, ...]
    rows: tuple[tuple[str, tuple[int, ...]], ...]

    @property
    def most(self) -> int:
        """The largest count; 0 where nothing was counted."""
        return max((max(counts, default=0) for _, counts in self.rows), default=0)

    def table(self) -> Table:
        """Return the counts as a table."""
        rows = tuple((name, *(str(count) for count in counts)) for name, counts in self.rows)
        return Table(self.title, ("class", *self.bins), rows)
