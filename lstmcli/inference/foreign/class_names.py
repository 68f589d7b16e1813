"""Class names of a third-party detector: from its metadata, a names file, or COCO.

A detector of `columns` classes may name fewer of them: COCO's category ids run from 1 to 90 with
ten gaps, so that networks trained on them have 90 or 91 outputs for 80 classes. The gaps are left
out by `ClassTable.columns`.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lstmcli.core.errors import ModelError
from lstmcli.core.limits import check_limit, limit
from lstmcli.core.media_files import is_file_at
from lstmcli.core.types import IntArray

_COCO = """\
person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire
hydrant, stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear,
zebra, giraffe, backpack, umbrella, handbag, tie, suitcase, frisbee, skis, snowboard, sports
ball, kite, baseball bat, baseball glove, skateboard, surfboard, tennis racket, bottle, wine
glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, broccoli, carrot, hot
dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv, laptop,
mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, book, clock,
vase, scissors, teddy bear, hair drier, toothbrush"""
COCO_80: tuple[str, ...] = tuple(name.strip() for name in _COCO.replace("\n", " ").split(","))
COCO_GAPS = frozenset((12, 26, 29, 30, 45, 66, 68, 69, 71, 83))
"""The category ids up to 90 that COCO never used."""
COCO_IDS: tuple[int, ...] = tuple(n for n in range(1, 91) if n not in COCO_GAPS)
"""The category id of each of the 80 classes."""
OLD_NAMES: Mapping[str, str] = {
    "motorbike": "motorcycle",
    "aeroplane": "airplane",
    "sofa": "couch",
    "pottedplant": "potted plant",
    "diningtable": "dining table",
    "tvmonitor": "tv",
    "hair dryer": "hair drier",
}
"""Synonyms of COCO's names in other lists of the 80 classes."""
METADATA_KEYS = ("names", "classes", "class_names", "labels", "id2label")
NAMES_SUFFIXES = (".names", ".txt", ".labels")
FOLDER_FILES = ("classes.txt", "labels.txt", "coco.names", "obj.names")
_NO_CLASS = re.compile(r"(n/?a|background|__background__|no.?object|unused|-)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ClassTable:
    """Which columns of a detector's scores are classes, and their names.

    Args:
        names: of the classes.
        columns: int64 [classes], the column of each.
        source: origin of the names, for messages.
    """

    names: tuple[str, ...]
    columns: IntArray
    source: str


def find_names(path: Path, metadata: Mapping[str, str]) -> tuple[tuple[str, ...], str]:
    """Return the names in the metadata or a names file next to a model, and their source.

    Empty where nothing lists any.

    Raises:
        ModelError: a names file that cannot be read.
    """
    for key in METADATA_KEYS:
        names = parse_names(metadata.get(key, ""))
        if names:
            return names, f"the metadata of {path.name}"
    candidates = [path.with_suffix(suffix) for suffix in NAMES_SUFFIXES]
    for file in (*candidates, *(path.with_name(name) for name in FOLDER_FILES)):
        if file.is_file():
            return read_names_file(file), file.name
    return (), ""


def read_names_file(path: Path) -> tuple[str, ...]:
    """Return the names of a text file, one a line, or of a JSON list.

    Raises:
        ModelError: it cannot be read, or holds no names.
    """
    if not is_file_at(path):  # of a device there is no end
        raise ModelError(f"{path}: there is no such file", hint="a names file has one name a line")
    try:
        check_limit("yaml_bytes", path.stat().st_size, str(path), error=ModelError)
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", "") or "it is not UTF-8"
        raise ModelError(f"{path}: {reason}", hint="a names file has one name a line") from None
    names = parse_names(text) if text.lstrip()[:1] in "[{" else ()
    names = names or tuple(line.strip() for line in text.rstrip().splitlines())
    if not any(names):
        raise ModelError(f"{path}: no names in it", hint="a names file has one name a line")
    return names


def parse_names(text: str) -> tuple[str, ...]:
    """Parse names from a list, a table of numbers and names, or a text with commas."""
    if not text.strip() or len(text) > limit("yaml_bytes"):
        return ()
    value: object = None
    for read in (json.loads, ast.literal_eval):
        try:
            value = read(text)
            break
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            continue
    if isinstance(value, Mapping):
        try:
            rows = {int(key): str(name) for key, name in value.items()}
        except (TypeError, ValueError):
            return ()
        if not rows or min(rows) < 0 or max(rows) > 100_000:
            return ()
        return tuple(rows.get(n, "") for n in range(max(rows) + 1))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(str(name) for name in value)
    if value is None and "," in text and "\n" not in text:
        return tuple(name.strip() for name in text.split(","))
    return ()


def class_table(names: Sequence[str], source: str, columns: int | None, where: str) -> ClassTable:
    """Return names and columns that fit each other.

    Args:
        names: listed ones; empty for COCO's.
        source: of the names.
        columns: number of class scores of the network; None if its shapes leave that open.
        where: the model, for errors.

    Raises:
        ModelError: the numbers differ, and not as COCO's gaps explain.
    """
    if not names:
        if columns is not None and columns not in (80, 90, 91):
            raise ModelError(
                f"{where}: {columns} classes without names",
                hint="put a text file with one name a line next to it, named like the model: "
                f"{Path(where).stem}.names",
            )
        names, source = COCO_80, "COCO's 80 classes"
    listed = [n for n, name in enumerate(names) if not _NO_CLASS.fullmatch(name)]
    if columns is None or columns == len(names):
        kept = [names[n] for n in listed]
        _check_unique(kept, source, where)
        return ClassTable(tuple(kept), np.array(listed, np.int64), source)
    plain = tuple(OLD_NAMES.get(names[n].lower(), names[n].lower()) for n in listed)
    if plain == COCO_80 and columns in (90, 91):
        first = 91 - columns  # 91 outputs begin with a background that is never used
        numbers = np.array(COCO_IDS, np.int64) - first
        return ClassTable(tuple(names[n] for n in listed), numbers, source)
    if columns == len(names) + 1:  # a background class before them, as torchvision's have
        hint = "list the background too (`background`), first or last, as the network has it"
    else:
        hint = f"list all {columns}, with an empty line for an output that means nothing"
    raise ModelError(f"{where}: {columns} classes, but {source} lists {len(names)}", hint=hint)


def _check_unique(names: Sequence[str], source: str, where: str) -> None:
    double = sorted({name for name in names if names.count(name) > 1})
    if double:
        raise ModelError(
            f"{where}: {source} lists {double[0]!r} twice", hint="every class has its own name"
        )
    if not names:
        raise ModelError(f"{where}: {source} lists no class", hint="list one name a line")
