"""Full disks: `python -m tests.fuzz.full_disk` (as root, it mounts small ones in memory).

Every command runs on disks of growing size until it gets done. Before that it ends with an error in
a sentence, and what is left under a final name is whole.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

from tests.fuzz.commands import (
    COMMANDS,
    end_of,
    leftovers,
    start,
    try_commands,
)

MOST_KB = 64_000


def fill(name: str, inputs: Path) -> tuple[int, int]:
    """Run a command on full disks; return how many there were, and the size in kB that is enough.

    Raises:
        AssertionError: it ended in another way than with an error in a sentence.
    """
    command, size, runs = COMMANDS[name], 4, 0
    while size < MOST_KB:
        with tempfile.TemporaryDirectory() as folder:
            log, disk = Path(folder) / "log", Path(folder) / "disk"
            disk.mkdir()
            mount = ["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(disk)]
            subprocess.run(mount, check=True)
            try:
                out = disk / "out"
                out.mkdir()
                runs += 1
                code = end_of(start(lambda out=out: command.run(inputs, out, False), log))  # type: ignore[misc]
                said = log.read_text()[-1500:]
                assert code in (0, 1), (name, size, code, said)
                command.check(out)
                assert not leftovers(out, partial=True), (name, size, leftovers(out, partial=True))
                if code == 0:
                    assert (out / command.result).exists()
                    return runs, size
                assert said.count("error: ") == 1, said
            finally:
                subprocess.run(["umount", str(disk)], check=True)
        size = max(size + 4, int(size * 1.12))
    raise AssertionError(f"{name}: {MOST_KB} kB are not enough")


def main() -> None:
    """Fill the disk of all commands and print a line each."""

    def attempt(name: str, inputs: Path) -> str:
        runs, size = fill(name, inputs)
        return f"{runs - 1} full disks, each reported; {size} kB are enough"

    try_commands(attempt, argparse.ArgumentParser(description=main.__doc__))


if __name__ == "__main__":
    main()
