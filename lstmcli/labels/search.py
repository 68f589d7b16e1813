"""Searches a folder for label files, detects their formats, and reads them all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lstmcli.core.errors import DataError, choose
from lstmcli.core.media_files import walk
from lstmcli.core.types import LabelSet
from lstmcli.labels.clock import LabelRate
from lstmcli.labels.context import ReadContext
from lstmcli.labels.division import divided, own_parts
from lstmcli.labels.media_finder import MediaFinder
from lstmcli.labels.merge import join
from lstmcli.labels.readers import READERS, Reader
from lstmcli.labels.readers.sniff import FileSniff

_SUFFIXES = frozenset(
    {".json", ".jsonl", ".ndjson", ".xml", ".txt", ".csv", ".tsv", ".yaml", ".yml", ".data"}
)
_OURS = frozenset({"dataset.json", "config.yaml", "metrics.csv"})
_FOUND = (".detections.csv", ".detections.jsonl")
"""Endings of outputs of `detect`: no ground truth, unless such a file is named."""


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """Options of reading labels.

    Args:
        format: a key of READERS; None detects it from the content.
        media: where the videos or images lie, when neither the labels nor their folder say so.
        size_hw: (height, width) of media that are not there, for labels in fractions.
        annotator: whose boxes count where several people drew them.
        label_rate: frames a second that the labels count by, or "film"; None compares.
    """

    format: str | None = None
    media: Path | None = None
    size_hw: tuple[int, int] | None = None
    annotator: str = ""
    label_rate: LabelRate = None


def read_labels(
    path: Path,
    *,
    format: str | None = None,
    media: Path | None = None,
    size_hw: tuple[int, int] | None = None,
    options: ReadOptions | None = None,
) -> LabelSet:
    """Return the labels of a file, or of everything that is found below a folder.

    Args:
        path: a label file or a folder.
        format: see `ReadOptions`, as are `media` and `size_hw`; for callers that need no more.
        media: see `ReadOptions`.
        size_hw: see `ReadOptions`.
        options: replaces the three.

    Raises:
        DataError: no format is detected, or a file breaks the rules of its format.
        ConfigError: there is no such format.
    """
    how = options or ReadOptions(format, media, size_hw)
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder", hint="check the path")
    reader = None if how.format is None else choose(READERS, how.format, "label format")
    if path.is_file():
        found = [(path, reader or _sniffed(path))]
    else:
        found = list(_sources(path, reader)) or _of_endings(path, reader)
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
        context = ReadContext(
            MediaFinder(source, how.media),
            how.size_hw,
            within=path if is_above else None,
            annotator=how.annotator,
            label_rate=how.label_rate,
        )
        sets.append((source, its_reader.read(source, context), context.finder))
    labels = join(sets)
    if not labels.videos:
        why = next((f"{w.text} ({w.count} times)" for w in labels.warnings), "")
        raise DataError(
            f"{path}: it names no labelled video or image",
            hint=why or "give the label file or folder that belongs to it",
        )
    return replace(labels, videos=tuple(divided(labels.videos, own_parts(labels.videos, path))))


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


def _sources(folder: Path, only: Reader | None = None) -> Iterator[tuple[Path, Reader]]:
    """Yield what can be read below a folder, each once, in the order of the paths.

    In a folder of many files of a type only the first one is sniffed.

    Args:
        folder: where to search.
        only: the reader of `--format`; no other is tried.
    """
    readers = [only] if only is not None else list(READERS.values())
    seen: set[tuple[Path, int]] = set()
    for root, folders, files in walk(folder):
        if "dataset.json" in files and root != folder:
            folders.clear()
            continue
        gathered: set[str] = set()
        for path in _candidates(root, files):
            suffix = path.suffix.lower()
            if suffix in gathered:
                continue
            sniffed = FileSniff.of(path)
            reader = next((r for r in readers if r.sniff(sniffed)), None)
            if reader is None:
                continue
            source = reader.root_of(path)
            if source != path:
                gathered.add(suffix)
            if (source, id(reader)) not in seen:
                seen.add((source, id(reader)))
                yield source, reader


def _candidates(root: Path, files: Sequence[str]) -> Iterator[Path]:
    for name in files:
        path = root / name
        if path.suffix.lower() not in _SUFFIXES or name in _OURS or name[0] == ".":
            continue
        if not name.endswith(_FOUND):
            yield path


def _of_endings(folder: Path, reader: Reader | None) -> list[tuple[Path, Reader]]:
    """Return what a chosen reader must be able to read below a folder, by the endings alone.

    The person knows the format better than we do; what breaks its rules is then an error with file
    and line instead of "no labels".
    """
    if reader is None:
        return []
    sources = [
        reader.root_of(path)
        for root, _, files in walk(folder)
        for path in _candidates(root, files)
        if path.suffix.lower() in reader.SUFFIXES
    ]
    return [(source, reader) for source in dict.fromkeys(sources)]
