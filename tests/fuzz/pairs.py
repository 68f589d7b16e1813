"""Two processes with one output: `python -m tests.fuzz.pairs --pairs 20`.

Exactly one has the result; the other one says so and ends with 1.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from functools import partial
from pathlib import Path

from tests.fuzz.commands import (
    COMMANDS,
    Command,
    end_of,
    leftovers,
    start,
    try_commands,
)


def pair_many(name: str, inputs: Path, pairs: int) -> list[str]:
    """Start a command twice at once, so many times; return what the losers said.

    Raises:
        AssertionError: not exactly one has the result, or it is not whole.
    """
    command, outcomes = COMMANDS[name], []
    for number in range(pairs):
        with tempfile.TemporaryDirectory() as folder:
            out, logs = Path(folder) / "out", [Path(folder) / f"log{n}" for n in range(2)]
            out.mkdir()
            overwrite = number % 4 == 3
            began = time.monotonic() + 0.05

            work = partial(_run_at, began, command, inputs, out, overwrite)
            codes = [end_of(child) for child in [start(work, log) for log in logs]]
            texts = [log.read_text() for log in logs]
            if overwrite and codes == [0, 0]:  # one after the other
                continue
            assert sorted(codes) == [0, 1], (name, number, codes, texts)
            command.check(out)
            assert (out / command.result).exists()
            assert not leftovers(out), f"{name} #{number}: {leftovers(out)}"
            said = texts[codes.index(1)].splitlines()[-1]
            assert "another process" in said or "exists" in said, said
            outcomes.append("busy" if "another process" in said else "exists")
    return outcomes


def _run_at(moment: float, command: Command, inputs: Path, out: Path, overwrite: bool) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))
    command.run(inputs, out, overwrite)


def main() -> None:
    """Pair all commands and print a line each."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--pairs", type=int, default=20)
    pairs = parser.parse_known_args()[0].pairs

    def attempt(name: str, inputs: Path) -> str:
        outcomes = pair_many(name, inputs, pairs)
        return (
            f"{pairs} pairs, {outcomes.count('busy')} reported at once, "
            f"{outcomes.count('exists')} at the end"
        )

    try_commands(attempt, parser)


if __name__ == "__main__":
    main()
