"""Several complete files that get their names together: what is begun, the next process ends.

They lie in a folder of their own with a list of what is to happen, which takes effect by one
renaming of this folder. The list says which files they replace: any other one stays.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from lstmcli.core.files.locks import NO_FOLLOW, Identity, identity_of, sync_folder

_LIST = ".lstmcli-moves"


def write_moves(folder: Path, *, removes: Iterable[str] = ()) -> None:
    """List the files of a folder to be moved beside it, and files beside it to be removed."""
    into = folder.parent
    rows = [(path.name, identity_of(into / path.name), True) for path in sorted(folder.iterdir())]
    rows += [(name, identity_of(into / name), False) for name in removes]
    handle = os.open(folder / _LIST, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_FOLLOW, 0o666)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(rows, file)
        file.flush()
        os.fsync(handle)


def finish_moves(folder: Path) -> None:
    """Do what the list of a folder says as far as it is not done, and remove the folder.

    Raises:
        OSError: a file cannot be moved.
    """
    rows = _read_moves(folder)
    for name, replaced, is_move in rows:
        new, home = folder / name, folder.parent / name
        if identity_of(home) != replaced:  # moved already, or the file of another program
            continue
        if is_move and new.is_file() and not new.is_symlink():
            new.replace(home)
        elif not is_move:
            home.unlink(missing_ok=True)
    sync_folder(folder.parent)
    for name, _, _ in rows:
        (folder / name).unlink(missing_ok=True)
    (folder / _LIST).unlink(missing_ok=True)
    folder.rmdir()


def _read_moves(folder: Path) -> list[tuple[str, Identity | None, bool]]:
    rows: list[tuple[str, Identity | None, bool]] = []
    with contextlib.suppress(OSError, ValueError):
        handle = os.open(folder / _LIST, os.O_RDONLY | NO_FOLLOW)
        with os.fdopen(handle, encoding="utf-8") as file:
            for row in json.load(file):
                match row:
                    case [str(name), None, bool(is_move)] if _is_plain(name):
                        rows.append((name, None, is_move))
                    case [str(name), [int(a), int(b), int(c)], bool(is_move)] if _is_plain(name):
                        rows.append((name, (a, b, c), is_move))
    return rows


def _is_plain(name: str) -> bool:
    return name not in ("", ".", "..") and not set("/\\\0") & set(name)
