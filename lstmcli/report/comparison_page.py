"""The page of a comparison: one HTML file with verdict, tables, clips and what to label next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lstmcli.report.gallery import COLOURS
from lstmcli.report.moments_part import PageMoments
from lstmcli.report.page import PagePicture, render_page, write_page
from lstmcli.report.verdict import comparison_verdict

PAGE_NAME = "index.html"


@dataclass(frozen=True, slots=True)
class MemoryPictures:
    """Pictures of what a memory is worth.

    Args:
        recovered: objects that are found only with memory.
        lost: objects that are found only without.
    """

    recovered: Sequence[PagePicture] = ()
    lost: Sequence[PagePicture] = ()


Pictures = Mapping[str, Mapping[tuple[str, str], MemoryPictures]]
"""Domain -> (model, pair) -> pictures."""


def write_comparison(
    folder: Path,
    values: Mapping[str, Any],
    moments: Mapping[str, PageMoments],
    *,
    pictures: Pictures | None = None,
    overwrite: bool = True,
) -> Path:
    """Write the page, under its name only when it is complete; return its path.

    Args:
        folder: it is made where it is missing.
        values: of `SideBySide.as_json`, or of an ablation: with `memory_gain`.
        moments: domain -> clips and lists.
        pictures: of an ablation.
        overwrite: replace a page that is there.

    Raises:
        OutputError: the folder cannot be made or written.
    """
    path = folder / PAGE_NAME
    page = render_comparison(values, moments, pictures or {})
    write_page(path, page, option="--report", overwrite=overwrite)
    return path


def render_comparison(
    values: Mapping[str, Any], moments: Mapping[str, PageMoments], pictures: Pictures
) -> str:
    """Return the page as text; see `write_comparison`."""
    return render_page(
        "comparison_page",
        title=_title(values),
        values=values,
        verdict=comparison_verdict(values),
        moments=moments,
        pictures=pictures,
        colours=COLOURS,
    )


def _title(values: Mapping[str, Any]) -> str:
    """Return the question that the page answers."""
    if values.get("memory_gain"):
        models = dict.fromkeys(name for gains in values["memory_gain"].values() for name in gains)
        return f"What memory is worth to {', '.join(models)}"
    names = values["models"]
    return " against ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
