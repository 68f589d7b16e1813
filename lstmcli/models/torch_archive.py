"""Files of `torch.save`: checks before torch reads one from a stranger."""

from __future__ import annotations

import zipfile
from pathlib import Path

from lstmcli.core.errors import ModelError

_ARCHIVE = b"PK\x03\x04"
"""First bytes by which torch knows an archive."""


def check_archive(path: Path) -> None:
    """Refuse compressed archives: torch writes none, and a small one can fill the memory.

    An archive that cannot be listed is refused, too: torch's own reader may be less strict.

    Raises:
        ModelError: it is one of these.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        if file.read(len(_ARCHIVE)) != _ARCHIVE:
            return  # no archive to torch either
    try:
        with zipfile.ZipFile(path) as archive:
            is_packed = any(part.compress_type for part in archive.infolist())
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        raise not_an_archive(path) from None
    if is_packed:
        raise ModelError(
            f"{path}: a compressed archive; it was not loaded",
            hint="only load checkpoints that lstmcli wrote",
        )


def not_an_archive(path: Path) -> ModelError:
    """Return the error of a file that torch cannot read."""
    return ModelError(f"{path}: not a checkpoint, or cut short", hint="use another checkpoint")
