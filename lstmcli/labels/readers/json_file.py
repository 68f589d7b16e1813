"""Typed access to untrusted JSON: every wrong type is an error that names its location."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lstmcli.core.errors import DataError
from lstmcli.core.limits import check_limit

_Pairs = list[tuple[str, Any]]


def read_text(path: Path) -> str:
    """Return the text of a label file, with or without a byte order mark.

    Raises:
        DataError: the file cannot be read, is too large or is no text.
    """
    try:
        check_limit("label_bytes", path.stat().st_size, str(path))
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}", hint="give a file that can be read") from None
    if data[:2] == b"PK":
        raise DataError(f"{path}: a zip archive", hint="unpack it and give the folder")
    encoding = "utf-16" if data[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}, line {line}: a byte that is no text", hint="save the file as UTF-8"
        ) from None


def load_json(path: Path, hook: Callable[[dict[str, Any]], Any] | None = None) -> Node:
    """Return the top of a JSON file.

    Args:
        path: the file.
        hook: is shown every object as soon as it is read and returns what to keep of it, so that a
            large file need not be held as objects.

    Raises:
        DataError: the file is no JSON, or is cut off; the message names the line.
    """
    return parse_json(read_text(path), str(path), hook)


def parse_json(
    text: str, location: str, hook: Callable[[dict[str, Any]], Any] | None = None
) -> Node:
    """Return the top of a JSON text; `location` names it in errors.

    Raises:
        DataError: the text is no JSON, or is cut off; the message names the line.
    """
    try:
        return Node(json.loads(text, object_pairs_hook=_unique_keys(hook)), location)
    except json.JSONDecodeError as error:
        line = "" if ", line " in location else f", line {error.lineno}"
        raise DataError(
            f"{location}{line}: {error.msg[:1].lower()}{error.msg[1:]}",
            hint="the file is no JSON, or it is cut off; export it again",
        ) from None
    except RecursionError:
        raise DataError(
            f"{location}: lists within lists without end", hint="no label file"
        ) from None
    except ValueError as error:
        raise DataError(f"{location}: {error}", hint="export the file again") from None


def _unique_keys(hook: Callable[[dict[str, Any]], Any] | None) -> Callable[[_Pairs], Any]:
    """Return what makes an object of its pairs and refuses a key that says two things."""

    def made(pairs: _Pairs) -> Any:
        item = dict(pairs)
        if len(item) < len(pairs):
            for key, value in pairs:
                if item[key] != value:
                    raise ValueError(
                        f"the key {key[:40]!r} is used twice in one object, "
                        f"for {_kind(value)} and for {_kind(item[key])}"
                    )
        return item if hook is None else hook(item)

    return made


def _kind(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "an object"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


@dataclass(frozen=True, slots=True)
class Node:
    """A value of a JSON file with its location, so that an error can say where it is."""

    value: Any
    location: str

    def _fail(self, wanted: str) -> DataError:
        return DataError(
            f"{self.location}: {_kind(self.value)} where {wanted} belongs",
            hint="the file is damaged or of another format; --format NAME chooses one",
        )

    def __contains__(self, key: str) -> bool:
        return isinstance(self.value, dict) and self.value.get(key) is not None

    def __getitem__(self, key: str) -> Node:
        """Return the value of a key of an object; DataError where there is none."""
        if not isinstance(self.value, dict):
            raise self._fail("an object")
        if key not in self.value:
            raise DataError(f"{self.location}: has no {key!r}", hint="export the file again")
        return Node(self.value[key], self._inside(key))

    def _inside(self, key: str) -> str:
        return f"{self.location}.{key}" if "#" in self.location else f"{self.location}#{key}"

    def get(self, *keys: str) -> Node | None:
        """Return the value of the first key that is there and not null, or None."""
        if not isinstance(self.value, dict):
            raise self._fail("an object")
        for key in keys:
            if self.value.get(key) is not None:
                return Node(self.value[key], self._inside(key))
        return None

    def is_object(self) -> bool:
        """Return whether this is an object."""
        return isinstance(self.value, dict)

    def is_list(self) -> bool:
        """Return whether this is a list."""
        return isinstance(self.value, list)

    def items(self) -> Iterator[tuple[str, Node]]:
        """Yield the keys and values of an object."""
        if not isinstance(self.value, dict):
            raise self._fail("an object")
        for key, value in self.value.items():
            yield key, Node(value, self._inside(key))

    def rows(self) -> Iterator[Node]:
        """Yield the values of a list."""
        if not isinstance(self.value, list):
            raise self._fail("a list")
        for n, value in enumerate(self.value):
            yield Node(value, f"{self.location}[{n}]")

    def rows_of(self, *keys: str) -> Iterator[Node]:
        """Yield the values of the list of the first key that is there; nothing where none is."""
        found = self.get(*keys)
        return iter(()) if found is None else found.rows()

    def text(self) -> str:
        """Return a text; numbers are taken as they are written."""
        if isinstance(self.value, bool) or not isinstance(self.value, str | int | float):
            raise self._fail("a text")
        return str(self.value)

    def number(self) -> float:
        """Return a finite number; a text that holds one will do."""
        try:
            if isinstance(self.value, bool):
                raise ValueError
            number = float(self.value)
        except (TypeError, ValueError, OverflowError):
            raise self._fail("a number") from None
        if not math.isfinite(number):
            raise self._fail("a finite number")
        return number

    def whole(self) -> int:
        """Return a whole number; `3.0` and a text that holds one will do."""
        number = self.number()
        if number != int(number):
            raise self._fail("a whole number")
        return int(number)

    def numbers(self, count: int) -> list[float]:
        """Return a list of so many finite numbers."""
        if not isinstance(self.value, list) or len(self.value) != count:
            raise self._fail(f"a list of {count} numbers")
        return [node.number() for node in self.rows()]

    def boolean(self) -> bool:
        """Return a yes or no, which some tools write as 0 and 1 or as text."""
        if self.value in (True, 1, "1", "true", "True"):
            return True
        if self.value in (False, 0, "0", "false", "False", None):
            return False
        raise self._fail("true or false")
