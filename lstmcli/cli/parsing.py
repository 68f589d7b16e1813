"""Parsers of option values; an invalid value is misuse: exit code 2."""

from __future__ import annotations

import math
import re
from typing import Literal

import typer

UNITS_S = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def size_hw(text: str | None) -> tuple[int, int] | None:
    """Return (height, width) for `W,H` or `WxH` in pixels; None for None."""
    if text is None:
        return None
    match = re.fullmatch(r"\s*(\d+)\s*[,xX×]\s*(\d+)\s*", text)  # noqa: RUF001
    if not match or "0" in {match[1].strip("0") or "0", match[2].strip("0") or "0"}:
        raise typer.BadParameter(f"{text!r} is no size: write W,H in pixels, as 640,512")
    return int(match[2]), int(match[1])


def sized_model(model: str | None, size: str | None) -> str | None:
    """Return a model, or several with commas between them, with an input size: `FILE@640x384`."""
    wanted = size_hw(size)
    if wanted is None:
        return model
    if model is None:
        raise typer.BadParameter(
            "--size needs --model: it is the input size of a third-party detector"
        )
    return ",".join(f"{name.strip()}@{wanted[1]}x{wanted[0]}" for name in model.split(","))


def label_rate(text: str | None) -> float | Literal["film"] | None:
    """Return frames per second, "film" for `film`; None for None."""
    if text is None or text.strip().lower() == "film":
        return None if text is None else "film"
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate < 10_000:
        raise typer.BadParameter(f"{text!r} is no frame rate: write frames per second, or film")
    return rate


def duration_s(text: str | None) -> float | None:
    """Return seconds for `90`, `90s`, `40m`, `1.5h` or `1h30m`; None for None."""
    if text is None:
        return None
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*(h|min|m|s|)", text.lower())
    if not parts or "".join(a + b for a, b in parts) != re.sub(r"\s", "", text.lower()):
        raise typer.BadParameter(f"{text!r} is no length of time: write 90s, 40m or 1h30m")
    return sum(float(value) * UNITS_S[unit] for value, unit in parts)


def moment_s(text: str | None) -> float | None:
    """Return seconds for `12.5`, `1:30`, `1:02:03` or a `duration_s`; None for None."""
    if text is None:
        return None
    if re.search(r"[a-z]", text.lower()):
        return duration_s(text)
    if not re.fullmatch(r"(?:\d+:){0,2}\d+(?:\.\d+)?", text.strip()):
        raise typer.BadParameter(f"{text!r} is no moment: write seconds or h:mm:ss")
    return math.fsum(
        float(part) * 60**power for power, part in enumerate(reversed(text.split(":")))
    )


def names(text: str | None) -> tuple[str, ...] | None:
    """Return the names in `a,b,c`; None for None."""
    if text is None:
        return None
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    if not found:
        raise typer.BadParameter(f"{text!r} holds no name: write a,b")
    return found


def pairs(texts: list[str] | None, option: str) -> list[tuple[str, str]]:
    """Return the two sides of texts such as `name=value`, in their order."""
    found = []
    for text in texts or ():
        name, equals, value = (part.strip() for part in text.partition("="))
        if not (name and equals and value):
            raise typer.BadParameter(f"{text!r}: write name=value", param_hint=option)
        found.append((name, value))
    return found


def minimums(texts: list[str] | None, option: str) -> dict[str, float]:
    """Return {key: number} for texts such as `map50=0.5`."""
    values = {}
    for key, text in pairs(texts, option):
        try:
            values[key] = float(text)
        except ValueError:
            raise typer.BadParameter(f"{text!r} is no number", param_hint=option) from None
        if not math.isfinite(values[key]):
            raise typer.BadParameter(f"{text!r} is no number", param_hint=option)
    return values


def renames(texts: list[str] | None) -> dict[str, str]:
    """Return {old: new} for texts such as `old=new`."""
    pairs = {}
    for text in texts or ():
        old, equals, new = (part.strip() for part in text.partition("="))
        if not (old and equals and new):
            raise typer.BadParameter(f"{text!r} renames nothing: write old=new")
        pairs[old] = new
    return pairs
