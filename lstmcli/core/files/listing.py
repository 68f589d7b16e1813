"""The list of a folder that we wrote: what it names may be replaced, nothing else."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from lstmcli.core.errors import OutputError
from lstmcli.core.files.locks import NO_FOLLOW

LIST_NAME = ".lstmcli-files"
"""One path a line, as a JSON text, from the folder on."""
_OF_THE_SYSTEM = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})
"""Files that file managers leave in every folder that they open."""


def files_below(folder: Path) -> Iterator[str]:
    """Yield the paths below a folder of all that is no folder, and of empty folders with a slash.

    Links are not followed.
    """
    for place, folders, names in os.walk(folder):
        below = Path(place).relative_to(folder)
        links = [name for name in folders if (Path(place) / name).is_symlink()]
        yield from ((below / name).as_posix() for name in (*names, *links))
        if not folders and not names and below.parts:
            yield below.as_posix() + "/"


def write_list(folder: Path) -> None:
    """Write the list of a complete folder into it; one that grew with it is replaced."""
    names = sorted(name for name in files_below(folder) if name != LIST_NAME)
    growing = folder / f"{LIST_NAME}-new"
    handle = os.open(growing, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_FOLLOW, 0o666)
    with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
        file.writelines(line_of(name) for name in names)
    growing.replace(folder / LIST_NAME)  # whole or not there


def line_of(name: str) -> str:
    """Return a path as a line of the list, whatever is in the name."""
    return json.dumps(name) + "\n"


def first_foreign(folder: Path) -> str | None:
    """Return a path below a folder that its list does not name, None where there is none."""
    known = _read_list(folder)
    for name in files_below(folder):
        if name not in known and not _is_of_the_system(name):
            return name
    return None


def check_ours(folder: Path) -> None:
    """Refuse to replace a folder with anything inside that we did not write.

    Raises:
        OutputError: it has no list, or holds more than is on it.
    """
    foreign = first_foreign(folder)
    if foreign is not None:
        raise OutputError(
            f"{folder} holds other files than those of lstmcli ({foreign})",
            hint="move them away, or name a folder of its own with --out",
        )


def remove_listed(folder: Path) -> None:
    """Delete what the list of a folder names, then the list and the folder if nothing is left.

    Raises:
        OutputError: something else is left in it.
    """
    known = _read_list(folder)
    names = [n for n in files_below(folder) if n in known or _is_of_the_system(n)]
    for name in names:
        if name not in (LIST_NAME, LIST_NAME + "/") and not name.endswith("/"):
            (folder / name).unlink(missing_ok=True)
    for place, folders, _ in os.walk(folder, topdown=False):
        for name in folders:
            with contextlib.suppress(OSError):  # not empty, or a link
                (Path(place) / name).rmdir()
    foreign = first_foreign(folder)
    if foreign is not None and foreign != LIST_NAME:
        raise OutputError(
            f"{folder}: {foreign} is not of lstmcli and was kept", hint="move it away"
        )
    with contextlib.suppress(FileNotFoundError):  # another process cleans up, too
        (folder / LIST_NAME).unlink(missing_ok=True)
        folder.rmdir()


def _read_list(folder: Path) -> frozenset[str]:
    """Return the names of a list; none where there is no list that can be read."""
    try:
        handle = os.open(folder / LIST_NAME, os.O_RDONLY | NO_FOLLOW)
    except OSError:
        return frozenset()
    with os.fdopen(handle, encoding="utf-8", errors="replace") as file:
        return frozenset({*_names_of(file), LIST_NAME})


def _names_of(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        with contextlib.suppress(ValueError):  # the last line of a killed process
            name = json.loads(line)
            if isinstance(name, str):
                yield name


def _is_of_the_system(name: str) -> bool:
    return name.rpartition("/")[2] in _OF_THE_SYSTEM
