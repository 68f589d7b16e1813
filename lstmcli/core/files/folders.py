"""Folders that appear complete, in one step, and replace only what was ours."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from lstmcli.core.errors import OutputError, output_exists, write_failure
from lstmcli.core.files.atomic import partial_path
from lstmcli.core.files.listing import LIST_NAME, check_ours, line_of, remove_listed, write_list
from lstmcli.core.files.locks import NO_FOLLOW, sync_file, sync_folder
from lstmcli.core.files.publications import is_unreported, note_publication
from lstmcli.core.files.temporary import temporary_folder, temporary_path

_FEW_FILES = 200
"""So many are brought to the disk one by one; of more, the whole disk is."""
_AT_CWD, _EXCHANGE = -100, 2
"""Of Linux's renameat2."""


def real_place(path: Path) -> Path:
    """Return a folder's own place where a link names it: the link stays, its target is written."""
    return path.resolve() if path.is_symlink() else path


def check_replaceable(folder: Path, *, overwrite: bool) -> None:
    """Refuse a place that is taken, or that holds anything but what its own list names.

    Raises:
        OutputError: something is there.
    """
    try:
        if not os.path.lexists(folder):
            return
        if folder.is_symlink() or not folder.is_dir():
            raise OutputError(f"{folder} is not a folder", hint="name another place with --out")
        if Path.cwd().is_relative_to(folder.resolve()):
            raise OutputError(
                f"{folder}: the folder that this was started in cannot be made anew",
                hint="give --out a folder that is not there yet",
            )
        if next(folder.iterdir(), None) is None:
            return
        if not overwrite and not is_unreported(folder):
            raise output_exists(folder)
        check_ours(folder)
    except OSError as error:
        raise write_failure(folder, error) from None


@contextmanager
def new_folder(out: Path, *, overwrite: bool) -> Iterator[Path]:
    """Yield an empty folder beside `out` that takes its place where no error came.

    An old one stays until the new one stands; then what its list names is deleted.

    Raises:
        OutputError: `out` is taken, holds what is not ours, or cannot be written.
    """
    check_replaceable(out, overwrite=overwrite)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with temporary_folder(out) as folder:
            yield folder
            write_list(folder)
            publish_folder(folder, out, overwrite=overwrite)
    except OSError as error:
        raise write_failure(out, error) from None


def publish_folder(complete: Path, out: Path, *, overwrite: bool) -> None:
    """Give a complete folder with its list its name; an old one of ours is deleted afterwards.

    Raises:
        OSError: it cannot be given.
        OutputError: the name is taken, or what is there is not ours.
    """
    check_replaceable(out, overwrite=overwrite)
    _sync_all(complete)
    note_publication(complete, out)
    if not out.is_dir() or next(out.iterdir(), None) is None:
        complete.rename(out)  # fails where another process has just filled it
        sync_folder(out.parent)
        return
    old = complete
    if not _exchange(complete, out):
        old = temporary_path(out, old=True)
        out.rename(old)
        complete.rename(out)
    sync_folder(out.parent)
    remove_listed(old)


class PartialFolder:
    """A folder that grows in view under its partial name, with the list of what is in it.

    The output is claimed, so that no other process works under this name.

    Args:
        path: the name that it has when it is complete.
        overwrite: replace one that is there.

    Raises:
        OutputError: it cannot be made, or what is there is not ours.
    """

    def __init__(self, path: Path, *, overwrite: bool) -> None:
        self.path, self.partial = path, partial_path(path)
        self._overwrite = overwrite
        try:
            if self.partial.is_symlink() or self.partial.is_file():
                self.partial.unlink()
            elif self.partial.exists():
                check_replaceable(self.partial, overwrite=True)
                remove_listed(self.partial)
            self.partial.mkdir(parents=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_FOLLOW
            handle = os.open(self.partial / LIST_NAME, flags, 0o666)
        except OSError as error:
            raise write_failure(self.partial, error) from None
        self._list: TextIO = os.fdopen(handle, "w", encoding="utf-8", buffering=1)

    def place(self, name: str) -> Path:
        """Note a file, by its path from the folder on, and return where it is to be written.

        Raises:
            OSError: the disk is full.
        """
        self._list.write(line_of(name))
        path = self.partial / name
        if path.parent != self.partial:
            path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def publish(self) -> None:
        """Give the folder its name.

        Raises:
            OutputError: it cannot be given.
        """
        try:
            self._list.close()
            publish_folder(self.partial, self.path, overwrite=self._overwrite)
        except OSError as error:
            raise write_failure(self.path, error) from None

    def abandon(self) -> None:
        """Leave what there is under the partial name.

        Raises:
            OSError: the disk is full.
        """
        self._list.close()


def _sync_all(folder: Path) -> None:
    """Bring a folder with all that is in it to the disk."""
    files, folders = [], []
    for place, _, names in os.walk(folder):
        folders.append(Path(place))
        files += [Path(place) / name for name in names]
    if len(files) > _FEW_FILES and hasattr(os, "sync"):
        os.sync()
        return
    for path in files:
        sync_file(path)
    for path in folders:
        sync_folder(path)


def _exchange(one: Path, two: Path) -> bool:
    """Let two folders swap their names in one step; False where the system cannot."""
    if sys.platform != "linux":
        return False
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    names = [os.fsencode(path) for path in (one, two)]
    return bool(rename(_AT_CWD, names[0], _AT_CWD, names[1], _EXCHANGE) == 0)
