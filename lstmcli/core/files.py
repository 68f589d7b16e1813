"""Files that appear under their name only when they are complete."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lstmcli.core.errors import OutputError


@contextmanager
def atomic_write(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Yield a temporary path next to a file, and rename it to the file where no error came.

    Whatever is written under the temporary name is removed where one came. Two processes that
    write the same file do not meet: the last one that is complete stays.

    Args:
        path: of the file; one that is there is replaced.
        durable: bring the content to the disk before the renaming, for what a power cut must not
            cost.

    Raises:
        OutputError: the folder cannot be written or the disk is full.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield temporary
        if durable:
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise OutputError(
            f"{path}: {error.strerror or error}", hint="free some space or choose another place"
        ) from None
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a JSON file, complete or not at all; NaN is refused.

    Raises:
        OutputError: the file cannot be written.
    """
    text = json.dumps(values, ensure_ascii=False, indent=1, allow_nan=False)
    with atomic_write(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
