"""Terminal output: results on stdout; messages, progress and errors on stderr."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console as RichConsole
from rich.padding import Padding
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from lstmcli.cli.plain_text import one_line, several_lines, talk
from lstmcli.core.errors import OutputError

T = TypeVar("T")

PIPE_WIDTH = 200
"""Columns of a table in a pipe: wide, so that nothing is folded for scripts."""
PLAIN_LINE_EVERY_S = 10.0
COMPACT_WIDTH = 70
"""Columns below which a bar is short and has no rate."""
MIN_LISTING_WIDTH = 80
"""Columns below which a table of texts is printed as blocks."""


class Console:
    """Terminal output of all commands.

    Args:
        verbosity: -1 results and errors only, 0 also messages, 1 also tracebacks.
    """

    def __init__(self, verbosity: int = 0) -> None:
        self.verbosity = verbosity
        self._out = RichConsole(width=None if sys.stdout.isatty() else PIPE_WIDTH)
        self._err = RichConsole(stderr=True)
        self.progress = ConsoleProgress(self)

    @property
    def is_live(self) -> bool:
        """Whether stderr is a terminal on which bars can move."""
        return self._err.is_terminal and not self._err.is_dumb_terminal and self.verbosity >= 0

    @property
    def width(self) -> int:
        """Columns of the terminal of stderr."""
        return self._err.width

    def result(self, text: str) -> None:
        """Print a line of the result to stdout, never wrapped."""
        self.progress.pause()
        begin = "\n" if text.startswith("\n") else ""  # a free line before it is our own
        with _as_stdout_errors():
            print(begin + one_line(text.removeprefix("\n")), flush=True)

    def pairs(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Print names and values, one pair a line."""
        rows = list(pairs)
        width = max((len(name) for name, _ in rows), default=0)
        if width + 2 + max((len(value) for _, value in rows), default=0) > self._out.width:
            width = 0  # too narrow for a column of names
        for name, value in rows:
            self.result(f"{name:<{width}}  {value}")

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Print a table to stdout: a column of text, then columns of numbers.

        Where the terminal is too narrow, each row is a block with a line for every column.
        """
        with _as_stdout_errors():
            self._table(columns, rows)

    def _table(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        self.progress.pause()
        cells = [[one_line(cell) for cell in row] for row in rows]
        widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
        if sum(widths) + 2 * (len(widths) - 1) > self._out.width:
            self._blocks(columns, cells)
            return
        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
        for number, column in enumerate(columns):
            table.add_column(Text(column), justify="right" if number else "left", overflow="fold")
        for row in cells:
            table.add_row(*(Text(cell) for cell in row))
        self._out.print(table)

    def _blocks(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        width = max(len(column) for column in columns[1:]) if len(columns) > 1 else 0
        for first, *others in rows:
            self._out.print(Text(first or columns[0], style="bold"), soft_wrap=True)
            for name, value in zip(columns[1:], others, strict=True):
                self._out.print(Text(f"  {name:<{width}}  {value}"), soft_wrap=True)

    def listing(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Print a table of texts to stdout, one block an entry where the terminal is narrow."""
        with _as_stdout_errors():
            self._listing(columns, rows)

    def _listing(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        self.progress.pause()
        if self._out.width < MIN_LISTING_WIDTH:
            for first, *others in rows:
                self._out.print(Text(one_line(first), style="bold"))
                for text in filter(None, others):
                    self._out.print(Padding(Text(_words(text)), (0, 0, 0, 2)))
            return
        table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
        for column in columns:
            table.add_column(Text(column), overflow="fold")
        for row in rows:
            table.add_row(*(Text(_words(cell)) for cell in row))
        self._out.print(table)

    def say(self, text: str) -> None:
        """Print a message to stderr."""
        if self.verbosity >= 0:
            self._err.print(Text(talk(text)), soft_wrap=True)

    def warn(self, text: str) -> None:
        """Print a warning to stderr."""
        if self.verbosity >= 0:
            self._err.print(Text.assemble(("warning: ", "yellow"), talk(text)), soft_wrap=True)

    def warn_of_data(self, where: str, text: str, count: int) -> None:
        """Print a warning about the data: first location, rule and count."""
        times = f" ({count} times)" if count > 1 else ""
        self.warn(": ".join(part for part in (where, text) if part) + times)

    def error(self, problem: str, hint: str = "") -> None:
        """Print an error and its hint to stderr."""
        self.progress.stop()
        self._err.print(
            Text.assemble(("error: ", "bold red"), talk(" ".join(problem.split()))), soft_wrap=True
        )
        if hint:
            self.hint(hint)

    def hint(self, text: str) -> None:
        """Print a hint to stderr."""
        line = talk(" ".join(text.split()))
        self._err.print(Text.assemble(("hint: ", "cyan"), line), soft_wrap=True)

    def traceback(self, text: str) -> None:
        """Print a traceback to stderr if the output is verbose."""
        if self.verbosity > 0:
            self.progress.stop()
            self._err.print(Text(several_lines(text.rstrip())), soft_wrap=True)


@contextmanager
def _as_stdout_errors() -> Iterator[None]:
    """Raise what the system says of stdout as an error of it; a broken pipe is none."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(
            f"standard output: cannot be written: {error.strerror}",
            hint="the files of the command are complete; send its results elsewhere",
        ) from None


def _words(text: str) -> str:
    return one_line(" ".join(text.split()))


class RateColumn(ProgressColumn):
    """Column with the rate per second."""

    def render(self, task: Task) -> Text:
        """Return the speed of the last seconds."""
        speed = task.finished_speed or task.speed
        return Text(rate_text(speed) if speed else "", style="dim")


class ConsoleProgress:
    """Progress bar with rate and time left on a terminal, a plain line every 10 s in a pipe.

    Silent in forked processes, which do the same work; one of them may adopt it.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars: Progress | None = None
        self._process = os.getpid()

    def adopt(self) -> None:
        """Show the progress of this forked process instead of its parent's."""
        if os.getpid() != self._process:
            self._process, self._bars = os.getpid(), None

    def track(
        self, items: Iterable[T], *, total: int | None = None, label: str = ""
    ) -> Iterator[T]:
        """Yield the items while they are counted on the terminal."""
        if total is None and isinstance(items, Sized):
            total = len(items)
        if self._console.verbosity < 0 or os.getpid() != self._process:
            yield from items
        elif self._console.is_live:
            yield from self._with_bar(items, total, label)
        else:
            yield from self._with_lines(items, total, label)

    def note(self, text: str) -> None:
        """Print one line above the bar."""
        if os.getpid() != self._process:
            return
        if self._bars is not None and self._console.verbosity >= 0:
            self._bars.console.print(Text(talk(text)), soft_wrap=True)
        else:
            self._console.say(text)

    def pause(self) -> None:
        """Remove the bars before something is printed to stdout."""
        self.stop()

    def stop(self) -> None:
        """Remove the bars."""
        if self._bars is not None and os.getpid() == self._process:
            self._bars.stop()
            self._bars = None

    def _with_bar(self, items: Iterable[T], total: int | None, label: str) -> Iterator[T]:
        bars = self._open_bars()
        width = self._console.width
        room = max(
            10, width - (22 if width < COMPACT_WIDTH else 54)
        )  # without bar, share, rate and time
        label = one_line(label)
        shown = label if len(label) <= room else label[: room - 1] + "…"
        task = bars.add_task(shown, total=total)
        try:
            for item in items:
                yield item
                bars.advance(task)
        finally:
            bars.remove_task(task)
            if not bars.tasks:
                self.stop()

    def _open_bars(self) -> Progress:
        if self._bars is None:
            is_compact = self._console.width < COMPACT_WIDTH
            columns: list[ProgressColumn] = [TextColumn("{task.description}", markup=False)]
            columns += [BarColumn(bar_width=10 if is_compact else 30), TaskProgressColumn()]
            columns += [] if is_compact else [RateColumn()]
            columns += [TimeRemainingColumn(compact=True)]
            self._bars = Progress(*columns, console=self._console._err, transient=True)
            self._bars.start()
        return self._bars

    def _with_lines(self, items: Iterable[T], total: int | None, label: str) -> Iterator[T]:
        started = printed = time.monotonic()
        count = 0
        for item in items:
            yield item
            count += 1
            now = time.monotonic()
            if now - printed >= PLAIN_LINE_EVERY_S:
                printed = now
                self._console.say(plain_line(label, count, total, now - started))
        if printed > started:
            self._console.say(plain_line(label, count, count, time.monotonic() - started))


def plain_line(label: str, count: int, total: int | None, elapsed_s: float) -> str:
    """Return the progress as a line of text.

    >>> plain_line("train", 30, 120, 10.0)
    'train: 30 of 120 (25 %), 3.0/s, 0:30 left'
    """
    rate = count / max(elapsed_s, 1e-9)
    if total is None:
        return f"{label}: {count}, {rate_text(rate)}"
    share = 100 * count // max(total, 1)
    left = time_text((total - count) / max(rate, 1e-9))
    return f"{label}: {count} of {total} ({share} %), {rate_text(rate)}, {left} left"


def rate_text(per_second: float) -> str:
    """Return a rate with two or three digits: 0.25/s, 3.1/s, 120/s."""
    digits = 2 if per_second < 1 else 1 if per_second < 10 else 0
    return f"{per_second:.{digits}f}/s"


def time_text(seconds: float) -> str:
    """Return a length of time as m:ss or h:mm:ss."""
    minutes, rest = divmod(round(max(seconds, 0.0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def number(value: float | None, digits: int = 3) -> str:
    """Return a rounded number; a dash for None."""
    return "-" if value is None else f"{value:.{digits}f}"
