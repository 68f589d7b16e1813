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


def pair_many(name: str, inputs: Path, pairs: int) -> dict[str, int]:
    """Start a command twice at once, so many times; return how often the losers said what.

    After them come a quarter as many with `--overwrite`, where both may succeed, one after the
    other.

    Raises:
        AssertionError: not exactly one has the result, or it is not whole.
    """
    counts = {"busy": 0, "exists": 0, "one after the other, with --overwrite": 0}
    for number in range(pairs + pairs // 4):
        with tempfile.TemporaryDirectory() as folder:
            counts[_pair(COMMANDS[name], inputs, Path(folder), number >= pairs)] += 1
    return counts


def _pair(command: Command, inputs: Path, folder: Path, overwrite: bool) -> str:
    out, logs = folder / "out", [folder / f"log{n}" for n in range(2)]
    out.mkdir()
    overwrite &= not command.resumes
    work = partial(_run_at, time.monotonic() + 0.05, command, inputs, out, overwrite)
    codes = [end_of(child) for child in [start(work, log) for log in logs]]
    texts = [log.read_text() for log in logs]
    command.check(out)
    assert (out / command.result).exists()
    assert not leftovers(out), leftovers(out)
    if overwrite and codes == [0, 0]:
        return "one after the other, with --overwrite"
    assert sorted(codes) == [0, 1], (codes, texts)
    said = texts[codes.index(1)].splitlines()[-1]
    assert "another process" in said or "exists" in said, said
    return "busy" if "another process" in said else "exists"


def _run_at(moment: float, command: Command, inputs: Path, out: Path, overwrite: bool) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))
    command.run(inputs, out, overwrite)


def main() -> None:
    """Pair all commands and print a line each."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--pairs", type=int, default=20)
    pairs = parser.parse_known_args()[0].pairs

    def attempt(name: str, inputs: Path) -> str:
        began = time.monotonic()
        counts = pair_many(name, inputs, pairs)
        counted = ", ".join(f"{count} {what}" for what, count in counts.items())
        return f"{pairs} pairs: {counted} ({time.monotonic() - began:.0f} s)"

    try_commands(attempt, parser)


if __name__ == "__main__":
    main()
