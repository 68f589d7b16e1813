"""Limits of what is taken from a file: beyond them it is refused before memory or time is spent.

Whoever needs more sets `LSTMCLI_LIMITS`, as `LSTMCLI_LIMITS=pixels=1e9,frames=5e7`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from lstmcli.core.errors import ConfigError, DataError, LstmcliError, near_name

VARIABLE = "LSTMCLI_LIMITS"


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit.

    Args:
        most: the largest number that is taken.
        what: is counted, in words.
    """

    most: int
    what: str


LIMITS: Mapping[str, Limit] = {
    "pixels": Limit(134_217_728, "pixels in a picture"),
    "canvas": Limit(16_777_216, "pixels on the canvas of a network"),
    "frames": Limit(10_000_000, "frames in a video"),
    "listed_frames": Limit(1_000_000, "frames, each of which would be written"),
    "boxes": Limit(20_000_000, "boxes in a label set"),
    "held_boxes": Limit(3_000_000, "boxes interpolated between those in the file"),
    "label_bytes": Limit(2_000_000_000, "bytes in a label file"),
    "yaml_bytes": Limit(2_000_000, "bytes in a YAML file"),
    "nesting": Limit(50, "levels of nesting"),
    "aliases": Limit(100, "aliases in a YAML file"),
    "zones": Limit(1000, "lines and zones"),
    "parameters": Limit(200_000_000, "weights in a network"),
}


def limit(name: str) -> int:
    """Return a limit: its default, or what `LSTMCLI_LIMITS` says.

    Raises:
        ConfigError: the variable cannot be read.
    """
    return _limits(os.environ.get(VARIABLE, ""))[name]


@cache
def _limits(raised: str) -> Mapping[str, int]:
    found = {name: one.most for name, one in LIMITS.items()}
    for part in filter(None, raised.split(",")):
        name, _, value = (text.strip() for text in part.partition("="))
        if name not in LIMITS:
            raise ConfigError(
                f"{VARIABLE}: there is no limit {name!r}", hint=near_name(name, LIMITS)
            )
        try:
            found[name] = int(float(value))
        except (ValueError, OverflowError):
            raise ConfigError(
                f"{VARIABLE}: {name} is {value!r}", hint=f"write {name}=NUMBER"
            ) from None
    return found


def check_limit(
    name: str, value: int, place: str, *, error: type[LstmcliError] = DataError
) -> None:
    """Refuse what is beyond a limit.

    Args:
        name: a key of `LIMITS`.
        value: what was found.
        place: names the file in the error.
        error: its type.

    Raises:
        LstmcliError: there is more; the message names number and limit.
    """
    most = limit(name)
    if value > most:
        raise error(
            f"{place}: {value:,} {LIMITS[name].what}, more than {most:,}",
            hint=f"where that is right, raise the limit: {VARIABLE}={name}={value}",
        )


def check_canvas(size_hw: tuple[int, int], place: str, *, error: type[LstmcliError]) -> None:
    """Refuse a canvas without pixels or with too many; see `check_limit`."""
    height, width = size_hw
    if height < 1 or width < 1:
        raise error(f"{place}: a canvas of {width}x{height}", hint="both sides are 1 or more")
    check_limit("canvas", height * width, place, error=error)
