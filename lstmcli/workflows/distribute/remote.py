"""Files of other machines by fsspec: s3://, gs://, https:// ... (extra `remote`)."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from lstmcli.core.errors import ConfigError, LstmcliError, MediaError
from lstmcli.core.media_files import VIDEO_SUFFIXES

FILE_SYSTEMS = frozenset("s3 gs gcs az abfs hdfs webhdfs sftp ssh smb memory http https".split())  # noqa: SIM905
"""Schemes that name files elsewhere; others are cameras' streams."""
OBJECT_STORES = frozenset({"s3", "gs", "gcs", "az", "abfs"})
"""Schemes of stores that have no folders, and show a file when it is complete."""
_LIBRARIES = {
    "s3": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
    "hdfs": "pyarrow",
    "sftp": "paramiko",
    "ssh": "paramiko",
    "smb": "smbprotocol",
    "http": "aiohttp",
    "https": "aiohttp",
}
"""What fsspec needs beside itself."""
_CREDENTIALS = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    "gs": "set GOOGLE_APPLICATION_CREDENTIALS, or log in with gcloud",
    "gcs": "set GOOGLE_APPLICATION_CREDENTIALS, or log in with gcloud",
}
_CONTENT = (
    *("ETag", "etag", "md5Hash", "md5", "Content-MD5", "Digest"),
    *("mtime", "LastModified", "last_modified", "Last-Modified", "modificationTime"),
    *("last_write_time", "created"),
)
"""What file systems say of a file that changes with its content."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file elsewhere.

    Args:
        address: of it.
        name: below the address that the user gave.
        key: names its content; "": the file system does not tell it.
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
    system, path = open_remote(address)
    try:
        root, found = _listed(system, path, address)
    except FileNotFoundError:
        raise MediaError(
            f"{address}: there is no such file", hint="is the address right?"
        ) from None
    except Exception as error:
        raise explained(MediaError, address, error) from None
    files = [
        RemoteFile(
            system.unstrip_protocol(name),
            _name_below(root, name, address),
            _key(system, name, info),
        )
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
        system, path = open_remote(file.address)
        system.get_file(path, str(place))
    except LstmcliError:
        raise
    except Exception as error:
        raise explained(MediaError, file.address, error) from None
    return place


def open_remote(address: str) -> tuple[Any, str]:
    """Return the file system of an address, and the path on it.

    Raises:
        ConfigError: fsspec, or what it needs for this address, is not installed.
    """
    try:
        import fsspec
    except ImportError:
        raise ConfigError(
            f"{address}: fsspec is not installed here", hint="pip install 'lstmcli[remote]'"
        ) from None
    scheme = urlsplit(address).scheme.lower()
    try:
        system, path = fsspec.url_to_fs(address)
    except ImportError as error:
        library = _LIBRARIES.get(scheme, "what it needs")
        raise ConfigError(f"{address}: {error}", hint=f"pip install {library}") from None
    except Exception as error:  # gcsfs looks for credentials here already
        raise explained(ConfigError, address, error) from None
    return system, str(path)


def explained(kind: type[LstmcliError], address: str, error: Exception) -> LstmcliError:
    """Return what a file system raised as an error of ours."""
    text = str(error).strip().splitlines() or [type(error).__name__]
    hint = "is the address right, and may you use it?"
    if "credentials" in text[0].lower():
        hint = _CREDENTIALS.get(urlsplit(address).scheme.lower(), hint)
    return kind(f"{address}: {text[0][:200]}", hint=hint)


def _listed(system: Any, path: str, address: str) -> tuple[str, dict[str, Any]]:
    """Return the folder that an address names, or has its file in, and what lies there."""
    if _is_web(address):
        if _is_video(urlsplit(address).path, alone=False):
            # fsspec would read it whole in search of links; `?` begins a signature
            return path.partition("?")[0].rpartition("/")[0], {path: system.info(path)}
    elif re.search(r"[*?\[]", path):
        root = re.split(r"[*?\[]", path)[0].rpartition("/")[0]
        return root, system.glob(path, detail=True)
    if system.isdir(path):
        return path, system.find(path, detail=True)
    return path.rpartition("/")[0], {path: system.info(path)}


def _name_below(root: str, name: str, address: str) -> str:
    """Return the name of a file below a folder, without what only web addresses have."""
    if not _is_web(address):
        return posixpath.relpath(name, root or "/")
    return unquote(posixpath.relpath(name.partition("?")[0], root))


def _is_web(address: str) -> bool:
    return urlsplit(address).scheme.lower() in ("http", "https")


def _key(system: Any, name: str, info: dict[str, Any]) -> str:
    marks = _marks(info)
    if not marks:  # a listing of a web server has names alone
        try:
            info = system.info(name)
        except Exception:  # its own task says what is wrong with it
            return ""
        marks = _marks(info)
    return f"{info.get('size')} {marks}" if marks else ""


def _marks(info: dict[str, Any]) -> str:
    return " ".join(f"{name}={info[name]}" for name in _CONTENT if info.get(name) is not None)


def _is_video(name: str, *, alone: bool) -> bool:
    is_alone = alone and not name.endswith("/")  # of a web server that lists nothing
    return is_alone or Path(name).suffix.lower() in VIDEO_SUFFIXES
