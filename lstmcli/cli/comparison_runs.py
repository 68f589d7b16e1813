"""`evaluate` of several models or data, and `--ablate`: from arguments to workflows and tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from lstmcli.cli.comparison_table import show_ablation, show_comparison
from lstmcli.cli.console import Console

if TYPE_CHECKING:
    from lstmcli.workflows.evaluate import EvaluateOptions


@dataclass(frozen=True, slots=True)
class Outputs:
    """Files that are written.

    Args:
        json_file: for all numbers, or None.
        report: folder of the page, or None.
        overwrite: replace those that exist.
    """

    json_file: Path | None
    report: Path | None
    overwrite: bool


def models_and_data(names: list[str], *, few: int) -> tuple[dict[str, str], dict[str, Path]]:
    """Divide the arguments into at least `few` models, which come first, and data, by name.

    The name of a shipped model means the model, also beside a folder of that name (as `sky` beside
    `sky/val`), unless it stands last: then it is data.

    Raises:
        typer.BadParameter: two of one name.
    """
    from lstmcli.core.model_files import looks_like_model, shipped_models

    items = [_named(name) for name in names]
    count = few
    while count < len(items) and (
        looks_like_model(items[count][1])
        or (items[count][1] in shipped_models() and count + 1 < len(items))
    ):
        count += 1
    data = items[count:] or [("dataset", "dataset")]
    for some in (items[:count], data):
        twice = [name for name, _ in some if [n for n, _ in some].count(name) > 1]
        if twice:
            raise typer.BadParameter(f"{twice[0]!r} is named twice: name each once")
    return dict(items[:count]), {name: Path(path) for name, path in data}


def _named(text: str) -> tuple[str, str]:
    """Return the name and the path of `NAME=PATH`; without a name, the path twice."""
    name, equals, path = text.partition("=")
    if equals and name and path and "/" not in name and not Path(text).exists():
        return name, path
    return text, text


def compare(
    console: Console,
    compared: tuple[Mapping[str, str], Mapping[str, Path], Mapping[str, Path]],
    chosen: EvaluateOptions,
    outputs: Outputs,
) -> dict[str, float | None]:
    """Compare models, and result files, on data; return the reference's means over the domains."""
    from lstmcli.workflows.compare import HEADLINES, compare_models

    models, data, results = compared
    table = compare_models(
        models,
        data,
        detections=results,
        options=chosen,
        json_file=outputs.json_file,
        report=outputs.report,
        overwrite=outputs.overwrite,
        progress=console.progress,
    )
    show_comparison(console, table)
    _say_written(console, outputs)
    first = table.names[0]
    return {key: table.over_domains(key)[first][0] for key in HEADLINES}


def ablate_models(
    console: Console,
    models: Mapping[str, str],
    data: Mapping[str, Path],
    chosen: EvaluateOptions,
    outputs: Outputs,
) -> None:
    """Measure what memory is worth; of several models, the variants that users may choose from."""
    from lstmcli.workflows.ablate import CHOSEN_VARIANTS, VARIANTS, ablate

    ablation = ablate(
        models,
        data,
        chosen,
        variants=VARIANTS if len(models) == 1 else CHOSEN_VARIANTS,
        json_file=outputs.json_file,
        report=outputs.report,
        overwrite=outputs.overwrite,
        progress=console.progress,
    )
    show_ablation(console, ablation)
    _say_written(console, outputs)


def _say_written(console: Console, outputs: Outputs) -> None:
    page = outputs.report / "index.html" if outputs.report is not None else None
    for path in (outputs.json_file, page):
        if path is not None:
            console.result(f"wrote {path}")
