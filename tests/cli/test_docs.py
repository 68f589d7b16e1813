"""README, CHANGELOG and presets/README cannot lag behind: commands parse, tables are made.

`python tests/cli/test_docs.py` fills their tables anew.
"""

from __future__ import annotations

import csv
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from lstmcli.cli.app import app
from lstmcli.cli.list_commands import first_comment
from lstmcli.core.config_file import load_config, preset_folder, preset_names
from lstmcli.core.renamed_settings import RENAMED_SETTINGS

ROOT = Path(__file__).resolve().parents[2]
README, CHANGELOG = ROOT / "README.md", ROOT / "CHANGELOG.md"
PRESETS = ROOT / "presets" / "README.md"
RESULTS = ROOT / "presets" / "results.csv"
"""Measured numbers of the README: a row for a domain and model; an empty cell is not measured."""

MARK = re.compile(r"(<!-- (results|presets|renamed):.*?-->\n).*?(<!-- /\2 -->)", re.DOTALL)
GROUP: Any = typer.main.get_command(app)
COMMANDS = sorted(GROUP.commands)


def table(header: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [header, ("---",) * len(header), *rows]
    return "".join(f"| {' | '.join(' '.join(cell.split()) for cell in row)} |\n" for row in lines)


def results_table() -> str:
    with RESULTS.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    return table(tuple(header), (tuple(cell or "not measured yet" for cell in r) for r in rows))


def presets_table() -> str:
    def rows() -> Iterator[tuple[str, ...]]:
        for name in preset_names():
            config = load_config(name)
            parts = " -> ".join((config.backbone.name, config.temporal.name, config.head.name))
            yield f"`{name}`", parts, first_comment(preset_folder() / f"{name}.yaml")

    return table(("preset", "parts", "description"), rows())


def renamed_table() -> str:
    return table(
        ("old setting", "new setting"),
        ((f"`{old}`", f"`{new}`") for old, new in RENAMED_SETTINGS.items()),
    )


TABLES = {"results": results_table, "presets": presets_table, "renamed": renamed_table}


def filled(text: str) -> str:
    """Return a document with its tables made anew."""
    return MARK.sub(lambda match: match[1] + TABLES[match[2]]() + match[3], text)


def commands_of(text: str) -> list[str]:
    """Return the lstmcli commands of all code blocks and of inline code, without comments."""
    blocks = re.findall(
        r"^lstmcli .*$", "\n".join(re.findall(r"```bash\n(.*?)```", text, re.S)), re.M
    )
    inline = [one for one in re.findall(r"`(lstmcli [^`]*)`", text) if "COMMAND" not in one]
    return [one.partition("#")[0].strip() for one in (*blocks, *inline)]


README_COMMANDS = commands_of(README.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", [README, CHANGELOG, PRESETS], ids=lambda path: path.name)
def test_tables_are_those_of_the_program_and_the_measurements(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert MARK.search(text)
    assert text == filled(text), "run: python tests/cli/test_docs.py"


def test_the_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 200


@pytest.mark.parametrize("command", README_COMMANDS)
def test_every_command_of_the_readme_parses(command: str) -> None:
    """The parser refuses an unknown command, option, choice or value; nothing is run."""
    _, *words = shlex.split(command.replace(" ...", ""))
    if not words or words[0].startswith("-"):
        assert set(words) <= {"--help", "--version"}
        return
    name, *arguments = words
    assert name in COMMANDS
    if arguments and "--help" not in arguments:
        GROUP.commands[name].make_context(name, arguments)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_the_readme(name: str) -> None:
    assert any(command.split()[1:2] == [name] for command in README_COMMANDS)


def test_the_commands_of_the_presets_readme_parse() -> None:
    for command in commands_of(PRESETS.read_text(encoding="utf-8")):
        assert command.split()[1] in COMMANDS


@pytest.mark.parametrize("path", [README, CHANGELOG, PRESETS], ids=lambda path: path.name)
def test_links_resolve(path: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)", path.read_text(encoding="utf-8"))
    for link in links:
        if not link.startswith("http"):
            assert (path.parent / link).exists(), link


def test_the_picture_is_small() -> None:
    (picture,) = re.findall(r"!\[.*?\]\((.*?)\)", README.read_text(encoding="utf-8"))
    assert (ROOT / picture).stat().st_size < 150_000


def test_both_commands_that_set_everything_up_are_in_the_readme() -> None:
    text = README.read_text(encoding="utf-8")
    tests = re.search(r"<!-- tests:.*?-->\n```bash\n(.*?)\n```", text, re.DOTALL)
    assert tests
    for part in ("pip install -e", "ruff check", "mypy --strict lstmcli", "pytest"):
        assert part in tests[1]
    demo = re.search(r"<!-- demo:.*?-->\n```bash\n(.*?)\n```", text, re.DOTALL)
    assert demo
    assert "pip install" in demo[1]
    assert "lstmcli demo" in demo[1]


def test_the_test_command_installs_extras_that_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = re.findall(r"\.\[([\w,]+)\]", README.read_text(encoding="utf-8"))
    assert named
    for extras in named:
        assert set(extras.split(",")) <= set(project["optional-dependencies"])


if __name__ == "__main__":
    for document in (README, CHANGELOG, PRESETS):
        document.write_text(filled(document.read_text(encoding="utf-8")), encoding="utf-8")
