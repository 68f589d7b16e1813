"""Where trained models are: files, runs, and those that ship with the package. Without torch."""

from __future__ import annotations

from pathlib import Path

from lstmcli.core.config import preset_folder
from lstmcli.core.errors import ModelError, near_name


def shipped_models() -> dict[str, Path]:
    """Return the models that ship with the package, by name."""
    return {path.stem: path for path in sorted((preset_folder() / "models").glob("*.safetensors"))}


def find_checkpoint(model: Path | str) -> Path:
    """Return the file meant by a path, a run folder or the name of a shipped model.

    Raises:
        ModelError: there is no such file, run or model.
    """
    path = Path(model)
    if path.is_dir():
        for name in ("best.pt", "last.pt"):
            if (path / name).is_file():
                return path / name
        if str(model) not in shipped_models():  # a folder `sky` of footage does not hide the model
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
