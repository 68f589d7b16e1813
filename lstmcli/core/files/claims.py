"""An output belongs to one process at a time: the second one gets an error at once."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lstmcli.core.errors import OutputError, write_failure
from lstmcli.core.files.atomic import is_device
from lstmcli.core.files.locks import NO_FOLLOW, is_at, is_own, try_lock, unlock
from lstmcli.core.files.publications import (
    MOST_BYTES,
    HeldClaim,
    hold,
    is_lock_text,
    lock_of,
    publications_of,
    release,
)
from lstmcli.core.files.temporary import remove_leftovers


@contextmanager
def claim(*outputs: Path | None, resumes: bool = False) -> Iterator[None]:
    """Hold outputs for this process; what dead processes left beside them is removed.

    What a process published that was ended before its claim may be replaced without being asked
    for: it was not reported. See `publications`.

    Where the system has no locks, nothing is held; then the exclusive names of `atomic` and
    `folders` still let one process win.

    Args:
        outputs: files or folders that will be written; None and devices are left out.
        resumes: what is published is reported as it comes, and stays when the process is ended.

    Raises:
        OutputError: another process holds one of them, or its folder cannot be written.
    """
    with ExitStack() as stack:
        for path in outputs:
            if path is not None and not is_device(path):
                stack.enter_context(_claimed(path, resumes=resumes))
        yield


@contextmanager
def _claimed(path: Path, *, resumes: bool) -> Iterator[None]:
    shown, path = path, path.resolve() if path.name in ("", "..") else path.absolute()
    if not path.name:  # the root of the disk, which nobody can write as an output
        yield
        return
    lock = lock_of(path)
    with ExitStack() as stack:
        try:
            stack.enter_context(_with_parents(path))
            handle, text = _locked(lock, shown)
        except OSError as error:
            raise write_failure(shown, error) from None
        remove_leftovers(path.parent)
        held = HeldClaim(path, handle, resumes or handle < 0, publications_of(text, path.parent))
        hold(held)
        keeps = False
        try:
            yield
        except BaseException:
            keeps = held.left()  # the next one may replace it, too
            raise
        finally:
            release(held)
            if held.process == os.getpid() and handle >= 0:
                with contextlib.suppress(OSError):
                    if not keeps:
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
                if next(folder.iterdir(), None) is not None:
                    break
                folder.rmdir()


def _locked(lock: Path, path: Path) -> tuple[int, bytes]:
    """Return the open and locked file, -1 where the system has no locks, and what stood in it."""
    while True:
        flags = os.O_RDWR | os.O_CREAT | NO_FOLLOW | getattr(os, "O_NONBLOCK", 0)
        handle = os.open(lock, flags, 0o666)
        text = os.read(handle, 64) if stat.S_ISREG(os.fstat(handle).st_mode) else b"?"
        if not is_lock_text(text):
            os.close(handle)
            raise OutputError(f"{lock} is in the way", hint="move it away; lstmcli did not make it")
        state = try_lock(handle)
        if state is None:
            os.close(handle)
            with contextlib.suppress(OSError):
                lock.unlink()
            return -1, b""
        if state is False:
            os.close(handle)
            other = text.decode(errors="replace").partition("\n")[0].removeprefix("lstmcli")
            raise OutputError(
                f"{path} is being written by another process"
                f"{f' ({other.strip()})' if other.strip() else ''}",
                hint="wait until it is done, or choose another place",
            )
        if is_at(handle, lock):
            try:
                return handle, _signed(handle, path.absolute().parent)
            except OSError:  # the disk is full
                lock.unlink(missing_ok=True)
                unlock(handle)
                raise
        unlock(handle)  # its owner has just removed it


def _signed(handle: int, folder: Path) -> bytes:
    """Write the number of this process into a lock, and return what an ended one wrote there.

    The number has a fixed width, so that what stands behind it stays as it is.
    """
    os.lseek(handle, 0, os.SEEK_SET)
    text = os.read(handle, MOST_BYTES)
    if not is_own(handle) or not publications_of(text, folder):
        os.ftruncate(handle, 0)
        text = b""
    os.pwrite(handle, b"lstmcli %10d\n" % os.getpid(), 0)
    return text
