"""Ids of label files: compared by value, each of them for one thing only."""

from __future__ import annotations

import re
from collections.abc import Hashable

from lstmcli.core.errors import DataError

_WHOLE = re.compile(r"(-?(?:0|[1-9]\d*))(?:\.0+)?")


def id_key(value: object) -> str:
    """Return what equal ids have in common: 3, 3.0, "3" and "3.0" are one id, "03" is another."""
    text = str(value).strip()
    found = _WHOLE.fullmatch(text)
    return found.group(1) if found else text


class IdRegistry:
    """The ids of one kind in one file; a second use of an id for something else is an error.

    Args:
        kind: what the ids are of ("image", "category", "track" ...), for the error.
        source: the file, for the error.
    """

    def __init__(self, kind: str, source: object) -> None:
        self._kind = kind
        self._source = str(source)
        self._known: dict[str, tuple[Hashable, str]] = {}

    def __contains__(self, value: object) -> bool:
        return id_key(value) in self._known

    def add(self, value: object, content: Hashable, name: str, where: str = "") -> bool:
        """Register an id; return False where it is known with equal content.

        Args:
            value: the id as written.
            content: everything that the id stands for, to compare.
            name: what it stands for, for the error.
            where: the source of this use; the file where it is empty.

        Raises:
            DataError: the id is known with another content; both are named.
        """
        key = id_key(value)
        known = self._known.get(key)
        if known is None:
            self._known[key] = (content, name)
            return True
        if known[0] == content:
            return False
        raise DataError(
            f"{where or self._source}: {self._kind} id {key} is used twice, "
            f"for {known[1]} and for {name}",
            hint="an id stands for one thing; export the file again, or give one of them a new id",
        )
