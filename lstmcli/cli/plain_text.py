"""Text that may reach a terminal: names from files cannot move the cursor or forge a line."""

from __future__ import annotations

import re

LONGEST = 1000
"""Letters of a line of talk; of a longer one the middle is left out."""
_END = 200
_HARMFUL = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Control characters, and those that turn the direction of what follows."""


def one_line(text: str) -> str:
    """Return a text as one line in which control characters are shown by their numbers.

    >>> one_line("a" + chr(27) + "[2J" + chr(10) + "error: b")
    'a\\\\x1b[2J\\\\nerror: b'
    """
    return _HARMFUL.sub(_shown, text)


def talk(text: str) -> str:
    """Return a text as one line of bearable length, see `one_line`."""
    if len(text) > LONGEST:
        left_out = len(text) - LONGEST
        text = f"{text[: LONGEST - _END]} … ({left_out:,} letters) … {text[-_END:]}"
    return one_line(text)


def several_lines(text: str) -> str:
    """Return a text whose line breaks are our own, such as a traceback."""
    return "\n".join(one_line(line) for line in text.split("\n"))


def _shown(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()
