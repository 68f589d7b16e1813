"""What a process publishes under its claims, written into their locks as it happens.

A process that is ended before its claim leaves the lock, and in it the names of what it published
without reporting it. The same command again may replace exactly that without `--overwrite`.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lstmcli.core.files.locks import NO_FOLLOW, Identity, identity_of, is_own
from lstmcli.core.files.temporary import is_temporary, short_name

LOCK_SUFFIX = ".lstmcli-lock"
MOST_BYTES = 1 << 20
"""of a lock; what a camera publishes after that never needs its name again."""
_HEADER = re.compile(rb"lstmcli +\d+(\n|\Z)")


@dataclass(slots=True)
class HeldClaim:
    """A claim of this process.

    Args:
        path: what is claimed.
        handle: of its lock.
        resumes: whether nothing is written down, see `claim`.
        unreported: by path, what an ended process published under this claim.
        process: that holds it; forked children do not.
    """

    path: Path
    handle: int
    resumes: bool = False
    unreported: dict[Path, set[Identity]] = field(default_factory=dict)
    process: int = field(default_factory=os.getpid)

    def covers(self, place: Path) -> bool:
        """Return whether a path is claimed: itself, in this folder, or with this stem."""
        has_stem = place.parent == self.path.parent and place.name.startswith(f"{self.path.name}.")
        return has_stem or place.is_relative_to(self.path)

    def left(self) -> bool:
        """Return whether anything is still as the ended process left it."""
        return any(identity_of(path) in known for path, known in self.unreported.items())

    def note(self, place: Path, identity: Identity) -> None:
        """Write a publication down before it happens; a full disk does not stop it."""
        name = os.path.relpath(place, self.path.parent)
        line = json.dumps([name, *identity]).encode() + b"\n"
        with contextlib.suppress(OSError), _writing:
            if os.lseek(self.handle, 0, os.SEEK_END) + len(line) <= MOST_BYTES:
                os.write(self.handle, line)
                os.fsync(self.handle)


_held: list[HeldClaim] = []
"""The first one is the outermost."""
_writing = threading.Lock()


def lock_of(path: Path) -> Path:
    """Return where the lock of an output lies."""
    return path.with_name(f".{short_name(path.name, 200)}{LOCK_SUFFIX}")


def is_lock_text(text: bytes) -> bool:
    """Return whether a file with this beginning is one of our locks, or empty."""
    return not text or _HEADER.match(text) is not None


def hold(claim: HeldClaim) -> None:
    """Write what is published from now on into the lock of a claim, too."""
    _held.append(claim)


def release(claim: HeldClaim) -> None:
    """End what `hold` began."""
    _held[:] = [other for other in _held if other is not claim]


def note_publication(complete: Path, path: Path) -> None:
    """Write down that a complete file or folder is about to get its name.

    It is noted with the outermost claim, which ends with the command, and with those that cover it.
    """
    place, identity = path.absolute(), identity_of(complete)
    if identity is None:
        return
    able = [
        claim
        for claim in list(_held)
        if not claim.resumes
        and claim.process == os.getpid()
        and place.is_relative_to(claim.path.parent)
    ]
    for claim in able[:1] + [one for one in able[1:] if one.covers(place)]:
        claim.note(place, identity)


def is_unreported(path: Path) -> bool:
    """Return whether a process that was ended published what lies there, and never said so."""
    place, identity = path.absolute(), identity_of(path)
    if identity is None:
        return False
    if any(identity in claim.unreported.get(place, ()) for claim in list(_held)):
        return True
    with contextlib.suppress(OSError):
        handle = os.open(lock_of(place), os.O_RDONLY | NO_FOLLOW | getattr(os, "O_NONBLOCK", 0))
        try:
            text = os.read(handle, MOST_BYTES) if is_own(handle) else b""
            found = publications_of(text, place.parent)
        finally:
            os.close(handle)
        return identity in found.get(place, ())
    return False


def holds_only_unreported(folder: Path) -> bool:
    """Return whether all that lies in a folder was left there by a process that was ended."""
    for path in folder.iterdir():
        is_known = is_temporary(path.name) or ".partial" in path.suffixes or is_unreported(path)
        is_below = path.is_dir() and not path.is_symlink() and not is_known
        if not is_known and not (is_below and holds_only_unreported(path)):
            return False
    return True


def publications_of(text: bytes, folder: Path) -> dict[Path, set[Identity]]:
    """Return what the text of a lock in a folder names."""
    found: dict[Path, set[Identity]] = {}
    header = _HEADER.match(text)
    for line in text[header.end() :].splitlines() if header else ():
        with contextlib.suppress(ValueError):  # the last line of an ended process
            match json.loads(line):
                case [str(name), int(number), int(size), int(changed)]:
                    place = Path(os.path.normpath(folder / name))
                    if place.is_relative_to(folder):
                        found.setdefault(place, set()).add((number, size, changed))
    return found


@contextlib.contextmanager
def noted_at(path: Path) -> Iterator[None]:
    """Write what is published into the lock of another process's claim, where there is one."""
    try:
        flags = os.O_RDWR | os.O_APPEND | NO_FOLLOW | getattr(os, "O_NONBLOCK", 0)
        handle = os.open(lock_of(path.absolute()), flags)
    except OSError:
        yield
        return
    claim = HeldClaim(path.absolute(), handle)
    try:
        if _HEADER.match(os.read(handle, 64)):
            hold(claim)
        yield
    finally:
        release(claim)
        os.close(handle)
