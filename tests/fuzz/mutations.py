"""Small damages to the bytes of a file, and to the values of one that holds JSON."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence
from typing import Any

_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_NUMBERS = (
    b"0 -1 1 0.5 -0.0 255 65536 2147483648 -2147483649 9223372036854775808 99999999999999999999 "
    b"1e9 10000000 1e38 1e39 1e308 1e309 -1e999 nan NaN Infinity -inf null true "
).split()
_TEXTS = (
    b'"" "x" null [] {} [[]] "../../../etc/passwd" "/dev/zero" "\\u0000" "\xff\xfe" "\x1b[2J" '
    b'"\\ud800" "' + b"a" * 300 + b'" "nan" "-1"'
).split()
_INSERTED = (
    b"\xff", b"\x00", b"\xc3", b"\n", b"\r", b"\t", b" ", b",", b'"', b"'", b"{", b"}", b"[", b"]",
    b":", b"&a ", b"*a ", b"!!python/object:os.system ", b"<", b">", b"&lt;", b"[" * 3000,
    b'{"a":' * 3000, b"\xef\xbb\xbf", b"\x1b[2J", b"- " * 500, b"<a>" * 300,
)  # fmt: skip
_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 0.5, 1e-9, 1e9, 1e38, 1e308, 10**7, 2**31, 2**63, 10**20,
    float("nan"), float("inf"), float("-inf"), "", "x", "1", "nan", "\x00", "\x1b[2J",
    "a" * 10_000,
    "../../x", "/dev/zero", "\ud800", [], {}, [[]], [1], [1, 2], [1, 2, 3, 4], {"a": 1},
    [None] * 50,
)  # fmt: skip


def mutate(data: bytes, chance: random.Random, others: Sequence[bytes] = ()) -> bytes:
    """Return a file with one to four damages; `others` of its kind are spliced in."""
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 4))):
        values = _as_json(data) if chance.random() < 0.6 else None
        if values is not None:
            data = _damaged_json(values, chance)
        else:
            damage = chance.choice(_DAMAGES)
            data = damage(data, chance, others)
    return data


def mutate_values(values: Any, chance: random.Random) -> Any:
    """Return nested dicts and lists in which one value is another one, gone, or twice there."""
    places = list(_places(values))
    if not places:
        return chance.choice(_VALUES)
    holder, key = chance.choice(places)
    what = chance.random()
    if what < 0.15:
        del holder[key]
    elif what < 0.25 and isinstance(holder, list):
        holder.insert(key, holder[key])
    elif what < 0.3 and isinstance(holder, dict):
        holder["\x00" if isinstance(key, str) else 7] = holder.pop(key)
    elif what < 0.4:
        other, name = chance.choice(places)
        holder[key] = other[name] if name in other or isinstance(other, list) else None
    elif what < 0.6 and isinstance(holder[key], int | float):
        holder[key] = holder[key] * chance.choice((-1, 0, 2, 10, 1000, 1e6, 0.5))
    else:
        holder[key] = chance.choice(_VALUES)
    return values


def _places(values: Any, depth: int = 0) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    if depth > 12:
        return found
    keys = (
        list(values)
        if isinstance(values, dict)
        else range(len(values))
        if isinstance(values, list)
        else ()
    )
    for key in list(keys)[:60]:
        found.append((values, key))
        found += _places(values[key], depth + 1)
    return found


def _as_json(data: bytes) -> Any:
    if data.lstrip()[:1] not in (b"{", b"["):
        return None
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _damaged_json(values: Any, chance: random.Random) -> bytes:
    try:
        text = json.dumps(mutate_values(values, chance), ensure_ascii=chance.random() < 0.7)
    except (ValueError, TypeError, RecursionError):  # a value within itself
        return b"{}"
    return text.encode(errors="surrogatepass")


def _flip(data: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    if not data:
        return b"\xff"
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 8, 40))):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _overwrite(data: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    if not data:
        return b""
    start = chance.randrange(len(data))
    length = chance.choice((1, 2, 4, 8, 64))
    filler = chance.choice((b"\x00", b"\xff", b"\x7f", bytes([chance.randrange(256)])))
    return data[:start] + filler * length + data[start + length :]


def _cut(data: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    return data[: chance.randrange(len(data) + 1)]


def _delete(data: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    start = chance.randrange(len(data) + 1)
    return data[:start] + data[start + chance.choice((1, 2, 7, 30, 300)) :]


def _repeat(data: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    start = chance.randrange(len(data) + 1)
    part = data[start : start + chance.choice((1, 10, 100, 1000))]
    return data[:start] + part * chance.choice((2, 3, 50)) + data[start:]


def _insert(data: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    start = chance.randrange(len(data) + 1)
    return data[:start] + chance.choice(_INSERTED) + data[start:]


def _splice(data: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    other = chance.choice(others) if others else data
    cut, start = chance.randrange(len(data) + 1), chance.randrange(len(other) + 1)
    return data[:cut] + other[start:]


def _number(data: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    found = list(_NUMBER.finditer(data[:200_000]))
    if not found:
        return _flip(data, chance, others)
    one = chance.choice(found)
    return data[: one.start()] + chance.choice(_NUMBERS) + data[one.end() :]


def _word(data: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    found = list(re.finditer(rb'"[^"\n]{0,60}"|\b[a-zA-Z_]+\b', data[:200_000]))
    if not found:
        return _flip(data, chance, others)
    one = chance.choice(found)
    return data[: one.start()] + chance.choice(_TEXTS) + data[one.end() :]


def _lines(data: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    lines = data.split(b"\n")
    one, two = chance.randrange(len(lines)), chance.randrange(len(lines))
    if chance.random() < 0.5:
        lines[one], lines[two] = lines[two], lines[one]
    else:
        lines.insert(one, lines[two])
    return b"\n".join(lines)


_DAMAGES: tuple[Callable[[bytes, random.Random, Sequence[bytes]], bytes], ...] = (
    _flip, _flip, _overwrite, _cut, _delete, _repeat, _insert, _splice, _number, _number, _number,
    _word, _word, _lines,
)  # fmt: skip
