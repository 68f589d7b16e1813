"""Full disks: `python -m tests.fuzz.full_disk` (as root, it mounts small ones in memory).

Every command runs on disks of growing size until it gets done. Before that it ends with an error in
a sentence, and what is left under a final name is whole.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from tests.fuzz.commands import (
    COMMANDS,
    end_of,
    leftovers,
    start,
    try_commands,
)

MOST_KB = 64_000
FINE_KB = 96
"""Up to this size every page more is tried, beyond it a tenth more each time.

Where an older result is replaced, it is a quarter more each time.
"""


def fill(name: str, inputs: Path, *, has_old: bool = False) -> tuple[int, int]:
    """Run a command on full disks; return how many there were, and the size in kB that is enough.

    Args:
        name: of the command.
        inputs: that it reads.
        has_old: whether an older result lies there, which is to be replaced.

    Raises:
        AssertionError: it ended in another way than with an error in a sentence, or what lies
            there is not whole.
    """
    command, runs, free = COMMANDS[name], 0, 4
    with tempfile.TemporaryDirectory() as folder:
        old = Path(folder) / "old"
        old.mkdir()
        if has_old:
            log = Path(folder) / "log"
            code = end_of(start(lambda: command.run(inputs, old, False), log))
            assert code == 0, log.read_text()[-1500:]
        while free < MOST_KB:
            runs += 1
            if _fits(name, inputs, Path(folder), old if has_old else None, free):
                return runs, free
            share = 4 if has_old else 10
            free += 4 if free < FINE_KB and not has_old else max(4, free // share // 4 * 4)
    raise AssertionError(f"{name}: {MOST_KB} kB are not enough for {command.result}")


def _fits(name: str, inputs: Path, folder: Path, old: Path | None, free: int) -> bool:
    """Run a command on a disk on which some kB are free; return whether it got done."""
    command, log, disk = COMMANDS[name], folder / "log", folder / "disk"
    disk.mkdir()
    log.unlink(missing_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={MOST_KB}k", "tmpfs", str(disk)]
    subprocess.run(mount, check=True)
    try:
        out = disk / "out"
        shutil.copytree(old, out) if old is not None else out.mkdir()
        size = shutil.disk_usage(disk).used // 1024 + free
        subprocess.run(["mount", "-o", f"remount,size={size}k", str(disk)], check=True)
        code = end_of(start(lambda: command.run(inputs, out, old is not None), log))
        said = log.read_text()[-1500:]
        assert code in (0, 1), (name, size, code, said)
        command.check(out)
        assert not leftovers(out, partial=True), (name, size, leftovers(out, partial=True))
        if code == 0 or (old is not None and not command.resumes):
            assert (out / command.result).exists(), (name, size, said)
        assert code == 0 or said.count("error: ") == 1, said
        return code == 0
    finally:
        subprocess.run(["umount", str(disk)], check=True)
        disk.rmdir()


def main() -> None:
    """Fill the disk of all commands and print a line each."""

    def attempt(name: str, inputs: Path) -> str:
        began, text = time.monotonic(), ""
        if not only_old:
            runs, size = fill(name, inputs)
            text = f"{runs - 1} full disks, each reported; {size} kB are enough"
        if not COMMANDS[name].resumes:
            runs, size = fill(name, inputs, has_old=True)
            text += "; " if text else ""
            text += f"{runs - 1} with an older result, which stayed ({size} kB more)"
        return f"{text} ({time.monotonic() - began:.0f} s)"

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--old", action="store_true", help="only with an older result")
    only_old = parser.parse_known_args()[0].old
    try_commands(attempt, parser)


if __name__ == "__main__":
    main()
