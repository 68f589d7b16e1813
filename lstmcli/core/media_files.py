"""Suffixes of videos and images, and a walk through folders that follows links but no cycle."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

_VIDEO = (
    ".264 .265 .3gp .asf .avi .divx .dv .f4v .flv .gif .h264 .h265 .hevc .ivf .m2ts .m2v .m4v "
    ".mjpeg .mjpg .mkv .mov .mp4 .mpeg .mpg .mts .mxf .nut .ogv .rm .ts .vob .webm .wmv .y4m"
)
_IMAGE = ".avif .bmp .jfif .jp2 .jpe .jpeg .jpg .pgm .png .ppm .tif .tiff .webp"
_UNREADABLE = ".arw .cr2 .cr3 .dng .heic .heif .nef .orf .psd .rw2"
VIDEO_SUFFIXES = frozenset(_VIDEO.split())
"""Endings of videos, for every command."""
IMAGE_SUFFIXES = frozenset(_IMAGE.split())
"""Endings of still images, for every command; each is decoded by Pillow or FFmpeg."""
UNREADABLE_SUFFIXES = frozenset(_UNREADABLE.split())
"""Endings of images that no library here decodes."""


def is_file_at(path: Path) -> bool:
    """Return whether a file lies at a path; no where no file can have such a name."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long, too many links, a zero byte
        return False


def can_be_path(text: str) -> bool:
    """Return whether a system can have a path of this name at all."""
    parts = text.replace("\\", "/").split("/")
    return len(text) < 4096 and "\0" not in text and all(len(os.fsencode(p)) < 256 for p in parts)


def walk(root: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Yield (folder, names of folders, names of files) from the top down, sorted.

    Symbolic links are followed; a folder that was yielded before, under whatever name, is not
    entered again, so a ring of links ends. Hidden folders are left out. Names that the caller
    removes from the list of folders are not entered.
    """
    seen: set[tuple[int, int]] = set()
    for name, folders, files in os.walk(root, followlinks=True):
        folder = Path(name)
        try:
            status = folder.stat()
        except OSError:
            folders.clear()
            continue
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield folder, folders, sorted(files)


def files_below(root: Path) -> Iterator[Path]:
    """Yield every file below a folder, hidden folders left out, links followed."""
    for folder, _, files in walk(root):
        yield from (folder / name for name in files)
