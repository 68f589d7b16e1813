"""The page of a comparison: one HTML file with verdict, tables, clips and what to label next."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lstmcli.report.gallery import COLOURS
from lstmcli.report.moments_part import PageMoments
from lstmcli.report.page import render_page, write_page
from lstmcli.report.verdict import comparison_verdict

PAGE_NAME = "index.html"


def write_comparison(
    folder: Path,
    values: Mapping[str, Any],
    moments: Mapping[str, PageMoments],
    *,
    overwrite: bool = True,
) -> Path:
    """Write the page, under its name only when it is complete; return its path.

    Args:
        folder: it is made where it is missing.
        values: of `SideBySide.as_json`, or of an ablation: with `memory_gain`.
        moments: domain -> clips and lists.
        overwrite: replace a page that is there.

    Raises:
        OutputError: the folder cannot be made or written.
    """
    path = folder / PAGE_NAME
    page = render_comparison(values, moments)
    write_page(path, page, option="--report", overwrite=overwrite)
    return path


def render_comparison(values: Mapping[str, Any], moments: Mapping[str, PageMoments]) -> str:
    """Return the page as text; see `write_comparison`."""
    return render_page(
        "comparison_page",
        title=" against ".join(values["models"][:3])
        + (f" and {len(values['models']) - 3} more" if len(values["models"]) > 3 else ""),
        values=values,
        verdict=comparison_verdict(values),
        moments=moments,
        colours=COLOURS,
    )
