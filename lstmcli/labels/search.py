"""Searches a folder for label files, recognises their formats, and reads them all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from lstmcli.core.errors import DataError, choose
from lstmcli.core.media_files import walk
from lstmcli.core.types import LabelSet
from lstmcli.labels.media import MediaFinder, ReadContext
from lstmcli.labels.merge import join
from lstmcli.labels.readers import READERS, Reader
from lstmcli.labels.readers.sniff import FileSniff

_SUFFIXES = frozenset(
    {".json", ".jsonl", ".ndjson", ".xml", ".txt", ".csv", ".tsv", ".yaml", ".yml", ".data"}
)
_OURS = frozenset({"dataset.json", "config.yaml", "metrics.csv"})
_FOUND = (".detections.csv", ".detections.jsonl")
"""Endings of what `detect` found: no truth, unless a person names such a file."""


def read_labels(
    path: Path,
    *,
    format: str | None = None,
    media: Path | None = None,
    size_hw: tuple[int, int] | None = None,
) -> LabelSet:
    """Return the labels of a file, or of everything that is found below a folder.

    Args:
        path: a label file or a folder.
        format: a key of READERS; None recognises it from the content.
        media: where the videos or images lie, when neither the labels nor their place say so.
        size_hw: (height, width) of media that are not there, for labels that tell fractions.

    Raises:
        DataError: nothing is recognised, or a file breaks the rules of its format.
        ConfigError: there is no such format.
    """
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder", hint="check the path")
    reader = None if format is None else choose(READERS, format, "label format")
    if path.is_file():
        found = [(path, reader or _sniffed(path))]
    elif reader is not None and _reads_folder(reader, path):
        found = [(path, reader)]
    else:
        found = [(s, r) for s, r in _sources(path) if reader is None or r is reader]
    if not found:
        raise DataError(
            f"{path}: no labels of a known format below it",
            hint=f"--format names one of: {', '.join(sorted(READERS))}",
        )
    sets = []
    for source, its_reader in found:
        is_above = path.is_dir() and path.resolve() not in (
            source.resolve(),
            *source.resolve().parents,
        )
        reading = ReadContext(
            MediaFinder(source, media), size_hw, within=path if is_above else None
        )
        sets.append((source, its_reader.read(source, reading), reading.finder))
    labels = join(sets)
    if not labels.videos:
        raise DataError(
            f"{path}: it names no video and no image that somebody labelled",
            hint="give the label file or folder that belongs to it",
        )
    return labels


def find_annotations(folder: Path) -> list[Path]:
    """Return the label files, and folders of label files, below a folder."""
    sources = [source for source, _ in _sources(folder)]
    return [s for s in sources if not any(o in s.parents for o in sources)]


def format_of(path: Path) -> str:
    """Return the name of the format of a file.

    Raises:
        DataError: it is of none.
    """
    reader = _sniffed(path)
    return next(name for name, row in READERS.items() if row is reader)


def _sniffed(path: Path) -> Reader:
    sniffed = FileSniff.of(path)
    for reader in READERS.values():
        if reader.sniff(sniffed):
            return reader
    raise DataError(
        f"{path}: no label format that is known",
        hint=f"--format names one of: {', '.join(sorted(READERS))}",
    )


def _sources(folder: Path) -> Iterator[tuple[Path, Reader]]:
    """Yield what can be read below a folder, each once, in the order of the paths.

    In a folder of many files of a kind only the first one is looked into.
    """
    seen: set[tuple[Path, int]] = set()
    for root, folders, files in walk(folder):
        if "dataset.json" in files and root != folder:
            folders.clear()
            continue
        gathered: set[str] = set()
        for name in files:
            path = root / name
            suffix = path.suffix.lower()
            if suffix not in _SUFFIXES or suffix in gathered or name in _OURS or name[0] == ".":
                continue
            if name.endswith(_FOUND):
                continue
            sniffed = FileSniff.of(path)
            reader = next((r for r in READERS.values() if r.sniff(sniffed)), None)
            if reader is None:
                continue
            source = reader.root_of(path)
            if source != path:
                gathered.add(suffix)
            if (source, id(reader)) not in seen:
                seen.add((source, id(reader)))
                yield source, reader


def _reads_folder(reader: Reader, folder: Path) -> bool:
    return any(source == folder and r is reader for source, r in _sources(folder))
