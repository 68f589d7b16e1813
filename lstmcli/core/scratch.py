"""Folders for unfinished work next to what they become; those of killed runs are removed."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def scratch_folder(out: Path) -> Iterator[Path]:
    """Yield an empty hidden folder next to `out` that is removed at the end.

    A run that was killed could not remove its own; its process number stands in the name, so the
    next run for the same `out` does.
    """
    _remove_orphans(out)
    prefix = f".{out.name}.{os.getpid()}."
    with tempfile.TemporaryDirectory(prefix=prefix, dir=out.parent) as folder:
        yield Path(folder)


def _remove_orphans(out: Path) -> None:
    name = re.compile(rf"\.{re.escape(out.name)}\.(\d+)\.\w+")
    for path in out.parent.iterdir():
        found = name.fullmatch(path.name)
        if found and path.is_dir() and not path.is_symlink() and not _is_alive(int(found[1])):
            shutil.rmtree(path, ignore_errors=True)


def _is_alive(process: int) -> bool:
    """Return whether a process runs; True where that cannot be asked without harm."""
    if os.name == "nt":  # there a signal of 0 ends the process
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
