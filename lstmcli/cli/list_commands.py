"""`presets` and `models`: lists for `train --preset` and `--model`."""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path

import typer

from lstmcli.cli.console import Console


def presets(context: typer.Context) -> None:
    """List the presets that `train --preset` takes."""
    from lstmcli.core.config_file import load_config, preset_folder, preset_names

    console: Console = context.obj
    rows: list[tuple[str, str, str]] = []
    for name in preset_names():
        config = load_config(name)
        parts = (config.backbone.name, config.temporal.name, config.head.name)
        rows.append((name, " -> ".join(parts), first_comment(preset_folder() / f"{name}.yaml")))
    console.listing(("preset", "parts", "description"), rows)


def models(context: typer.Context) -> None:
    """List models for `--model`: shipped, trained, in this folder, and available elsewhere."""
    from lstmcli.core.config_file import preset_folder
    from lstmcli.core.model_catalog import KNOWN_MODELS

    console: Console = context.obj
    shipped = sorted((preset_folder() / "models").glob("*.safetensors"))
    runs = sorted(Path("runs").glob("*/best.pt"), key=lambda path: path.stat().st_mtime)
    for path in shipped:
        console.result(f"{path.stem}  shipped with the package")
    for path in reversed(runs):
        console.result(f"{path.parent}")
    for path in sorted(Path().glob("*.onnx")):
        console.result(f"{path}  a file in this folder")
    if not shipped and not runs:
        console.say("no models: `lstmcli train` makes one below runs/")
    console.result("")
    console.listing(
        ("available elsewhere", "source", "licence", "MB", "published AP", "measured here"),
        [
            (
                model.name,
                model.source,
                model.licence,
                "" if model.size_mb is None else f"{model.size_mb:.0f}",
                "" if model.published_ap is None else f"{model.published_ap:.1f}",
                "no" if model.measured_ap is None else f"{model.measured_ap:.3f} (128 pictures)",
            )
            for model in KNOWN_MODELS
        ],
    )


def first_comment(path: Path) -> str:
    """Return the leading comment of a preset without its `#`."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return " ".join(line[1:].strip() for line in takewhile(lambda line: line[:1] == "#", lines))
