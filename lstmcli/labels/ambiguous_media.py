"""Resolves ambiguous media: several files of the name that a label file writes."""

from __future__ import annotations

import filecmp
import re
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from lstmcli.core.errors import MediaError
from lstmcli.core.names import as_path


def resolve_ambiguous(paths: Sequence[Path], form: PurePosixPath, source: Path) -> Path | None:
    """Return the medium of a label file, None where there is none.

    It is the one in the folders that the labels write; then the one that lies nearest to the label
    file; then the one whose folders the label file's path names. Copies are as good as each other.

    Args:
        paths: media of the same name.
        form: the path as the labels write it.
        source: the label file or its folder, absolute.

    Raises:
        MediaError: two that differ fit equally well; a guess would put labels on another video.
    """
    if len(paths) < 2:
        return paths[0] if paths else None
    best = _highest(paths, lambda path: _agreement(path, form))
    best = _highest(best, lambda path: _common(path.parent, source))
    best = _highest(best, lambda path: _named_by(source, path))
    first = min(best, key=lambda path: len(path.parts))
    for other in best:
        if first.parent not in other.parents and not filecmp.cmp(first, other, shallow=False):
            raise MediaError(
                f"{form}: it may be {first} or {other}",
                hint="say which with --media DIR, or give the files names of their own",
            )
    return first


def _highest(paths: Sequence[Path], value: Callable[[Path], int]) -> list[Path]:
    """Return the paths of the highest value, in their order."""
    values = [value(path) for path in paths]
    top = max(values)
    return [path for path, own in zip(paths, values, strict=True) if own == top]


def _agreement(path: Path, form: PurePosixPath) -> int:
    """Return how many folders above the file are those that the labels write."""
    same = 0
    for mine, theirs in zip(reversed(path.parts[:-1]), reversed(form.parts[:-1]), strict=False):
        if as_path(mine).name.casefold() != theirs.casefold():
            break
        same += 1
    return same


def _common(folder: Path, source: Path) -> int:
    """Return how many folders from the root down are the same."""
    pairs = zip(folder.parts, source.parts, strict=False)
    return next((n for n, (mine, theirs) in enumerate(pairs) if mine != theirs), len(folder.parts))


def _named_by(source: Path, path: Path) -> int:
    """Return how many of the medium's own folders the label file's path names as words.

    `val2017` is named by `instances_val2017.json`, `train` by `labels/train`; `1` not by `17`.
    """
    shared = _common(path.parent, source)
    text = "/".join(source.parts[shared:]).casefold()
    return sum(_is_word(folder.casefold(), text) for folder in path.parts[shared:-1])


def _is_word(word: str, text: str) -> bool:
    before, after = (r"\d" if end.isdigit() else r"[^\W\d_]" for end in (word[0], word[-1]))
    return re.search(rf"(?<!{before}){re.escape(word)}(?!{after})", text) is not None
