"""Measures what memory is worth: the same weights with it, without, frozen, and shuffled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lstmcli.core.errors import DataError, MediaError
from lstmcli.core.files import claim, write_json
from lstmcli.core.progress import Progress, SilentProgress
from lstmcli.inference.runtime import Runtime
from lstmcli.inference.runtime_pool import RuntimePool
from lstmcli.metrics.comparison import Json
from lstmcli.metrics.frame_result import FrameResult
from lstmcli.metrics.memory_gain import MemoryGain, memory_gain
from lstmcli.metrics.model_comparison import Contender, SideBySide, side_by_side
from lstmcli.report.comparison_page import MemoryPictures, write_comparison
from lstmcli.workflows.evaluate.ablation_stream import VARIANTS, Variant, ablated_results
from lstmcli.workflows.evaluate.data import open_annotations, open_data, open_model
from lstmcli.workflows.evaluate.memory_pictures import GainSource, memory_pictures
from lstmcli.workflows.evaluate.options import EvaluateOptions
from lstmcli.workflows.evaluate.outputs import check_folders, check_outputs
from lstmcli.workflows.evaluate.page_moments import page_moments

SCHEMA = 1
PAIRS: Mapping[str, tuple[str, str]] = {
    "network": ("frame", "+memory"),
    "pipeline": ("+tracker", "+both"),
}
"""Gains that are measured: of the network's own detections, and of what `detect` outputs."""
SEED = 0
CHOSEN_VARIANTS = tuple(v for v in VARIANTS if v.mode in ("reset", "memory"))
"""Those that a user may choose; the others only explain where a gain comes from."""


@dataclass(frozen=True, slots=True)
class Ablation:
    """The variants of every model side by side, and what memory gains and loses.

    Args:
        table: the variants over the domains; differences are to the first model's frames alone.
        gains: domain -> model -> name of `PAIRS` -> gain.
    """

    table: SideBySide
    gains: Mapping[str, Mapping[str, Mapping[str, MemoryGain]]]

    def as_json(self) -> dict[str, Json]:
        """Return plain values; what is not measurable is None."""
        gains: dict[str, Json] = {}
        for domain, models in self.gains.items():
            classes = self.table.domains[domain][0].comparison.classes
            gains[domain] = {
                model: {name: gain.as_json(classes) for name, gain in pairs.items()}
                for model, pairs in models.items()
            }
        return {**self.table.as_json(), "schema": SCHEMA, "memory_gain": gains}


