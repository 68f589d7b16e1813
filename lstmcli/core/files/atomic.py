"""Files that appear under their name only when they are complete."""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from lstmcli.core.errors import OutputError, output_exists, write_failure
from lstmcli.core.files.locks import NO_FOLLOW, sync_file, sync_folder
from lstmcli.core.files.moves import finish_moves, write_moves
from lstmcli.core.files.publications import is_unreported, note_publication
from lstmcli.core.files.temporary import moving_path, temporary_file

_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL, errno.EXDEV)
"""What disks without hard links say, such as FAT."""

_STREAMS = ("/dev/std", "/dev/fd/", "/proc/")
"""Names of open files, which may be plain ones."""


@contextmanager
def atomic_write(path: Path, *, overwrite: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside a file, and give it the file's name where no error came.

    The content is on the disk before the name is. A device or a pipe is written into, not replaced.

    Args:
        path: of the file.
        overwrite: replace one that is there; a link is replaced, what it points to stays.

    Raises:
        OutputError: the file exists, the folder cannot be written, or the disk is full.
    """
    try:
        if is_device(path):
            with _for_device(path) as temporary:
                yield temporary
            return
        with temporary_file(path) as temporary:
            yield temporary
            publish_file(temporary, path, overwrite=overwrite)
    except OSError as error:
        raise write_failure(path, error) from None


def write_text(path: Path, text: str, *, overwrite: bool = True) -> None:
    """Write a text in UTF-8, complete or not at all.

    Raises:
        OutputError: the file exists or cannot be written.
    """
    with atomic_write(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(text.encode())


def write_json(path: Path, values: Mapping[str, Any], *, overwrite: bool = True) -> None:
    """Write a JSON file, complete or not at all; NaN is refused.

    Raises:
        OutputError: the file exists or cannot be written.
    """
    text = json.dumps(values, ensure_ascii=False, indent=1, allow_nan=False)
    write_text(path, text + "\n", overwrite=overwrite)


def publish_file(complete: Path, path: Path, *, overwrite: bool) -> None:
    """Give a complete file its name in one step; its content is brought to the disk before.

    Raises:
        OSError: it cannot be given.
        OutputError: the name is taken and `overwrite` is False.
    """
    sync_file(complete)
    note_publication(complete, path)
    if overwrite or is_unreported(path):
        complete.replace(path)
    else:
        _take_name(complete, path)
    sync_folder(path.parent)


def publish_files(complete: Path, *, overwrite: bool, removes: Iterable[str] = ()) -> None:
    """Give the files of a folder their names beside it, all or none: the next process goes on.

    Args:
        complete: a `temporary_folder`, which is gone afterwards.
        overwrite: replace files that are there.
        removes: names of files beside it that go with those that are replaced.

    Raises:
        OSError: they cannot be given.
        OutputError: a name is taken.
    """
    for path in sorted(complete.iterdir()):
        check_free(complete.parent / path.name, overwrite=overwrite)
        sync_file(path)
        note_publication(path, complete.parent / path.name)
    write_moves(complete, removes=removes)
    sync_folder(complete)
    moving = moving_path(complete)
    complete.rename(moving)
    sync_folder(complete.parent)
    finish_moves(moving)


def partial_path(path: Path) -> Path:
    """Return the name of an output that grows in view: `a.mp4` is `a.partial.mp4` until then."""
    return path.with_name(f"{path.stem}.partial{path.suffix}")


def open_partial(path: Path) -> TextIO:
    """Open the partial file of an output for lines of text; one of a stopped run is removed.

    The output is claimed, so that no other process works under this name. Links are not followed.

    Raises:
        OSError: it cannot be made.
    """
    return os.fdopen(make_partial(path), "w", encoding="utf-8", newline="\n", buffering=1)


def make_partial(path: Path) -> int:
    """Return a handle of the new, empty partial file of an output, see `open_partial`."""
    partial = partial_path(path)
    partial.unlink(missing_ok=True)
    return os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_FOLLOW, 0o666)


def check_free(path: Path | None, *, overwrite: bool) -> None:
    """Refuse a file that exists and may not be replaced; devices and pipes are written into.

    Raises:
        OutputError: it exists, or a folder has its name.
    """
    if path is None or is_device(path) or not os.path.lexists(path):
        return
    if path.is_dir() and not path.is_symlink():
        raise OutputError(f"{path} is a folder", hint="name a file")
    if not overwrite and not is_unreported(path):
        raise output_exists(path)


def is_device(path: Path) -> bool:
    """Return whether a path is neither a file nor a folder: a terminal, a pipe, `/dev/stdout`."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    is_plain = stat.S_ISREG(mode) or stat.S_ISDIR(mode)
    return not is_plain or str(path.absolute()).startswith(_STREAMS)


def _take_name(complete: Path, path: Path) -> None:
    try:
        os.link(complete, path, follow_symlinks=False)
    except FileExistsError:
        raise output_exists(path) from None
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_FOLLOW, 0o666))
        except FileExistsError:
            raise output_exists(path) from None
        complete.replace(path)
    else:
        complete.unlink()


@contextmanager
def _for_device(path: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder) / f"content{path.suffix}"
        temporary.touch()
        yield temporary
        with temporary.open("rb") as source, path.open("wb") as device:
            shutil.copyfileobj(source, device)
