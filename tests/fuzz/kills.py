"""Kills of every command: `python -m tests.fuzz.kills --kills 50`.

Three of four are at a random moment, each fourth one is aimed: before one of the calls of the
system that publish, or around the swap of two folders, evenly over all of them. Every second one
meets an older result, which is replaced. Then the old or the new output is there, whole, the same
command works, and nothing is left: only where the killed one was done to the last step may it say
that its result exists. Only kills that hit the process while it worked count.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from lstmcli.core.files import folders
from tests.fuzz.commands import (
    COMMANDS,
    end_of,
    leftovers,
    start,
    try_commands,
)

PUBLISHING = ("link", "replace", "rename", "unlink", "rmdir", "fsync")
AIMED_SHARE = 4
"""Every so many-th kill is aimed."""
MOST_ATTEMPTS = 4
"""Attempts for each kill: those that come after the end of the process do not count."""


def kill_many(name: str, inputs: Path, kills: int, *, seed: int = 0) -> dict[str, int]:
    """Kill a command so many times while it works; return counts of what came of it.

    Raises:
        AssertionError: something was lost, half-written or left, or the command did not work again.
    """
    counts = {"killed": 0, "aimed": 0, "too late": 0, "was done": 0}
    with tempfile.TemporaryDirectory() as folder:
        trial = _Trial(name, inputs, Path(folder), random.Random(f"{seed}/{name}"))
        for number in range(MOST_ATTEMPTS * kills):
            if counts["killed"] == kills:
                break
            trial.attempt(number, kills, counts)
    assert counts["killed"] == kills, f"{name}: {counts}"
    return counts


class _Trial:
    """Kills of one command.

    Args:
        name: of the command.
        inputs: that it reads.
        folder: of its outputs and its log.
        chance: for the moments.
    """

    def __init__(self, name: str, inputs: Path, folder: Path, chance: random.Random) -> None:
        self.name, self.command, self._inputs, self._chance = name, COMMANDS[name], inputs, chance
        self.out, self.log = folder / "out", folder / "log"
        self._steps: dict[bool, int] = {}
        self._seconds: dict[bool, float] = {}
        for had_old in (False, True) if not self.command.resumes else (False,):
            self._prepare(had_old)
            steps, began = folder / "steps", time.monotonic()
            code = end_of(start(_counted(self._work(had_old), steps), self.log))
            self._seconds[had_old] = time.monotonic() - began
            assert code == 0, (name, code, self._said())
            self._steps[had_old] = int(steps.read_text())
            self._check(number=-1, had_old=had_old)

    def attempt(self, number: int, kills: int, counts: dict[str, int]) -> None:
        """Kill once, look at what is there, and run the same command again."""
        had_old = number % 2 == 0 and not self.command.resumes
        aimed = number % AIMED_SHARE == AIMED_SHARE - 1
        self._prepare(had_old)
        if aimed:
            share = (counts["aimed"] + 0.5) * AIMED_SHARE / kills
            step = 1 + int(share * self._steps[had_old]) % self._steps[had_old]
            child = start(_ended_before(step, self._work(had_old)), self.log)
        else:
            child = start(self._work(had_old), self.log)
            time.sleep(self._chance.uniform(0.02, 0.98) * self._seconds[had_old])
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        code = end_of(child)
        assert code in (0, -signal.SIGKILL), (self.name, number, code, self._said())
        is_hit = code == -signal.SIGKILL
        counts["killed" if is_hit else "too late"] += 1
        counts["aimed"] += aimed and is_hit
        self._check(number, had_old=had_old)
        if not is_hit:
            return
        was_done = (self.out / self.command.result).exists() and not leftovers(self.out)
        again = end_of(start(self._work(had_old), self.log))
        if again == 1 and not had_old and was_done:
            assert "exists" in self._said(), self._said()
            counts["was done"] += 1
            again = end_of(start(self._work(True), self.log))
        assert again == 0, (self.name, number, again, self._said())
        self._check(number, had_old=True)
        assert not leftovers(self.out), f"{self.name} #{number}: {leftovers(self.out)}"

    def _prepare(self, had_old: bool) -> None:
        if not had_old:
            shutil.rmtree(self.out, ignore_errors=True)
            self.out.mkdir()
        self.log.unlink(missing_ok=True)

    def _work(self, overwrite: bool) -> Callable[[], None]:
        return lambda: self.command.run(self._inputs, self.out, overwrite)

    def _check(self, number: int, *, had_old: bool) -> None:
        self.command.check(self.out)
        if had_old:
            there = (self.out / self.command.result).exists()
            assert there, f"{self.name} #{number}: the result is lost"

    def _said(self) -> str:
        return self.log.read_text(errors="replace")[-1500:]


def _hooked(before: Callable[[], None]) -> None:
    """Call something before every call of the system that publishes, and after a swap."""

    def wrapped(real: Callable[..., object], *, after: bool = False) -> Callable[..., object]:
        def call(*args: object, **options: object) -> object:
            before()
            result = real(*args, **options)
            if after:
                before()
            return result

        return call

    for name in PUBLISHING:
        setattr(os, name, wrapped(getattr(os, name)))
    folders._exchange = wrapped(folders._exchange, after=True)  # type: ignore[assignment]


def _counted(work: Callable[[], None], place: Path) -> Callable[[], None]:
    """Return the work that writes down how many such calls it makes."""

    def counted() -> None:
        count = 0

        def one() -> None:
            nonlocal count
            count += 1

        _hooked(one)
        work()
        place.write_text(str(count))

    return counted


def _ended_before(step: int, work: Callable[[], None]) -> Callable[[], None]:
    """Return the work that is ended before such a call."""

    def ended() -> None:
        count = 0

        def one() -> None:
            nonlocal count
            count += 1
            if count == step:
                os.kill(os.getpid(), signal.SIGKILL)

        _hooked(one)
        work()

    return ended


def main() -> None:
    """Kill all commands and print a line each."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--kills", type=int, default=50)
    kills = parser.parse_known_args()[0].kills

    def attempt(name: str, inputs: Path) -> str:
        began = time.monotonic()
        counts = kill_many(name, inputs, kills)
        counted = ", ".join(f"{count} {what}" for what, count in counts.items())
        return f"{counted}; nothing lost, nothing left ({time.monotonic() - began:.0f} s)"

    try_commands(attempt, parser)


if __name__ == "__main__":
    main()
