"""Names from outside that become files: of other programs, of classes, of clients."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import PurePosixPath

from lstmcli.core.media_files import IMAGE_SUFFIXES, VIDEO_SUFFIXES

_KNOWN_SUFFIXES = VIDEO_SUFFIXES | IMAGE_SUFFIXES


def as_path(written: str) -> PurePosixPath:
    """Return a path as a file writes it, of any system, with forward slashes."""
    return PurePosixPath(unicodedata.normalize("NFC", written.strip().replace("\\", "/")))


def is_video(written: str) -> bool:
    """Return whether a path ends like a video's."""
    return as_path(written.split("?")[0]).suffix.lower() in VIDEO_SUFFIXES


_PLAIN = re.compile(r"[A-Za-z0-9_-]+(?:[./ ][A-Za-z0-9_-]+)*")
"""Paths that need no care; most are, and there may be a million."""


def safe_name(written: str) -> str:
    """Return a name that can become a file: relative, no `..`, no drive, no control characters."""
    if _PLAIN.fullmatch(written):
        return written
    text = "".join(c for c in written if unicodedata.category(c)[0] != "C")
    text = re.sub(r"^[A-Za-z][A-Za-z0-9+.-]*://|^[A-Za-z]:(?=[\\/])", "", text)
    parts = [part.strip() for part in as_path(text).parts]
    return "/".join(part for part in parts if part not in {"", ".", "..", "/"}) or "video"


def file_name(text: str) -> str:
    """Return a text as the name of one file or folder on every system; letters stay as they are."""
    clean = re.sub(r'[\x00-\x1f<>:"/\\|?*]', "_", text).strip(" .")
    return clean or "_"


def upload_name(name: str) -> str:
    """Return a client's name of a video as the short ASCII name of a file, without any folder.

    >>> upload_name("../../etc/passwd")
    'passwd'
    """
    last = re.split(r"[/\\]", name)[-1]
    clean = re.sub(r"[^\w.-]+", "_", last, flags=re.ASCII).lstrip(".-_")
    stem, dot, suffix = clean.rpartition(".")
    return (f"{stem[:80]}{dot}{suffix[:8]}" if stem else suffix[:80]) or "video"


def stem_of(written: str) -> str:
    """Return the relative path without suffix as a name."""
    stem, _, ending = written.rpartition(".")
    if _PLAIN.fullmatch(written) and f".{ending.lower()}" in _KNOWN_SUFFIXES:
        return stem
    path = as_path(written)
    known = path.suffix.lower() in _KNOWN_SUFFIXES
    return safe_name(str(path.with_suffix("")) if known and path.stem else str(path))


def unique_names(names: Sequence[str], separator: str = "~") -> list[str]:
    """Return the names, repeated ones numbered from 2 behind a separator: `a`, `a~2`."""
    taken = set(names)
    seen: set[str] = set()
    result = []
    for name in names:
        unique, n = name, 1
        while unique in seen or (n > 1 and unique in taken):
            n += 1
            unique = f"{name}{separator}{n}"
        seen.add(unique)
        result.append(unique)
    return result
