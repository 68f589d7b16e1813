"""Checkpoints as runtimes: converted once for each engine and shape, and cached."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from lstmcli.core.boxes import Letterbox
from lstmcli.core.errors import ModelError
from lstmcli.core.metadata import FORMAT, METADATA_NAMES, ModelMetadata
from lstmcli.inference.autotune import cache_folder, fingerprint, prune_cache
from lstmcli.inference.exporting import publish_export
from lstmcli.inference.installed import check_installed, version_of
from lstmcli.inference.runtime import Runtime
from lstmcli.inference.runtimes import RUNTIMES

if TYPE_CHECKING:
    from lstmcli.inference.exportable import ExportableStep
    from lstmcli.models.checkpoint import Checkpoint


def load_converted(
    path: Path, name: str, *, device: str, threads: int, picture_hw: tuple[int, int] | None
) -> Runtime:
    """Return a checkpoint run by an engine; converted networks are cached."""
    engine = RUNTIMES[name]
    check_installed(name, engine.to_run)
    if name == "torch":
        from lstmcli.inference.runtimes import pytorch
        from lstmcli.models.checkpoint import load_checkpoint

        step, metadata = _with_minimal_canvas(load_checkpoint(path), picture_hw)
        return pytorch.make(step, metadata, device=device)
    folder = cache_folder() / "engines"
    shape = shape_suffix(picture_hw)
    # what was converted before the metadata had a field would run with its default
    versions = f"{version_of(name)}-{version_of('lstmcli')}-{FORMAT}-{len(METADATA_NAMES)}"
    kept = folder / f"{fingerprint(path)}-{name}-{versions}{shape}"
    kept = kept.with_name(kept.name.replace(".", "_") + engine.suffix)
    if kept.is_file():
        try:
            return engine.read(kept, device=device, threads=threads)
        except ModelError:
            kept.unlink(missing_ok=True)
    check_installed(name, engine.to_write)
    from lstmcli.models.checkpoint import load_checkpoint

    step, metadata = _with_minimal_canvas(load_checkpoint(path), picture_hw)

    def write(target: Path) -> ModelMetadata:
        engine.write(step, metadata, target)
        return metadata

    try:
        folder.mkdir(parents=True, exist_ok=True)
        publish_export(kept, write)
    except OSError:  # no home, no space: converted again next time
        with tempfile.TemporaryDirectory() as elsewhere:
            passing = Path(elsewhere) / f"network{engine.suffix}"
            write(passing)
            return engine.read(passing, device=device, threads=threads)
    prune_cache(folder, engine.suffix)
    return engine.read(kept, device=device, threads=threads)


def shape_suffix(picture_hw: tuple[int, int] | None) -> str:
    """Return the aspect ratio as a suffix of a file's name, "" without one."""
    if picture_hw is None:
        return ""
    shape = Fraction(*picture_hw)
    return f"-{shape.numerator}by{shape.denominator}"


def _with_minimal_canvas(
    checkpoint: Checkpoint, picture_hw: tuple[int, int] | None
) -> tuple[ExportableStep, ModelMetadata]:
    """Return the step with the minimal canvas that keeps the scale of the pictures.

    A multi-scale head is trained at all scales, so its canvas is portrait for portrait pictures,
    which would fill a third of a landscape one.
    """
    from lstmcli.inference.exportable import ExportableStep

    model = checkpoint.model
    if picture_hw is not None:
        letterbox = Letterbox(picture_hw, model.canvas_hw)
        if model.head.all_levels:
            letterbox = letterbox.turned_canvas()
        model.canvas_hw = letterbox.minimal_canvas(model.canvas_multiple).canvas_hw
    return ExportableStep(model), replace(checkpoint.metadata, input_hw=model.canvas_hw)