def ablate(
    models: Mapping[str, str | Runtime],
    data: Mapping[str, Path],
    options: EvaluateOptions | None = None,
    *,
    variants: Sequence[Variant] = VARIANTS,
    draws: int = 1000,
    json_file: Path | None = None,
    report: Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Ablation:
    """Score models with memory, without, with a frozen memory, and on shuffled frames.

    The network runs at every frame. Recurrent networks and track memories behind any detector are
    ablated alike.

    Args:
        models: name -> checkpoint, run, exported, shipped or foreign model, or runtime at hand.
        data: name -> prepared dataset or labels that `prepare` reads, each a domain.
        options: `memory`, `frames_alone` and `schedule` have no effect.
        variants: of `VARIANTS`; the first one is the reference.
        draws: of the bootstrap.
        json_file: where to write everything as JSON.
        report: a folder for a page with verdict, tables, and clips of what only memory finds.
        overwrite: replace a JSON file or report that exists.
        progress: is shown how far the work is.

    Raises:
        ConfigError: no class of the only domain is known to a model.
        DataError: data that cannot be read, or without annotated frames.
        ModelError: a model cannot be read.
        OutputError: the JSON file exists or cannot be written.
    """
    options = replace(options or EvaluateOptions(), needs_class=len(data) == 1)
    progress = progress or SilentProgress()
    check_folders(json_file, report)
    with claim(json_file, report):
        check_outputs(json_file, report, overwrite=overwrite)
        domains: dict[str, list[Contender]] = {name: [] for name in data}
        for model, given in models.items():
            runtimes = open_model(given, options, progress)
            for domain, path in data.items():
                progress.note(f"{model} on {domain}")
                domains[domain] += [
                    replace(contender, name=_row_name(model, contender.name, len(models)))
                    for contender in _contenders(runtimes, path, variants, options, progress)
                ]
        table = side_by_side(domains, iou=options.iou, draws=draws)
        ablation = Ablation(table, _gains(table, models, draws))
        if json_file is not None:
            write_json(json_file, ablation.as_json(), overwrite=overwrite)
        if report is not None:
            _write_report(report, ablation, models, data, options, overwrite, progress)
    return ablation


def _write_report(
    report: Path,
    ablation: Ablation,
    models: Iterable[str],
    data: Mapping[str, Path],
    options: EvaluateOptions,
    overwrite: bool,
    progress: Progress,
) -> None:
    """Write the page; its clips show the first model's network without and with memory."""
    names = list(models)
    pair = [_row_name(names[0], one, len(names)) for one in PAIRS["network"]]
    moments, pictures = {}, {}
    for domain, path in data.items():
        standings = {one.name: one.comparison for one in ablation.table.domains[domain]}
        moments[domain] = page_moments(
            path,
            {name: standings[name] for name in pair},
            options=options,
            progress=progress,
        )
        pictures[domain] = _memory_pictures(path, ablation, domain, options, progress)
    write_comparison(report, ablation.as_json(), moments, pictures=pictures, overwrite=overwrite)


def _memory_pictures(
    path: Path, ablation: Ablation, domain: str, options: EvaluateOptions, progress: Progress
) -> dict[tuple[str, str], MemoryPictures]:
    """Return the pictures of a domain; none of its objects where its videos cannot be read."""
    compared = {one.name: one.comparison for one in ablation.table.domains[domain]}
    gains = ablation.gains[domain]
    sources = {}
    for model, pairs in gains.items():
        for name, gain in pairs.items():
            without, with_memory = (_row_name(model, one, len(gains)) for one in PAIRS[name])
            sources[model, name] = GainSource(gain, compared[without], compared[with_memory])
    try:
        videos = open_annotations(path, options).videos
        return memory_pictures(videos, sources, limit=options.limit, progress=progress)
    except (DataError, MediaError) as error:  # a page without pictures is better than none
        progress.note(f"no pictures of what memory recovers in the report: {error.problem}")
        return {key: MemoryPictures() for key in sources}


def _row_name(model: str, variant: str, models: int) -> str:
    """Return the name of a row; the frame alone has the model's name."""
    if models == 1:
        return variant
    return model if variant == VARIANTS[0].name else f"{model} {variant}"


def _gains(
    table: SideBySide, models: Iterable[str], draws: int
) -> dict[str, dict[str, dict[str, MemoryGain]]]:
    names = list(models)
    gains: dict[str, dict[str, dict[str, MemoryGain]]] = {}
    for domain, standings in table.domains.items():
        compared = {standing.name: standing.comparison for standing in standings}
        gains[domain] = {}
        for model in names:
            gains[domain][model] = {}
            for name, pair in PAIRS.items():
                without, with_memory = (_row_name(model, one, len(names)) for one in pair)
                if without in compared and with_memory in compared:
                    gains[domain][model][name] = memory_gain(
                        compared[without], compared[with_memory], draws=draws
                    )
    return gains


def _contenders(
    runtimes: RuntimePool,
    path: Path,
    variants: Sequence[Variant],
    options: EvaluateOptions,
    progress: Progress,
) -> list[Contender]:
    """Return every variant's results on a domain."""
    opened = open_data(path, runtimes, options, progress)
    results: dict[str, list[FrameResult]] = {variant.name: [] for variant in variants}
    for video, runtime in opened.videos:
        found = ablated_results(
            runtime,
            video,
            scored=opened.scored,
            threshold=options.threshold,
            limit=options.limit,
            seed=SEED,
            progress=progress,
            variants=variants,
        )
        for name, rows in found.items():
            results[name] += rows
    if not results[variants[0].name]:
        raise opened.nothing_annotated(path)
    return [Contender(name, opened.classes, tuple(rows)) for name, rows in results.items()]
