"""Default model, output classes, and sources to process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lstmcli.core.errors import ConfigError, LstmcliError, ModelError, OutputError, near_name
from lstmcli.core.files import is_unreported
from lstmcli.core.model_files import shipped_models
from lstmcli.outputs import OutputSpec
from lstmcli.outputs.counts import SUFFIX as COUNTS_SUFFIX
from lstmcli.outputs.writer import output_paths
from lstmcli.video import Source, probe
from lstmcli.workflows.detect.done_record import content_key, read_record
from lstmcli.workflows.detect.plan import Plan, ProbedSource

PREFERRED = ("general", "sky")
"""Shipped models in order of preference for the default."""


def choose_model(folder: Path) -> tuple[Path, str]:
    """Return the default model, and a sentence that names it.

    The newest run's best checkpoint below `folder`/runs; else the model that ships with the
    package.

    Raises:
        ModelError: neither exists.
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


def default_model(model: Path | str | None) -> tuple[str, str]:
    """Return the given or the default model, and a sentence about the default."""
    if model is not None:
        return str(model), ""
    path, sentence = choose_model(Path())
    return str(path), sentence


def kept_classes(wanted: Sequence[str], known: tuple[str, ...]) -> frozenset[int]:
    """Return the indices of the output classes; ConfigError for one that the model lacks."""
    for name in wanted:
        if name not in known:
            raise ConfigError(f"the model has no class {name!r}", hint=near_name(name, known))
    return frozenset(i for i, name in enumerate(known) if not wanted or name in wanted)


def to_do(sources: Sequence[ProbedSource], plan: Plan) -> tuple[list[ProbedSource], list[str]]:
    """Return the sources to process, and the names of the skipped ones.

    Raises:
        OutputError: an output exists, or has the path of a source.
    """
    source_files = {path.resolve() for one in sources for path in files_of(one.source)}
    todo: list[ProbedSource] = []
    skipped: list[str] = []
    for one in sources:
        name, stem = one.source.name, one.stem
        paths = output_paths(plan.options.write, OutputSpec(name, stem, plan.classes, (1, 1)))
        if plan.count is not None:
            paths.append(stem.with_name(stem.name + COUNTS_SUFFIX))
        for path in paths:
            if path.resolve() in source_files:
                raise OutputError(
                    f"{path}: an output of {name} has the name of a source",
                    hint="use another --out, or leave that source out",
                )
        there = [path for path in paths if path.exists()]
        options = plan.options
        if one.source.is_live or not there:
            todo.append(one)
        elif options.skip_existing and len(there) == len(paths) and _belong_to(one, paths, plan):
            skipped.append(name)
        elif options.skip_existing or options.overwrite or all(map(is_unreported, there)):
            todo.append(one)
        else:
            taken = next(path for path in there if not is_unreported(path))
            raise OutputError(
                f"{taken} exists", hint="use --overwrite, --skip-existing, or another --out"
            )
    return todo, skipped


def _belong_to(one: ProbedSource, outputs: Sequence[Path], plan: Plan) -> bool:
    """Return whether outputs were made of this source with these settings, by the record of them.

    Where there is no record: they are younger than the source, and an annotated video has its size
    and its length.
    """
    record = read_record(one.stem)
    if record is not None:
        same = record.get("settings") == plan.settings
        return same and record.get("source") == content_key(files_of(one.source))
    youngest = max((path.stat().st_mtime for path in files_of(one.source)), default=0.0)
    if any(path.stat().st_mtime < youngest for path in outputs):
        return False
    for path in outputs:
        if one.source.kind != "file" or not path.name.endswith(".annotated.mp4"):
            continue
        try:
            made, own = probe(path), one.info
        except LstmcliError:
            return False
        if own is None:
            continue
        even_hw = tuple(side + side % 2 for side in own.size_hw)
        if made.size_hw != even_hw or (made.duration_s or 0) > (own.duration_s or 1e9) + 1.0:
            return False
    return True


def files_of(source: Source) -> tuple[Path, ...]:
    """Return the files of a source; none where it is live or piped in."""
    return source.images or ((Path(source.address),) if source.kind == "file" else ())
