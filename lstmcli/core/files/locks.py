"""Locks of the kernel on open files and folders: they end with their process, however it ends."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from pathlib import Path

if sys.platform != "win32":
    import fcntl

NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
Identity = tuple[int, int, int]
"""Number, size and time of change of a file: of one that was replaced or edited they differ."""
_held: set[int] = set()
_forgets_in_children: list[bool] = []


def try_lock(handle: int) -> bool | None:
    """Lock an open file or folder; False where another process has, None where nobody can.

    A forked child does not take part: it would hold the lock of its dead parent.
    """
    if sys.platform == "win32":
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in (errno.EAGAIN, errno.EACCES) else None
    if not _forgets_in_children:
        _forgets_in_children.append(True)
        os.register_at_fork(after_in_child=_forget)
    _held.add(handle)
    return True


def unlock(handle: int) -> None:
    """Close what `try_lock` was given; a forked child has closed it already."""
    if handle in _held:
        _held.discard(handle)
        os.close(handle)


def is_at(handle: int, path: Path) -> bool:
    """Return whether an open file still lies at a path; links are not followed."""
    try:
        there, own = path.lstat(), os.fstat(handle)
    except OSError:
        return False
    return (there.st_dev, there.st_ino) == (own.st_dev, own.st_ino)


def is_own(handle: int) -> bool:
    """Return whether an open file is of this user: in a folder of many, others may plant ours."""
    return sys.platform == "win32" or os.fstat(handle).st_uid == os.getuid()


def identity_of(path: Path) -> Identity | None:
    """Return what tells a file from any other that gets its name; None where nothing is."""
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the system can."""
    with contextlib.suppress(OSError):  # Windows opens no folders, some disks sync none
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def sync_file(path: Path) -> None:
    """Bring a file's content to the disk."""
    handle = os.open(path, os.O_RDWR | NO_FOLLOW)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _forget() -> None:
    for handle in _held:
        with contextlib.suppress(OSError):
            os.close(handle)
    _held.clear()
