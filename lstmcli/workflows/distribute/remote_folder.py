"""A folder of outputs elsewhere: what is there, and how a task's files come there."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from lstmcli.core.errors import ConfigError, LstmcliError, OutputError
from lstmcli.workflows.distribute.remote import OBJECT_STORES, explained, open_remote

T = TypeVar("T")


class RemoteFolder:
    """Outputs at an address of fsspec.

    Args:
        address: of the folder.

    Raises:
        ConfigError: nothing can be written there, or a library is missing.
    """

    def __init__(self, address: str) -> None:
        scheme = urlsplit(address).scheme.lower()
        if scheme in ("http", "https"):
            raise ConfigError(
                f"--out {address}: {scheme}:// can only be read",
                hint="write to a folder, or to s3://, gs://, sftp:// ...",
            )
        self.address = address.rstrip("/")
        self._has_folders = scheme not in OBJECT_STORES
        self._system, self._root = open_remote(address)

    def names(self) -> frozenset[str]:
        """Return the files below it, by their names from it.

        Raises:
            OutputError: it cannot be listed; in an object store also where there is no bucket.
        """
        found = self._try(lambda: self._system.find(self._root), missing=None)
        if found is None and not self._has_folders:
            raise OutputError(
                f"{self.address}: there is no such bucket", hint="create it, or use another --out"
            )
        return frozenset(posixpath.relpath(name, self._root or "/") for name in found or ())

    def record(self, stem: str) -> dict[str, Any] | None:
        """Return what the outputs of a stem were made of; None without a record.

        Raises:
            OutputError: it cannot be read, which is not to be taken for work to be done.
        """
        folder, _, last = stem.rpartition("/")
        text = self.read(posixpath.join(folder, f".{last}.done.json"))
        try:
            values = json.loads(text or b"")
        except (ValueError, RecursionError):
            return None
        return values if isinstance(values, dict) else None

    def read(self, name: str) -> bytes | None:
        """Return the content of a file; None where there is none."""
        return self._try(lambda: bytes(self._system.cat_file(self._path(name))), missing=None)

    def remove(self, name: str) -> None:
        """Remove a file, if it is there."""
        self._try(lambda: self._system.rm_file(self._path(name)), missing=None)

    def publish(self, folder: Path) -> tuple[str, ...]:
        """Copy the files of a folder there; the record of what they were made of comes last.

        Object stores show a file when it is complete; elsewhere it is renamed when it is.

        Returns:
            the addresses of what a user looks for.

        Raises:
            OutputError: it cannot be written.
        """
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        records = [path for path in files if path.name.endswith(".done.json")]
        for path in records:  # older outputs are no longer whole while they are replaced
            self.remove(path.relative_to(folder).as_posix())
        made = []
        for path in [path for path in files if path not in records] + records:
            name = path.relative_to(folder).as_posix()
            self._try(lambda path=path, name=name: self._put(path, name))  # type: ignore[misc]
            if not path.name.startswith("."):
                made.append(posixpath.join(self.address, name))
        return tuple(made)

    def _put(self, path: Path, name: str) -> None:
        target = self._path(name)
        if not self._has_folders:
            self._system.put_file(str(path), target)
            return
        self._system.makedirs(posixpath.dirname(target), exist_ok=True)
        self._system.put_file(str(path), target + ".part")
        self._system.mv(target + ".part", target)

    def _path(self, name: str) -> str:
        return posixpath.join(self._root, name)

    def _try(self, work: Callable[[], T], **missing: T) -> T:
        """Return what `work` returns, or `missing` where there is no such file."""
        try:
            return work()
        except LstmcliError:
            raise
        except FileNotFoundError as error:
            if "missing" in missing:
                return missing["missing"]
            raise explained(OutputError, self.address, error) from None
        except Exception as error:
            raise explained(OutputError, self.address, error) from None
