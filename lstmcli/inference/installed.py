"""What is installed of the engines' libraries. Nothing is imported."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from lstmcli.core.errors import ConfigError
from lstmcli.inference.runtimes import RUNTIMES


def is_installed(name: str) -> bool:
    """Return whether what an engine needs to run is installed."""
    return all(find_spec(module) is not None for module in RUNTIMES[name].to_run)


def check_installed(name: str, modules: tuple[str, ...]) -> None:
    """Refuse an engine that lacks modules.

    Args:
        name: of the engine.
        modules: that it needs for what is wanted.

    Raises:
        ConfigError: one is not installed.
    """
    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise ConfigError(
            f"{name}: {' and '.join(missing)} is not installed here",
            hint=f"pip install 'lstmcli[{name}]'",
        )


def version_of(name: str) -> str:
    """Return the version of an engine, or of this program."""
    try:
        return version("onnxruntime" if name == "onnx" else name)
    except PackageNotFoundError:
        return "unknown"
