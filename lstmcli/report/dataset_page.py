"""The page of a dataset: likely problems, statistics and pictures of the network's input."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lstmcli.core.tables import Histogram, Table
from lstmcli.core.types import DataWarning
from lstmcli.report.page import PagePicture, render_page, write_page


def write_dataset_page(
    path: Path,
    *,
    title: str,
    warnings: Sequence[DataWarning] = (),
    tables: Sequence[Table] = (),
    histograms: Sequence[Histogram] = (),
    pictures: Sequence[PagePicture] = (),
) -> None:
    """Write the page, under its name only when it is complete.

    Args:
        path: of the page; its folder is made where it is missing.
        title: the name of the dataset.
        warnings: likely problems, with location and count.
        tables: of splits and classes.
        histograms: of box sizes and motion; empty ones are left out.
        pictures: previews.

    Raises:
        OutputError: it cannot be written.
    """
    page = render_page(
        "dataset_page",
        title=title,
        warnings=warnings,
        tables=tables,
        histograms=[one for one in histograms if one.most],
        pictures=pictures,
    )
    write_page(path, page, option="--out")
