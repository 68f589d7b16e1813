"""An output belongs to one process at a time: the second one gets an error at once."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lstmcli.core.errors import OutputError, write_failure
from lstmcli.core.files.atomic import is_device
from lstmcli.core.files.locks import NO_FOLLOW, is_at, try_lock, unlock
from lstmcli.core.files.temporary import remove_leftovers, short_name

_SUFFIX = ".lstmcli-lock"
_OURS = re.compile(rb"(lstmcli \d+\n?)?")


@contextmanager
def claim(*outputs: Path | None) -> Iterator[None]:
    """Hold outputs for this process; what dead processes left beside them is removed.

    Where the system has no locks, nothing is held; then the exclusive names of `atomic` and
    `folders` still let one process win.

    Args:
        outputs: files or folders that will be written; None and devices are left out.

    Raises:
        OutputError: another process holds one of them, or its folder cannot be written.
    """
    with ExitStack() as stack:
        for path in outputs:
            if path is not None and not is_device(path):
                stack.enter_context(_claimed(path))
        yield


@contextmanager
def _claimed(path: Path) -> Iterator[None]:
    shown, path = path, path.resolve() if path.name in ("", "..") else path.absolute()
    if not path.name:  # the root of the disk, which nobody can write as an output
        yield
        return
    lock = path.with_name(f".{short_name(path.name, 200)}{_SUFFIX}")
    process = os.getpid()
    with ExitStack() as stack:
        try:
            stack.enter_context(_with_parents(path))
            handle = _locked(lock, shown)
        except OSError as error:
            raise write_failure(shown, error) from None
        remove_leftovers(path.parent)
        try:
            yield
        finally:
            if process == os.getpid() and handle >= 0:
                with contextlib.suppress(OSError):
                    lock.unlink()
                unlock(handle)


@contextmanager
def _with_parents(path: Path) -> Iterator[None]:
    """Make the folders above a path; those that are empty at the end are removed again."""
    missing = [folder for folder in path.parents if not os.path.lexists(folder)]
    if not missing and not path.parent.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            for folder in missing:
                folder.rmdir()


def _locked(lock: Path, path: Path) -> int:
    """Return the open and locked file, -1 where the system has no locks."""
    while True:
        flags = os.O_RDWR | os.O_CREAT | NO_FOLLOW | getattr(os, "O_NONBLOCK", 0)
        handle = os.open(lock, flags, 0o666)
        text = os.read(handle, 64) if stat.S_ISREG(os.fstat(handle).st_mode) else b"?"
        if not _OURS.fullmatch(text):
            os.close(handle)
            raise OutputError(f"{lock} is in the way", hint="move it away; lstmcli did not make it")
        state = try_lock(handle)
        if state is None:
            os.close(handle)
            with contextlib.suppress(OSError):
                lock.unlink()
            return -1
        if state is False:
            os.close(handle)
            other = text.decode().removeprefix("lstmcli ").strip()
            raise OutputError(
                f"{path} is being written by another process{f' ({other})' if other else ''}",
                hint="wait until it is done, or choose another place",
            )
        if is_at(handle, lock):
            try:
                os.ftruncate(handle, 0)
                os.pwrite(handle, f"lstmcli {os.getpid()}\n".encode(), 0)
            except OSError:  # the disk is full
                lock.unlink(missing_ok=True)
                unlock(handle)
                raise
            return handle
        unlock(handle)  # its owner has just removed it
