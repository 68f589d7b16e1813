"""Kills of every command: `python -m tests.fuzz.kills --kills 50`.

Four of five are at a random moment, each fifth one is aimed: before one of the calls of the system
that publish, in turn. Then the old or the new output is there, whole, the same command works, and
nothing is left.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.fuzz.commands import (
    COMMANDS,
    Command,
    end_of,
    leftovers,
    start,
    try_commands,
)

PUBLISHING = ("link", "replace", "rename", "unlink", "rmdir", "fsync")


def kill_many(name: str, inputs: Path, kills: int, *, seed: int = 0) -> dict[str, int]:
    """Kill a command so many times; return counts of what came of it.

    Raises:
        AssertionError: something was lost, half-written or left, or the command did not work again.
    """
    command, chance = COMMANDS[name], random.Random(f"{seed}/{name}")
    counts = {"killed": 0, "done before": 0, "aimed": 0}
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        out, seconds = _first_run(command, inputs, Path(folder), log)
        for number in range(kills):
            had_old = number % 2 == 0
            if not had_old:
                shutil.rmtree(out)
                out.mkdir()
            aimed = number % 5 == 4
            work = _work(command, inputs, out, had_old or name == "train")
            step = number // 5 + 1
            child = start(_ended_before(step, work) if aimed else work, log)
            if not aimed:
                time.sleep(chance.uniform(0.0, seconds))
                os.kill(child, signal.SIGKILL)
            code = end_of(child)
            counts["aimed"] += aimed
            counts["killed" if code == -signal.SIGKILL else "done before"] += 1
            assert code in (0, -signal.SIGKILL), (name, number, code, log.read_text()[-1500:])
            command.check(out)
            if had_old and name != "train":
                assert (out / command.result).exists(), f"{name} #{number}: the old one is lost"
            again = end_of(start(_work(command, inputs, out, True), log))
            assert again == 0, (name, number, again, log.read_text()[-1500:])
            command.check(out)
            assert (out / command.result).exists(), f"{name} #{number}: nothing after success"
            assert not leftovers(out), f"{name} #{number}: {leftovers(out)}"
    return counts


def _work(command: Command, inputs: Path, out: Path, overwrite: bool) -> Callable[[], None]:
    return lambda: command.run(inputs, out, overwrite)


def _first_run(command: Command, inputs: Path, folder: Path, log: Path) -> tuple[Path, float]:
    out = folder / "out"
    out.mkdir()
    began = time.monotonic()
    code = end_of(start(_work(command, inputs, out, False), log))
    assert code == 0, log.read_text()[-1500:]
    command.check(out)
    return out, time.monotonic() - began


def _ended_before(step: int, work: Callable[[], None]) -> Callable[[], None]:
    def ended() -> None:
        count = 0

        def counted(real: Callable[..., object]) -> Callable[..., object]:
            def call(*args: object, **options: object) -> object:
                nonlocal count
                count += 1
                if count >= step:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(*args, **options)

            return call

        for name in PUBLISHING:
            setattr(os, name, counted(getattr(os, name)))
        work()

    return ended


def main() -> None:
    """Kill all commands and print a line each."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--kills", type=int, default=50)
    kills = parser.parse_known_args()[0].kills

    def attempt(name: str, inputs: Path) -> str:
        counts = kill_many(name, inputs, kills)
        counted = ", ".join(f"{count} {what}" for what, count in counts.items())
        return f"{counted}; nothing lost, nothing left"

    try_commands(attempt, parser)


if __name__ == "__main__":
    main()
