"""The README cannot lag behind: its tables are made from the program, its commands are run.

`python tests/cli/test_docs.py` writes the tables of options and settings anew.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest
import typer.main
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from lstmcli.cli.app import app
from lstmcli.cli.help import with_choices
from lstmcli.cli.list_commands import first_comment
from lstmcli.core.config import (
    Config,
    load_config,
    preset_folder,
    preset_names,
)
from lstmcli.labels.readers import READERS
from lstmcli.models.backbones import BACKBONES
from lstmcli.models.heads import HEADS
from lstmcli.models.temporal import TEMPORAL_CORES
from lstmcli.training.optim import OPTIMIZERS, SCHEDULES

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
MARK = re.compile(
    r"<!-- (options|settings|presets|formats): ?(\w*) -->\n(.*?)<!-- /\1 -->", re.DOTALL
)
GROUP = typer.main.get_command(app)
TABLES = {
    "backbone.name": BACKBONES,
    "temporal.name": TEMPORAL_CORES,
    "head.name": HEADS,
    "train.optimizer": OPTIMIZERS,
    "train.schedule": SCHEDULES,
}
COMMANDS = sorted(GROUP.commands)  # type: ignore[attr-defined]


def cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def options_table(name: str) -> str:
    """Return the Markdown table of a command's arguments and options."""
    lines = ["| option | what it does |", "|---|---|"]
    for option in GROUP.commands[name].params:  # type: ignore[attr-defined]
        if option.name == "help":
            continue
        flags = [*option.opts, *option.secondary_opts]
        metavar = option.metavar or ""
        shown = (
            f"`{metavar or option.name.upper()}`"
            if option.param_type_name == "argument"
            else ", ".join(f"`{flag}`" for flag in flags)
        )
        if metavar and option.param_type_name != "argument":
            shown = ", ".join(f"`{flag} {metavar}`" for flag in flags)
        default = option.default
        said = "" if default is None or isinstance(default, bool) else f" Default: `{default}`."
        lines.append(f"| {cell(shown)} | {cell(with_choices(option.help or '') + said)} |")
    return "\n".join(lines) + "\n"


def settings(
    model: type[BaseModel] = Config, prefix: str = ""
) -> Iterator[tuple[str, FieldInfo, BaseModel]]:
    """Yield the dotted name, the field and its section of every setting."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from settings(kind, f"{prefix}{name}.")
        else:
            yield prefix + name, field, model()  # type: ignore[misc]


def allowed(name: str, field: FieldInfo) -> str:
    """Return the names or the range that a setting may have."""
    if name in TABLES:
        return "one of " + ", ".join(f"`{key}`" for key in TABLES[name])
    if get_origin(field.annotation) is Literal:
        return "one of " + ", ".join(f"`{key}`" for key in get_args(field.annotation))
    signs = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    limits = [
        f"{text} {getattr(rule, sign):g}"
        for rule in field.metadata
        for sign, text in signs.items()
        if hasattr(rule, sign)
    ]
    return " and ".join(limits)


def settings_table() -> str:
    """Return the Markdown table of all settings."""
    lines = ["| setting | default | what it does |", "|---|---|---|"]
    for name, field, section in settings():
        if name == "name":
            continue
        default = getattr(section, name.rpartition(".")[2])
        told = "; ".join(part for part in (field.description, allowed(name, field)) if part)
        lines.append(f"| `{name}` | `{default}` | {cell(told)} |")
    return "\n".join(lines) + "\n"


def presets_table() -> str:
    """Return the Markdown table of the shipped presets."""
    lines = ["| preset | parts | what it is |", "|---|---|---|"]
    for name in preset_names():
        config = load_config(name)
        parts = " -> ".join((config.backbone.name, config.temporal.name, config.head.name))
        told = first_comment(preset_folder() / f"{name}.yaml")
        lines.append(f"| `{name}` | {cell(parts)} | {cell(told)} |")
    return "\n".join(lines) + "\n"


def formats_table() -> str:
    """Return the Markdown table of the label formats that are read."""
    lines = ["| `--format` | what it is |", "|---|---|"]
    for name, reader in READERS.items():
        told = (reader.__doc__ or "").partition("\n\n")[0]
        lines.append(f"| `{name}` | {cell(told)} |")
    return "\n".join(lines) + "\n"


def filled(text: str) -> str:
    """Return the README with its tables made anew."""

    def anew(match: re.Match[str]) -> str:
        kind, name = match[1], match[2]
        tables = {
            "settings": settings_table,
            "presets": presets_table,
            "formats": formats_table,
        }
        table = tables.get(kind)
        body = table() if table is not None else options_table(name)
        return f"<!-- {kind}: {name} -->\n{body}<!-- /{kind} -->".replace(":  -->", ": -->")

    return MARK.sub(anew, text)


def test_the_tables_of_the_readme_are_what_the_program_says() -> None:
    text = README.read_text(encoding="utf-8")
    assert text == filled(text), "run: python tests/cli/test_docs.py"


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_a_section_and_its_options_are_told(name: str) -> None:
    text = README.read_text(encoding="utf-8")
    assert f"`lstmcli {name}" in text
    for option in GROUP.commands[name].params:  # type: ignore[attr-defined]
        assert option.help, f"{name}: {option.name} has no help"
        for flag in option.opts:
            if flag.startswith("--"):
                assert f"`{flag}" in text, f"{name} {flag}"


@pytest.mark.parametrize("name", [name for name, _, _ in settings() if name != "name"])
def test_each_setting_is_told(name: str) -> None:
    assert f"`{name}`" in README.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", preset_names())
def test_each_preset_can_be_loaded_and_is_told(name: str) -> None:
    assert load_config(name).name == name
    assert f"`{name}`" in README.read_text(encoding="utf-8")


def test_the_readme_names_no_command_or_option_that_is_not_there() -> None:
    text = README.read_text(encoding="utf-8")
    known = {
        flag
        for name in COMMANDS
        for option in GROUP.commands[name].params  # type: ignore[attr-defined]
        for flag in (*option.opts, *option.secondary_opts)
    } | {"--help", "--version", "--verbose", "--quiet", "--no-track"}
    for command in re.findall(r"^lstmcli (?:-\w )?(\w+)", text, re.MULTILINE):
        assert command in COMMANDS, command
    for block in re.findall(r"^lstmcli .*$", text, re.MULTILINE):
        for flag in re.findall(r"(?<!\S)--[a-z-]+", block):
            assert flag in known, f"{flag} in: {block}"


def test_both_commands_that_set_everything_up_are_in_the_readme() -> None:
    text = README.read_text(encoding="utf-8")
    tests = re.search(r"<!-- tests:.*?-->\n```bash\n(.*?)\n```", text, re.DOTALL)
    assert tests
    for part in ("pip install -e", "ruff check", "mypy --strict lstmcli", "pytest"):
        assert part in tests[1]
    demo = re.search(r"<!-- demo:.*?-->\n```bash\n(.*?)\n```", text, re.DOTALL)
    assert demo
    assert "pip install" in demo[1]


def test_the_readmes_test_command_installs_extras_that_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = re.findall(r"\.\[([\w,]+)\]", README.read_text(encoding="utf-8"))
    assert named
    for extras in named:
        assert set(extras.split(",")) <= set(project["optional-dependencies"])


if __name__ == "__main__":
    README.write_text(filled(README.read_text(encoding="utf-8")), encoding="utf-8")
