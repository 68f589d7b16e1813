"""Names for what is not complete, and the removal of what dead processes left under them.

A name holds a random number, so that nobody has taken it before; what lies there was made
exclusively and is locked while its process lives. Whoever can lock it knows that the process is
gone, in other containers too.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lstmcli.core.errors import OutputError
from lstmcli.core.files.listing import LIST_NAME, remove_listed
from lstmcli.core.files.locks import NO_FOLLOW, is_at, is_own, try_lock, unlock
from lstmcli.core.files.moves import finish_moves

_MARK = "lstmcli-"
_TOKEN = "[0-9a-f]{16}"
_OURS = re.compile(rf"\.(?P<name>.*)\.{_MARK}(?P<kind>old-|new-)?{_TOKEN}(\.[^.]*)?", re.DOTALL)
_LONGEST = 120
"""Bytes of a name that are repeated in the temporary one."""


def temporary_path(path: Path, *, old: bool = False) -> Path:
    """Return a hidden name beside a path that ends as it does; `old` is for what it replaces."""
    suffix = "" if old else path.suffix
    stem = path.name if old else short_name(path.stem, _LONGEST)
    kind = "old-" if old else ""
    return path.with_name(f".{stem}.{_MARK}{kind}{secrets.token_hex(8)}{suffix}")


def moving_path(folder: Path) -> Path:
    """Return the name of a temporary folder whose files are being moved out of it."""
    return folder.with_name(f".files.{_MARK}new-{secrets.token_hex(8)}")


def is_temporary(name: str) -> bool:
    """Return whether a name is one of this module, or of a lock."""
    return bool(_OURS.fullmatch(name)) or (name.startswith(".") and name.endswith(f"{_MARK}lock"))


def short_name(name: str, length: int) -> str:
    """Return a name cut to so many bytes; bytes that are no UTF-8 are left out."""
    return os.fsencode(name)[:length].decode(errors="ignore")


@contextmanager
def temporary_file(path: Path) -> Iterator[Path]:
    """Yield a new, empty file beside a path; what has its name at the end is removed."""
    remove_leftovers(path.parent)
    temporary, handle = _make(path, is_folder=False)
    try:
        yield temporary
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        unlock(handle)


@contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """Yield a new, empty folder beside a path; what has its name at the end is removed."""
    remove_leftovers(path.parent)
    temporary, handle = _make(path, is_folder=True)
    made = _identity(temporary)
    try:
        yield temporary
    finally:
        if made == _identity(temporary):
            shutil.rmtree(temporary, ignore_errors=True)
        else:  # after an exchange the old one has the name
            _remove(temporary)
        unlock(handle)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def remove_leftovers(folder: Path) -> None:
    """Remove what processes of ours that are gone left in a folder.

    Where a process was ended while it exchanged two folders, and the system cannot do so in one
    step, the old one gets its name back. Files that it was giving their names get them.
    """
    try:
        names = [entry.name for entry in folder.iterdir()]
    except OSError:  # writing there will raise
        return
    for name in names:
        found = _OURS.fullmatch(name)
        if found:
            with contextlib.suppress(OSError, OutputError), _locked(folder / name) as is_dead:
                home = folder / found["name"]
                if is_dead and found["kind"] == "old-" and not os.path.lexists(home):
                    (folder / name).rename(home)
                elif is_dead and found["kind"] == "new-":
                    finish_moves(folder / name)
                elif is_dead:
                    _remove(folder / name)


def _make(path: Path, *, is_folder: bool) -> tuple[Path, int]:
    """Return a new temporary file or folder and its lock, -1 where there are no locks."""
    while True:
        temporary = temporary_path(path)
        if is_folder:
            temporary.mkdir()
            if sys.platform == "win32":  # where folders cannot be opened
                return temporary, -1
            handle = os.open(temporary, os.O_RDONLY | NO_FOLLOW)
        else:
            handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | NO_FOLLOW, 0o666)
        state = try_lock(handle)
        if state is None:
            os.close(handle)
            return temporary, -1
        if state and is_at(handle, temporary):
            return temporary, handle
        unlock(handle) if state else os.close(handle)  # a cleaner met it before it was locked


@contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Lock a leftover; yield whether it is of this user and its process is gone."""
    handle = os.open(path, os.O_RDONLY | NO_FOLLOW | getattr(os, "O_NONBLOCK", 0))
    state = try_lock(handle)
    try:
        yield state is True and is_at(handle, path) and is_own(handle)
    finally:
        if state is True:
            unlock(handle)
        else:
            os.close(handle)


def _remove(path: Path) -> None:
    """Remove a temporary file or folder; of one with a list, what the list names."""
    with contextlib.suppress(OSError, OutputError):  # what is not ours stays
        if not stat.S_ISDIR(path.lstat().st_mode):
            path.unlink()
        elif (path / LIST_NAME).is_file():
            remove_listed(path)
        else:
            shutil.rmtree(path, ignore_errors=True)
