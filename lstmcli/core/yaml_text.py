"""YAML in and out, with two traps of YAML 1.1 mended. The only place that knows yaml."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from lstmcli.core.errors import ConfigError
from lstmcli.core.limits import check_limit

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc]
    """YAML 1.1, two traps mended: `1e-3` is a number; `off`, `no`, `on`, `yes` are text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, rule) for tag, rule in rules if tag != "tag:yaml.org,2002:bool"]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)


def parse_yaml(text: str, source: str) -> Any:
    """Return what a YAML text holds; `source` names it in the error.

    Raises:
        ConfigError: the text is not YAML.
    """
    check_limit("yaml_bytes", len(text), source, error=ConfigError)
    try:
        _check_structure(text, source)
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        last = text.count("\n") + 1  # libyaml counts a line behind the end
        line = f", line {min(mark.line + 1, last)}" if mark else ""
        problem = getattr(error, "problem", None) or "not YAML"
        raise ConfigError(f"{source}{line}: {problem}", hint="check the indentation") from None
    except ValueError as error:  # a date or number in YAML's own notation that is none
        raise ConfigError(f"{source}: {error}", hint="put quotes around texts") from None


def read_yaml(path: Path) -> Any:
    """Return what a YAML file holds.

    Raises:
        ConfigError: it cannot be read, is too large, or is not YAML.
    """
    try:
        check_limit("yaml_bytes", path.stat().st_size, str(path), error=ConfigError)
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8 text", hint="save the file as UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", hint="check the path") from None
    return parse_yaml(text, str(path))


def _check_structure(text: str, source: str) -> None:
    """Refuse aliases and nesting that would fill memory or stack when the values are made."""
    depth = aliases = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            check_limit("nesting", depth, source, error=ConfigError)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.AliasEvent):
            aliases += 1
            check_limit("aliases", aliases, source, error=ConfigError)


def dump_yaml(value: Any) -> str:
    """Return plain YAML in the given order of keys."""
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
