"""The first and last bytes of a file, by which its format is detected."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lstmcli.core.errors import DataError

_PART = 65536
_KEY = re.compile(r'"([^"\\]{1,64})"\s*:')
_ROOT = re.compile(r"<([A-Za-z_][\w.-]*)")


@dataclass(frozen=True)
class FileSniff:
    """The parts of a file from which a reader decides whether it is its own.

    Args:
        path: the file.
        text: its first and last 64 kB, undecodable bytes replaced.
    """

    path: Path
    text: str

    @classmethod
    def of(cls, path: Path) -> FileSniff:
        """Return the head of a file; a pipe or device has an empty one.

        Raises:
            DataError: it cannot be read.
        """
        try:
            if not path.is_file() and path.exists():
                return cls(path, "")
            with path.open("rb") as file:
                data = file.read(_PART)
                length = path.stat().st_size
                if length > 2 * _PART:
                    file.seek(length - _PART)
                data += file.read(_PART)
        except OSError as error:
            raise DataError(
                f"{path}: {error.strerror or error}", hint="make it readable, or move it away"
            ) from None
        encoding = "utf-16" if data[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig"
        return cls(path, data.decode(encoding, errors="replace"))

    @cached_property
    def is_json(self) -> bool:
        """Whether it begins as JSON does."""
        return self.path.suffix.lower() in {".json", ".jsonl", ".ndjson"} or (
            self.text.lstrip()[:1] in {"{", "["}
        )

    @cached_property
    def keys(self) -> frozenset[str]:
        """Every text before a colon in JSON, of any depth."""
        return frozenset(_KEY.findall(self.text)) if self.is_json else frozenset()

    @cached_property
    def tags(self) -> tuple[str, ...]:
        """The element names of XML in the order of their first mention; the first is the root."""
        if not self.text.lstrip().startswith("<"):
            return ()
        return tuple(dict.fromkeys(_ROOT.findall(self.text)))

    @cached_property
    def lines(self) -> tuple[str, ...]:
        """The first 200 lines that are whole and not empty."""
        whole = self.text.splitlines()
        if len(self.text) > _PART:
            whole = self.text[:_PART].splitlines()[:-1]
        return tuple(line.strip() for line in whole if line.strip())[:200]
