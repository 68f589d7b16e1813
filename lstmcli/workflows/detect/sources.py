"""Which model, which options, which videos: decided before the work begins."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lstmcli.core.errors import (
    ConfigError,
    LstmcliError,
    ModelError,
    OutputError,
    near_name,
)
from lstmcli.core.model_files import shipped_models
from lstmcli.outputs import OutputSpec
from lstmcli.outputs.counts import SUFFIX as COUNTS_SUFFIX
from lstmcli.outputs.writer import output_paths
from lstmcli.video import Source, describe, probe
from lstmcli.workflows.detect.options import Plan

PREFERRED = ("general", "sky")
"""Shipped models in the order in which one is taken where the user names none."""


def choose_model(folder: Path) -> tuple[Path, str]:
    """Return the model to take where none is named, and a sentence that says which and why.

    The newest run's best checkpoint below `folder`/runs; else the model that ships with the
    package.

    Raises:
        ModelError: there is neither.
    """
    runs = sorted((folder / "runs").glob("*/best.pt"), key=lambda path: path.stat().st_mtime)
    if runs:
        return runs[-1], f"using {runs[-1]}, the newest run's best checkpoint"
    shipped = shipped_models()
    if shipped:
        name = next((one for one in PREFERRED if one in shipped), next(iter(shipped)))
        return shipped[name], f"using {name}, the model that ships with lstmcli"
    raise ModelError(
        f"there is no run in {folder / 'runs'} and no shipped model",
        hint="train one with `lstmcli train`, or name one with --model",
    )


def check_options(
    threshold: float,
    every: int | None,
    quality: int,
    jobs: int,
    start_s: float | None,
    end_s: float | None,
) -> None:
    """Refuse options out of their range before anything is opened."""
    rules = (
        (0 < threshold <= 1, f"--threshold {threshold:g}", "it lies above 0 and up to 1"),
        (every is None or every >= 1, f"--every {every}", "1 takes all frames, 2 every second one"),
        (0 <= quality <= 51, f"--quality {quality}", "it lies in 0 (best) to 51 (smallest)"),
        (jobs >= 1, f"--jobs {jobs}", "it is 1 or more"),
        (not start_s or start_s >= 0, f"--start {start_s}", "it counts from the beginning"),
        (end_s is None or end_s > (start_s or 0), f"--end {end_s}", "it lies behind --start"),
    )
    for holds, problem, hint in rules:
        if not holds:
            raise ConfigError(problem, hint=hint)


def size_of(source: Source) -> tuple[int, int] | None:
    """Return (height, width) of a source's frames, None where only its frames can tell."""
    try:
        info = describe(source)
    except LstmcliError:  # told when it is this video's turn
        return None
    return info.size_hw if info is not None else None


def kept_classes(wanted: Sequence[str], known: tuple[str, ...]) -> frozenset[int]:
    """Return the classes that are answered; ConfigError for one that the model does not know."""
    for name in wanted:
        if name not in known:
            raise ConfigError(f"the model knows no class {name!r}", hint=near_name(name, known))
    return frozenset(i for i, name in enumerate(known) if not wanted or name in wanted)


def to_do(
    found: Sequence[Source],
    names: Sequence[str],
    out: Path,
    plan: Plan,
    skip_existing: bool,
    overwrite: bool,
) -> tuple[list[tuple[Source, Path]], list[str]]:
    """Return the sources that are to be done with the stems of their outputs, and the others.

    Raises:
        OutputError: an output is there already, or lies where a source lies.
    """
    places = {path.resolve() for source in found for path in _files_of(source)}
    todo: list[tuple[Source, Path]] = []
    skipped: list[str] = []
    for source, name in zip(found, names, strict=True):
        stem = out / name
        paths = output_paths(plan.write, OutputSpec(source.name, stem, plan.classes, (1, 1)))
        if plan.count is not None:
            paths.append(stem.with_name(stem.name + COUNTS_SUFFIX))
        for path in paths:
            if path.resolve() in places:
                raise OutputError(
                    f"{path}: an output of {source.name} has the name of a source",
                    hint="use another --out, or leave that source out",
                )
        there = [path for path in paths if path.exists()]
        if source.is_live or not there:
            todo.append((source, stem))
        elif skip_existing:
            if len(there) == len(paths) and _belong_to(source, paths):
                skipped.append(source.name)
            else:
                todo.append((source, stem))
        elif overwrite:
            todo.append((source, stem))
        else:
            raise OutputError(
                f"{there[0]} exists", hint="use --overwrite to replace it, or --skip-existing"
            )
    return todo, skipped


def _belong_to(source: Source, outputs: Sequence[Path]) -> bool:
    """Return whether outputs were made of this source, not of another one of the same name.

    They are younger than it, and an annotated video has its size and its length.
    """
    places = _files_of(source)
    youngest = max((path.stat().st_mtime for path in places), default=0.0)
    if any(path.stat().st_mtime < youngest for path in outputs):
        return False
    for path in outputs:
        if source.kind != "file" or not path.name.endswith(".annotated.mp4"):
            continue
        try:
            made, own = probe(path), describe(source)
        except LstmcliError:
            return False
        if own is None:
            continue
        even_hw = tuple(side + side % 2 for side in own.size_hw)
        if made.size_hw != even_hw or (made.duration_s or 0) > (own.duration_s or 1e9) + 1.0:
            return False
    return True


def _files_of(source: Source) -> tuple[Path, ...]:
    return source.images or ((Path(source.place),) if source.kind == "file" else ())


def frames_in_all(sources: Sequence[Source], plan: Plan) -> int | None:
    """Return how many frames will come, None where nobody can know."""
    total = 0
    for source in sources:
        try:
            frames = plan.expected(source)
        except LstmcliError:
            continue  # its own job will tell
        if frames is None:
            return None
        total += frames
    return total
