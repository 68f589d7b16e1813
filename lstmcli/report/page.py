"""HTML pages from templates: one file each, light and dark, that loads nothing from elsewhere."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from lstmcli.core.errors import OutputError
from lstmcli.core.files import write_text


@dataclass(frozen=True, slots=True)
class PagePicture:
    """A picture of a page.

    Args:
        title: what it shows.
        data: the bytes of a PNG or JPEG file.
        caption: more about it, "" for nothing.
    """

    title: str
    data: bytes
    caption: str = ""


def render_page(template: str, **values: Any) -> str:
    """Return a page of `report/NAME.html.j2`; texts are escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {"number": number, "percent": percent, "data_uri": data_uri}
    return environment.get_template(f"{template}.html.j2").render(**values)


def write_page(path: Path, page: str, *, option: str, overwrite: bool = True) -> None:
    """Write a page under its name when it is complete.

    Args:
        path: its folder is made where it is missing.
        page: the whole text.
        option: the option that names another path, for the hint.
        overwrite: replace a page that is there.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, page, overwrite=overwrite)
    except OSError as error:
        raise OutputError(f"{path}: {error.strerror}", hint=f"choose another {option}") from None


def number(value: float | None, digits: int = 3) -> str:
    """Return a rounded number; a dash for None."""
    if value is None:
        return "–"  # noqa: RUF001 - an en dash stands for "no number" in tables
    return f"{value:,}" if isinstance(value, int) else f"{value:.{digits}f}"


def percent(value: float | None) -> float:
    """Return a share as percent for the width of a bar; 0 where there is none."""
    return round(100 * min(max(value or 0.0, 0.0), 1.0), 1)


def data_uri(picture: bytes) -> str:
    """Return a PNG or JPEG file as the address of an `img`."""
    kind = "png" if picture.startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64," + base64.b64encode(picture).decode("ascii")
