"""What a person reads is in the words of the field, not in the dialect that the code once had."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer.main

from lstmcli.cli.app import app
from lstmcli.cli.help import help_text
from lstmcli.core.renamed_settings import RENAMED_SETTINGS
from lstmcli.core.setting_list import list_settings
from lstmcli.workflows.reference import list_formats

ROOT = Path(__file__).resolve().parents[2]
DIALECT = {
    r"\btold\b": "calibrated, given, reported",
    r"\btells\b": "shows, measures, reports",
    r"\blook(s|ed) at\b": "process, run on, annotated",
    r"\bnobody\b|\bsomebody\b|\bwhoever\b": "unannotated, a noun",
    r"(?<!ground )\btruth\b": "ground truth",
    r"\bdoubts?\b": "temperature, uncertainty",
    r"\bsteady\b|\bsteadies\b": "smooth, stable",
    r"\bsureness\b|\bhow sure\b": "objectness, score",
    r"\banswer(s|ed)\b": "detections, outputs",
    r"\bis asked\b|\bwas asked\b": "is used",
    r"\bremember(s|ed)?\b": "carries state, track memory",
    r"\bforgets?\b(?! gate)": "reset",
    r"\bso (often|long|many)\b": "every TIME, at most N",
    r"\bgoes on\b|\bgo on\b": "continue",
    r"\bat the (least|most)\b": "at least, at most",
    r"a mistake in lstmcli": "internal error (please report)",
    r"\blane\b": "stream slot",
}
"""Left-hand words of the vocabulary that people met, with what to write instead."""


def texts() -> dict[str, str]:
    """Return everything that a person reads before anything runs, by where it stands."""
    group = typer.main.get_command(app)
    found = {"README.md": (ROOT / "README.md").read_text(encoding="utf-8")}
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    found["CHANGELOG.md"] = re.sub(r"### Upgrading.*?(?=\n## |\Z)", "", changelog, flags=re.S)
    found["presets/README.md"] = (ROOT / "presets" / "README.md").read_text(encoding="utf-8")
    for command in group.commands.values():  # type: ignore[attr-defined]
        lines = [command.help or "", *(help_text(parameter) for parameter in command.params)]
        found[f"{command.name} --help"] = "\n".join(lines)
    found["settings"] = "\n".join(f"{one.meaning}; {one.section}" for one in list_settings())
    found["formats"] = "\n".join(one.meaning.partition("\n\n")[0] for one in list_formats())
    return found


TEXTS = texts()


@pytest.mark.parametrize("place", TEXTS)
def test_texts_use_the_vocabulary(place: str) -> None:
    found = [
        f"{line.strip()!r}: write {better}"
        for line in TEXTS[place].splitlines()
        for pattern, better in DIALECT.items()
        if re.search(pattern, line, re.IGNORECASE)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("place", ["README.md", "CHANGELOG.md", "presets/README.md"])
def test_settings_are_named_as_they_are_now(place: str) -> None:
    for old in RENAMED_SETTINGS:
        assert not re.search(rf"\b{re.escape(old)}\b(?!_)", TEXTS[place]), old
