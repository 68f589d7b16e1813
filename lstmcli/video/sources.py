"""Resolves sources: files, folders, patterns, images, cameras, streams, `-`."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lstmcli.core.errors import MediaError
from lstmcli.core.media_files import (
    IMAGE_SUFFIXES,
    UNREADABLE_SUFFIXES,
    VIDEO_SUFFIXES,
    files_below,
)
from lstmcli.core.names import unique_names
from lstmcli.video.animation import has_several_pictures

_STREAM = re.compile(r"^(rtsps?|rtmps?|https?|udp|tcp|srt|rtp|mms)://", re.IGNORECASE)
_LONGEST_NAME = 255 - 30
"""Bytes of a stem; outputs add endings such as `.detections.partial.jsonl`."""
_FILM = re.compile(r"^(.+)#(\d+)$")
"""A file and the number of a video stream in it, as the note about further ones names them."""
_CAMERA = re.compile(r"^camera:(.+)$", re.IGNORECASE)
_OURS = (".annotated.mp4", ".partial.mp4", ".crops", ".frames")
"""Endings of our own outputs, which may lie next to the footage."""


@dataclass(frozen=True, slots=True)
class Source:
    """One video, from a file, images, a camera, a stream or standard input.

    Args:
        name: goes into the records and, without its suffix, into the names of the outputs.
        kind: a file, a row of still images, a camera, a stream or standard input.
        address: path, URL or number of the camera; "-" for standard input.
        images: of a row of images, in order.
        film: which video stream of the file, from 1; None: the one that players show.
    """

    name: str
    kind: Literal["file", "images", "camera", "stream", "stdin"]
    address: str
    images: tuple[Path, ...] = ()
    film: int | None = None

    @property
    def is_live(self) -> bool:
        """True where pictures come by themselves and cannot be read again."""
        return self.kind in {"camera", "stream"}


Note = Callable[[str], None]


def find_sources(texts: Sequence[str], *, note: Note | None = None) -> list[Source]:
    """Resolve source arguments to videos, in the order given, folders and patterns sorted.

    Args:
        texts: files, folders, patterns, cameras, streams or `-`.
        note: is given a sentence about images of a folder that cannot be read.

    Raises:
        MediaError: a source that is not there, or a folder without videos and images.
    """
    found = [source for text in texts for source in _sources_of(text, note)]
    return list({(source.kind, source.address, source.film): source for source in found}.values())


def _sources_of(text: str, note: Note | None) -> list[Source]:
    if text == "-":
        return [Source("stdin", "stdin", "-")]
    camera = _CAMERA.match(text)
    if camera:
        return [Source(f"camera{re.sub('[^A-Za-z0-9]+', '-', camera[1])}", "camera", camera[1])]
    if _STREAM.match(text):
        return [Source(_stream_name(text), "stream", text)]
    path = Path(text.removeprefix("file://"))
    if path.is_dir():
        return _in_folder(path, note)
    if path.exists():
        return _of_files([path])
    numbered = _FILM.match(text)
    if numbered and Path(numbered[1]).is_file():
        path = Path(numbered[1])
        name = _writable(f"{path.stem}#{numbered[2]}{path.suffix}")
        return [Source(name, "file", str(path), film=int(numbered[2]))]
    paths = _matches(text)
    if not paths:
        raise MediaError(
            f"{text}: there is no such file, folder, camera or stream",
            hint="give a video, a folder, a pattern in quotes, camera:0, an rtsp:// address or -",
        )
    return _of_files(paths)


def _matches(text: str) -> list[Path]:
    """Return the files of a shell pattern or of a counted name such as `img_%04d.png`."""
    if re.search(r"%0?\d*d", text):
        parts = re.split(r"%0?\d*d", text)
        rule = re.compile(
            r"\d+".join(
                re.escape(Path(part).name if i == 0 else part) for i, part in enumerate(parts)
            )
        )
        folder = Path(parts[0] + "x").parent
        return sorted(
            (path for path in folder.glob("*") if rule.fullmatch(path.name)), key=natural_order
        )
    found = [Path(name) for name in glob.glob(text, recursive=True)]  # noqa: PTH207
    if not any(ending in text for ending in _OURS):  # unless they are named
        found = [path for path in found if not _is_ours(path)]
    return sorted((path for path in found if path.is_file()), key=natural_order)


def _is_ours(path: Path) -> bool:
    return any(part.endswith(_OURS) for part in path.parts)


def _of_files(paths: Sequence[Path]) -> list[Source]:
    images = tuple(path for path in paths if _is_still(path))
    others = [path for path in paths if not _is_still(path)]
    found = [Source(_writable(path.name), "file", str(path)) for path in others]
    if images:
        name = images[0].name if len(images) == 1 else images[0].resolve().parent.name
        found.append(Source(_writable(name), "images", str(images[0]), images))
    return found


def _is_still(path: Path) -> bool:
    """Return whether a file is an image and no animation."""
    suffix = path.suffix.lower()
    if suffix not in IMAGE_SUFFIXES:
        return False
    return suffix not in {".webp", ".png"} or not has_several_pictures(path)


def _in_folder(folder: Path, note: Note | None) -> list[Source]:
    """Return every video below a folder, and every folder of images as one row."""
    found: list[Source] = []
    files = sorted((path for path in files_below(folder) if path.is_file()), key=natural_order)
    rows: dict[Path, list[Path]] = {}
    for path in files:
        suffix = path.suffix.lower()
        below = path.relative_to(folder)
        if _is_ours(below) or any(part.startswith(".") for part in below.parts):
            continue
        if suffix in VIDEO_SUFFIXES or (suffix in IMAGE_SUFFIXES and not _is_still(path)):
            found.append(Source(_writable(str(path.relative_to(folder))), "file", str(path)))
        elif suffix in IMAGE_SUFFIXES:
            rows.setdefault(path.parent, []).append(path)
    for parent, images in rows.items():
        name = str(parent.relative_to(folder)) if parent != folder else folder.resolve().name
        found.append(Source(_writable(name), "images", str(images[0]), tuple(images)))
    unreadable = [path.name for path in files if path.suffix.lower() in UNREADABLE_SUFFIXES]
    if not found:
        such = f", only {len(unreadable)} like {unreadable[0]}" if unreadable else ""
        raise MediaError(
            f"{folder}: no videos and no images that can be read below it{such}",
            hint="convert them to JPEG or PNG" if unreadable else "give another folder",
        )
    if unreadable and note is not None:
        note(
            f"{folder}: {len(unreadable)} images like {unreadable[0]} cannot be read and are left "
            "out; convert them to JPEG or PNG"
        )
    return found


def _writable(name: str) -> str:
    """Return a name that can stand in UTF-8 text; what is no UTF-8 on the disk becomes U+FFFD."""
    return os.fsencode(name).decode("utf-8", "replace")


def _stream_name(address: str) -> str:
    bare = re.sub(r"^\w+://([^/@]*@)?", "", address).split("?")[0]
    return re.sub(r"[^A-Za-z0-9.]+", "-", bare).strip("-.") or "stream"


def natural_order(path: Path) -> tuple[tuple[int, int | str], ...]:
    """Sort `frame9` before `frame10`."""
    parts: Iterable[str] = re.split(r"(\d+)", str(path))
    return tuple((0, int(part)) if part.isdecimal() else (1, part) for part in parts if part)


def _short(name: str) -> str:
    """Cut a name whose outputs would have longer names than a disk takes."""
    folder, slash, last = name.rpartition("/")
    data = last.encode("utf-8", "surrogateescape")
    if len(data) > _LONGEST_NAME:
        last = data[:_LONGEST_NAME].decode("utf-8", "ignore")
    return folder + slash + last


def output_names(sources: Sequence[Source]) -> list[str]:
    """Return a name for the outputs of each source; no two are alike."""
    stems = [
        source.name.rsplit(".", 1)[0]
        if Path(source.name).suffix.lower() in VIDEO_SUFFIXES | IMAGE_SUFFIXES
        else source.name
        for source in sources
    ]
    names = [
        _short(source.name if stems.count(stem) > 1 else stem)
        for source, stem in zip(sources, stems, strict=True)
    ]
    return unique_names(names, "-")
