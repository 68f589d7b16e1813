"""Configurations from presets, files and `--set`, checked, with the nearest name in errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import (
    BaseModel,
    ValidationError,
)

from lstmcli.core.config import Config
from lstmcli.core.errors import ConfigError, near_name
from lstmcli.core.renamed_settings import upgrade_key, upgrade_settings
from lstmcli.core.yaml_text import parse_yaml


def preset_folder() -> Path:
    """Return the folder of the shipped presets, in a wheel or in an editable install."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "presets"
    return inside if inside.is_dir() else package.parent / "presets"


def preset_names() -> list[str]:
    """Return the names of the shipped presets."""
    return sorted(path.stem for path in preset_folder().glob("*.yaml"))


def load_config(
    preset: str | Path,
    settings: Sequence[str] = (),
    *,
    note: Callable[[str], None] | None = None,
) -> Config:
    """Return the configuration of a preset with `section.key=value` settings laid over it.

    Args:
        preset: the name of a shipped preset or the path of a YAML file.
        settings: texts such as `train.lr=1e-3` or `temporal=none`.
        note: called with a line for every setting that goes by an old name.

    Raises:
        ConfigError: no such preset, a key that does not exist, a value of the wrong type.
    """
    path = Path(preset)
    if path.suffix not in {".yaml", ".yml"}:
        path = preset_folder() / f"{preset}.yaml"
        if not path.is_file():
            raise ConfigError(
                f"there is no preset named {str(preset)!r}",
                hint=near_name(str(preset), preset_names()),
            )
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{path}: {error.strerror}", hint="give a YAML file or a preset's name"
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not a text file", hint="give a YAML file in UTF-8") from None
    values = parse_yaml(text, str(path)) or {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: a list or text", hint="write sections with keys and values")
    values.pop("run", None)  # a run's config.yaml also holds its data and its machine
    values.setdefault("name", path.stem)
    values, renamed = upgrade_settings(values, str(path))
    for setting in settings:
        renamed |= _lay_over(values, setting)
    for old, new in renamed.items():
        if note is not None:
            note(f"the setting {old} is called {new} now; the old name goes with the next release")
    return config_from(values, str(path))


def config_from(values: Mapping[str, Any], source: str) -> Config:
    """Return the checked configuration; settings of earlier releases are renamed.

    Raises:
        ConfigError: an unknown key (with the nearest one) or a value of the wrong type.
    """
    try:
        return Config.model_validate(upgrade_settings(values, source)[0])
    except ValidationError as error:
        first = error.errors()[0]
        where = [str(part) for part in first["loc"]]
        key = ".".join(where[: _depth(where)])
        if first["type"] == "extra_forbidden":
            raise ConfigError(
                f"{source}: there is no setting {'.'.join(where)!r}",
                hint=near_name(where[-1], _sibling_keys(where)),
            ) from None
        raise ConfigError(
            f"{source}: {key} is {str(first['input'])[:80]!r}",
            hint=_rule(error, first["loc"]),
        ) from None


def _rule(error: ValidationError, location: tuple[int | str, ...]) -> str:
    """Return what is allowed; where there are several types, all of them."""
    failures = [one for one in error.errors() if one["loc"][:2] == location[:2]]
    texts = [one["msg"].removeprefix("Value error, ") for one in failures]
    return ", or ".join(dict.fromkeys(text[:1].lower() + text[1:] for text in texts))


def _depth(where: Sequence[str]) -> int:
    """Return how many parts of a location are names of settings; the rest names a type of value."""
    fields = Config.model_fields
    for depth, part in enumerate(where):
        if part not in fields:
            return max(1, depth) if fields else depth
        annotation = fields[part].annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            fields = annotation.model_fields
        else:
            fields = {}
    return len(where)


def _sibling_keys(where: Sequence[str]) -> list[str]:
    fields = Config.model_fields
    for part in where[:-1]:
        annotation = fields[part].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        fields = annotation.model_fields
    return list(fields)


def _lay_over(values: dict[str, Any], setting: str) -> dict[str, str]:
    """Apply `section.key=value` in place; return the old names in it with their new ones."""
    key, equals, text = setting.partition("=")
    key = key.strip()
    renamed = {key: upgrade_key(key)} if upgrade_key(key) != key else {}
    parts = upgrade_key(key).split(".")
    if not equals or not all(parts):
        raise ConfigError(
            f"--set {setting!r} is not a setting", hint="write section.key=value, as train.lr=1e-3"
        )
    for part in parts[:-1]:
        inner = values.get(part)
        if isinstance(inner, str):
            inner = {"name": inner}
        if inner is None:
            inner = {}
        if not isinstance(inner, dict):
            raise ConfigError(f"--set {setting!r}: {part!r} is no section", hint="see presets/")
        values[part] = inner
        values = inner
    value = parse_yaml(text, f"--set {key}")
    if len(parts) == 1:  # a whole section, as `temporal={name: lstm, pool: 2}`
        upgraded, inside = upgrade_settings({key: value}, f"--set {key}")
        value = upgraded[key]
        renamed |= inside
    old = values.get(parts[-1])
    if isinstance(old, dict) and isinstance(value, str):
        values[parts[-1]] = old | {"name": value}
    else:
        values[parts[-1]] = value
    return renamed
