"""Paths of trained models: files, runs, shipped models. Without torch."""

from __future__ import annotations

from pathlib import Path

from lstmcli.core.config_file import preset_folder
from lstmcli.core.errors import ModelError, near_name


def shipped_models() -> dict[str, Path]:
    """Return the models that ship with the package, by name."""
    return {path.stem: path for path in sorted((preset_folder() / "models").glob("*.safetensors"))}


def find_checkpoint(model: Path | str) -> Path:
    """Resolve a path, a run folder or the name of a shipped model to a file.

    Raises:
        ModelError: there is no such file, run or model.
    """
    path = Path(model)
    if path.is_dir():
        for name in ("best.pt", "last.pt"):
            if (path / name).is_file():
                return path / name
        if (
            str(model) not in shipped_models()
        ):  # a folder `sky` of footage does not shadow the model
            raise ModelError(
                f"{path}: no best.pt in this folder", hint="give a run of `lstmcli train`"
            )
    if path.is_file():
        return path
    shipped = shipped_models()
    if str(model) in shipped:
        return shipped[str(model)]
    raise ModelError(
        f"{path}: there is no such checkpoint, run or shipped model",
        hint=near_name(str(model), shipped) if shipped else "train one with `lstmcli train`",
    )


MODEL_SUFFIXES = frozenset({".pt", ".pt2", ".lstmcli", ".safetensors", ".onnx", ".xml", ".bin"})
"""Endings of files that hold a network."""
LIBRARIES = frozenset({"torchvision", "transformers"})
"""Prefixes of models of a library, as `torchvision:NAME`."""


def looks_like_model(name: str) -> bool:
    """Return whether an argument names a model, by its form and by the file there.

    A run folder, a file of a network, a shipped model's name, a library's (`torchvision:NAME`),
    or several of them with commas between; a folder of footage or labels is none.
    """
    path = Path(name)
    if path.is_dir():
        entries = {entry.name for entry in path.iterdir()}
        networks = any(Path(entry).suffix in {".onnx", ".xml", ".lstmcli"} for entry in entries)
        return bool(entries & {"best.pt", "last.pt"}) or (
            networks and "dataset.json" not in entries
        )
    if path.is_file():
        return path.suffix in MODEL_SUFFIXES and not _is_labels(path)
    if "," in name:
        return all(looks_like_model(part.strip()) for part in name.split(","))
    return name in shipped_models() or name.split(":")[0] in LIBRARIES


def _is_labels(path: Path) -> bool:
    """Return whether an XML file is one of labels: an OpenVINO network has a `.bin` next to it."""
    return path.suffix == ".xml" and not path.with_suffix(".bin").is_file()
