"""Standard streams and locale: closed streams, ASCII locales, invalid file names."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_RESTARTED = "LSTMCLI_RESTARTED"


def open_closed_streams() -> None:
    """Redirect closed standard streams to the null device.

    Otherwise the next opened file becomes number 1 or 2, and receives the output of libraries.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    for name, number, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, closefd=False))


class _LossyFile(io.FileIO):
    """A file that forgets what it cannot take."""

    def write(self, content: ReadableBuffer, /) -> int:
        """Return how many bytes were written or lost."""
        with contextlib.suppress(OSError):
            written: int | None = super().write(content)
            if written is not None:
                return written
        return memoryview(content).nbytes


def drop_unwritable_messages() -> None:
    """Let messages be lost where stderr cannot take them: the exit code is that of the work.

    Its disk may be full, or its reader gone; results on stdout are another matter.
    """
    stream = sys.stderr
    if isinstance(stream, io.TextIOWrapper) and stream is sys.__stderr__:
        file = _LossyFile(stream.fileno(), "w", closefd=False)
        sys.stderr = io.TextIOWrapper(
            io.BufferedWriter(file), stream.encoding, stream.errors, line_buffering=True
        )


def use_utf8_file_names() -> None:
    """Restart the process in UTF-8 mode where the locale cannot encode all file names.

    In a container without a locale Python names files in ASCII (`LC_ALL=C`, `PYTHONUTF8=0`).
    """
    is_utf8 = codecs.lookup(sys.getfilesystemencoding()).name == "utf-8"
    if is_utf8 or os.name != "posix" or os.environ.get(_RESTARTED):
        return
    environment = os.environ | {"PYTHONUTF8": "1", _RESTARTED: "1"}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def escape_unencodable() -> None:
    """Escape characters that a stream cannot encode, instead of failing.

    File names whose bytes are not UTF-8 are written to a UTF-8 stdout as those bytes.
    """
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is None or stream.errors not in {"strict", "surrogateescape"}:
            continue
        is_utf8 = codecs.lookup(stream.encoding).name == "utf-8"
        keeps_bytes = is_utf8 and stream is sys.stdout
        reconfigure(errors="surrogateescape" if keeps_bytes else "backslashreplace")


def files_like_options(arguments: list[str]) -> list[str]:
    """Return the arguments that begin with a dash and are names of files."""
    return [text for text in arguments if text.startswith("-") and Path(text).exists()]
