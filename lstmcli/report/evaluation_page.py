"""The page of an evaluation: one HTML file with scores, plots and the worst frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from lstmcli.core.types import FloatArray
from lstmcli.report.charts import (
    LINES,
    calibration_chart,
    line_colour,
    precision_recall_chart,
)
from lstmcli.report.gallery import COLOURS
from lstmcli.report.moments_part import PageMoments
from lstmcli.report.page import PagePicture, render_page, write_page
from lstmcli.report.verdict import evaluation_verdict

PAGE_NAME = "index.html"


def write_report(
    folder: Path,
    scores: Mapping[str, Any],
    curves: Mapping[str, FloatArray],
    pictures: Sequence[PagePicture],
    moments: PageMoments | None = None,
    *,
    overwrite: bool = True,
) -> Path:
    """Write the page, under its name only when it is complete; return its path.

    Args:
        folder: it is made where it is missing.
        scores: the plain values of an evaluation, as its JSON has them.
        curves: by class name, the precision at evenly spaced recalls from 0 to 1.
        pictures: the worst frames.
        moments: clips, lists of mistakes and advice.
        overwrite: replace a page that is there.

    Raises:
        OutputError: the folder cannot be made or written.
    """
    path = folder / PAGE_NAME
    write_page(
        path, render(scores, curves, pictures, moments), option="--report", overwrite=overwrite
    )
    return path


def render(
    scores: Mapping[str, Any],
    curves: Mapping[str, FloatArray],
    pictures: Sequence[PagePicture],
    moments: PageMoments | None = None,
) -> str:
    """Return the page as text; see `write_report`."""
    shown = _most_frequent(curves, scores["per_class"])
    return render_page(
        "evaluation_page",
        title=f"{scores['model']} on {scores['data']}",
        scores=scores,
        chart=Markup(precision_recall_chart({name: curves[name].tolist() for name in shown})),
        legend=[(name, line_colour(index)) for index, name in enumerate(shown)],
        hidden_curves=len(curves) - len(shown),
        calibration=Markup(calibration_chart(scores["calibration"]["bins"])),
        confusion=_shaded(scores["confusion"]["counts"]),
        pictures=pictures,
        verdict=evaluation_verdict(scores),
        moments=moments or PageMoments(),
        colours=COLOURS,
    )


def _most_frequent(curves: Mapping[str, Any], per_class: Mapping[str, Any]) -> list[str]:
    """Return as many classes as the chart has colours, in their order, the frequent ones first."""
    frequent = sorted(curves, key=lambda name: -per_class[name]["boxes"])[: len(LINES)]
    return [name for name in curves if name in frequent]


def _shaded(counts: Sequence[Sequence[int]]) -> list[list[tuple[int, float]]]:
    """Return each count with its share of the row, for the shade of its cell."""
    table = np.array(counts, np.float64)
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    return [
        [(int(count), float(share)) for count, share in zip(row, row_shares, strict=True)]
        for row, row_shares in zip(counts, shares, strict=True)
    ]
