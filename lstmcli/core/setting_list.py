"""Every configuration key with type, default, range and meaning, from the pydantic fields."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from lstmcli.core.config import Config
from lstmcli.core.errors import ConfigError, near_name

SIGNS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


@dataclass(frozen=True, slots=True)
class Setting:
    """A configuration key.

    Args:
        key: as `--set` takes it, `section.key`.
        kind: of the value: `number`, `whole number`, `true or false`, `name` or the allowed names.
        default: before a preset changes it, as YAML has it.
        limits: the allowed range; "" where there is none.
        meaning: what it does, with its unit.
        section: what its section is for.
    """

    key: str
    kind: str
    default: str
    limits: str
    meaning: str
    section: str


def list_settings() -> list[Setting]:
    """Return all settings in the order of the configuration."""
    return list(_settings(Config(), ""))


def find_setting(key: str) -> Setting:
    """Return one setting.

    Raises:
        ConfigError: there is no such key; the hint holds the nearest one.
    """
    settings = {setting.key: setting for setting in list_settings()}
    if key not in settings:
        ends = [name for name in settings if name.endswith(f".{key}")]
        hint = f"did you mean {ends[0]!r}?" if ends else near_name(key, settings)
        raise ConfigError(f"there is no setting {key!r}", hint=hint)
    return settings[key]


def settings_in(section: str) -> list[Setting]:
    """Return the settings of a section such as `train`; empty where there is no such section."""
    return [one for one in list_settings() if one.key.startswith(f"{section}.")]


def _settings(section: BaseModel, prefix: str) -> Iterator[Setting]:
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            yield from _settings(value, f"{prefix}{name}.")
        elif prefix:  # the name of the whole configuration is the preset's, not a setting
            yield Setting(
                prefix + name,
                kind_of(field.annotation),
                yaml_text(value),
                limits_of(field),
                field.description or "",
                " ".join((type(section).__doc__ or "").split()),
            )


def kind_of(annotation: Any) -> str:
    """Return the type of a value in words."""
    if get_origin(annotation) is typing.Annotated:
        return kind_of(get_args(annotation)[0])
    if get_origin(annotation) is Literal:
        return " | ".join(str(value) for value in get_args(annotation))
    if get_origin(annotation) in (types.UnionType, typing.Union):
        return " | ".join(kind_of(part) for part in get_args(annotation))
    if get_origin(annotation) is tuple:
        return f"[{', '.join(kind_of(part) for part in get_args(annotation))}]"
    kinds = {bool: "true | false", int: "whole number", float: "number", str: "text"}
    return kinds.get(annotation, getattr(annotation, "__name__", str(annotation)))


def limits_of(field: FieldInfo) -> str:
    """Return the allowed range in words: `at least 0 and below 1`."""
    return " and ".join(
        f"{text} {getattr(rule, sign):g}"
        for rule in field.metadata
        for sign, text in SIGNS.items()
        if getattr(rule, sign, None) is not None
    )


def yaml_text(value: Any) -> str:
    """Return a value as a preset writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return f"[{', '.join(yaml_text(part) for part in value)}]"
    return str(value)
