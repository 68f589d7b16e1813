"""Files of other machines by fsspec: s3://, gs://, https:// ... (extra `remote`)."""

from __future__ import annotations

import json
import posixpath
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lstmcli.core.errors import ConfigError, LstmcliError, MediaError, OutputError
from lstmcli.core.media_files import VIDEO_SUFFIXES

FILE_SYSTEMS = frozenset("s3 gs gcs az abfs hdfs webhdfs sftp ssh smb memory http https".split())  # noqa: SIM905
"""Schemes that name files elsewhere; others are cameras' streams."""
_CONTENT = ("ETag", "etag", "md5Hash", "md5", "mtime", "LastModified", "last_modified", "created")
"""What file systems say of a file that changes with its content."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file elsewhere.

    Args:
        address: of it.
        name: below the address that the user gave.
        key: names its content.
    """

    address: str
    name: str
    key: str


def is_remote(text: str) -> bool:
    """Return whether a text is an address of a file system that fsspec may open."""
    return "://" in text and urlsplit(text).scheme.lower() in FILE_SYSTEMS


def find_remote(address: str) -> list[RemoteFile]:
    """Return the videos at an address: a file, a folder or a pattern.

    Raises:
        ConfigError: fsspec, or what it needs for this address, is not installed.
        MediaError: there is no video.
    """
    system, path = _open(address)
    try:
        if any(letter in path for letter in "*?["):
            root, found = path.split("*")[0].rpartition("/")[0], system.glob(path, detail=True)
        elif system.isdir(path):
            root, found = path, system.find(path, detail=True)
        else:
            root, found = path.rpartition("/")[0], {path: system.info(path)}
    except FileNotFoundError:
        raise MediaError(
            f"{address}: there is no such file", hint="is the address right?"
        ) from None
    except Exception as error:
        raise _failure(MediaError, address, error) from None
    files = [
        RemoteFile(system.unstrip_protocol(name), posixpath.relpath(name, root or "/"), _key(info))
        for name, info in sorted(found.items())
        if info.get("type") != "directory" and _is_video(name, alone=len(found) == 1)
    ]
    for file in files:  # outputs are named by it
        if ".." in re.split(r"[/\\]", file.name):
            raise MediaError(
                f"{address}: it lists a file outside of itself ({file.name:.80})",
                hint="name the files one by one",
            )
    if not files:
        raise MediaError(f"{address}: there is no video", hint="give another address")
    return files


def fetch(file: RemoteFile, folder: Path) -> Path:
    """Copy a file into a folder of this machine; return where it lies.

    Raises:
        MediaError: it cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / posixpath.basename(file.name)
    try:
        system, path = _open(file.address)
        system.get_file(path, str(place))
    except LstmcliError:
        raise
    except Exception as error:
        raise _failure(MediaError, file.address, error) from None
    return place


def publish(folder: Path, address: str) -> tuple[Path, ...]:
    """Copy the files of a folder to an address; the record of what they were made of comes last.

    Object stores show a file when it is complete; elsewhere it is renamed when it is.

    Raises:
        OutputError: it cannot be written.
    """
    system, root = _open(address)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    files.sort(key=lambda path: path.name.startswith("."))
    made = []
    try:
        for path in files:
            target = posixpath.join(root, path.relative_to(folder).as_posix())
            system.makedirs(posixpath.dirname(target), exist_ok=True)
            system.put_file(str(path), target + ".part")
            system.mv(target + ".part", target)
            made.append(posixpath.join(address.rstrip("/"), path.relative_to(folder).as_posix()))
    except Exception as error:
        raise _failure(OutputError, address, error) from None
    return tuple(Path(name) for name in made if not posixpath.basename(name).startswith("."))


def read_remote_record(address: str, name: str) -> dict[str, Any] | None:
    """Return what the outputs of a stem below an address were made of; None without a record.

    Raises:
        OutputError: the address cannot be read.
    """
    folder, _, last = name.rpartition("/")
    system, root = _open(address)
    try:
        text = system.cat_file(posixpath.join(root, folder, f".{last}.done.json"))
    except FileNotFoundError:
        return None
    except Exception as error:  # not to be taken for work that is still to be done
        raise _failure(OutputError, address, error) from None
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None


def _open(address: str) -> tuple[Any, str]:
    try:
        import fsspec
    except ImportError:
        raise ConfigError(
            f"{address}: fsspec is not installed here", hint="pip install 'lstmcli[remote]'"
        ) from None
    try:
        system, path = fsspec.url_to_fs(address)
    except (ImportError, ValueError) as error:
        raise ConfigError(f"{address}: {error}", hint="pip install 'lstmcli[remote]'") from None
    return system, str(path)


def _key(info: dict[str, Any]) -> str:
    marks = [f"{name}={info[name]}" for name in _CONTENT if info.get(name) is not None]
    return f"{info.get('size')} " + " ".join(marks)


def _is_video(name: str, *, alone: bool) -> bool:
    return alone or Path(name).suffix.lower() in VIDEO_SUFFIXES


def _failure(kind: type[LstmcliError], address: str, error: Exception) -> LstmcliError:
    text = str(error).strip().splitlines() or [type(error).__name__]
    return kind(f"{address}: {text[0][:200]}", hint="is the address right, and may you use it?")
