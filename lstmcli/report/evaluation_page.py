"""The report of an evaluation: one HTML file that says how good, where, and shows the worst."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from lstmcli.core.errors import OutputError
from lstmcli.core.types import FloatArray
from lstmcli.report.charts import calibration_chart, line_colour, precision_recall_chart
from lstmcli.report.gallery import COLOURS, GalleryPicture

PAGE_NAME = "index.html"


def write_report(
    folder: Path,
    scores: Mapping[str, Any],
    curves: Mapping[str, FloatArray],
    pictures: Sequence[GalleryPicture],
) -> Path:
    """Write the page, under its name only when it is complete; return its path.

    Args:
        folder: it is made where it is missing.
        scores: the plain values of an evaluation, as its JSON has them.
        curves: by class name, the precision at evenly spaced recalls from 0 to 1.
        pictures: the worst frames.

    Raises:
        OutputError: the folder cannot be made or written.
    """
    path = folder / PAGE_NAME
    temporary = path.with_name(PAGE_NAME + ".part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary.write_text(render(scores, curves, pictures), encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: {error.strerror}", hint="choose another --report") from None
    return path


def render(
    scores: Mapping[str, Any],
    curves: Mapping[str, FloatArray],
    pictures: Sequence[GalleryPicture],
) -> str:
    """Return the page as text; see `write_report`."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "percent": percent, "data_uri": _data_uri}
    return environment.get_template("page.html.j2").render(
        scores=scores,
        chart=Markup(precision_recall_chart({k: v.tolist() for k, v in curves.items()})),
        legend=[(name, line_colour(place)) for place, name in enumerate(curves)],
        calibration=Markup(calibration_chart(scores["calibration"]["bins"])),
        confusion=_shaded(scores["confusion"]["counts"]),
        pictures=pictures,
        colours=COLOURS,
    )


def number(value: float | None, digits: int = 3) -> str:
    """Return a number for a person; a dash where there is none."""
    if value is None:
        return "–"  # noqa: RUF001 - an en dash stands for "no number" in tables
    return f"{value:,}" if isinstance(value, int) else f"{value:.{digits}f}"


def percent(value: float | None) -> float:
    """Return a share as percent for the width of a bar; 0 where there is none."""
    return round(100 * min(max(value or 0.0, 0.0), 1.0), 1)


def _shaded(counts: Sequence[Sequence[int]]) -> list[list[tuple[int, float]]]:
    """Return each count with its share of the row, for the shade of its cell."""
    table = np.array(counts, np.float64)
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    return [
        [(int(count), float(share)) for count, share in zip(row, row_shares, strict=True)]
        for row, row_shares in zip(counts, shares, strict=True)
    ]


def _data_uri(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")
