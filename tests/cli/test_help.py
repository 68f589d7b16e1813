"""Help in panels, from 40 columns on, with names from the tables."""

from __future__ import annotations

from typing import get_args

import pytest
import typer.main

from lstmcli.cli import detect_command, options
from lstmcli.cli.app import app, main
from lstmcli.cli.help import help_text, with_choices
from lstmcli.inference.runtimes import RUNTIMES
from lstmcli.labels.writers import LABEL_WRITERS
from lstmcli.outputs import WRITERS, draw
from lstmcli.workflows.reference import CHOICES

COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def help_of(*arguments: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit):
        main([*arguments, "--help"])
    return capsys.readouterr().out


@pytest.mark.parametrize("columns", [40, 60, 100])
@pytest.mark.parametrize("name", COMMANDS)
def test_help_fits_the_terminal_and_cuts_no_option(
    name: str,
    columns: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    text = help_of(name, capsys=capsys)
    assert max(len(line) for line in text.splitlines()) <= columns
    for parameter in COMMANDS[name].params:
        for flag in (*parameter.opts, *parameter.secondary_opts):
            if flag.startswith("--") and not parameter.hidden:
                assert flag in text


def test_options_of_detect_are_in_panels(capsys: pytest.CaptureFixture[str]) -> None:
    text = help_of("detect", capsys=capsys)
    panels = (options.SOURCE, options.DETECTION, options.OUTPUT, options.DRAWING, options.HARDWARE)
    places = [text.index(f"─ {panel} ─") for panel in panels]
    assert places == sorted(places)


def test_names_in_the_help_come_from_the_tables(capsys: pytest.CaptureFixture[str]) -> None:
    text = " ".join(help_of("detect", capsys=capsys).replace("│", " ").split())
    assert ", ".join(WRITERS) in text
    assert ", ".join(RUNTIMES) in text
    assert ", ".join(LABEL_WRITERS) in help_of("convert", capsys=capsys)


def test_every_placeholder_of_a_help_text_has_a_table() -> None:
    for name in CHOICES:
        assert "{" not in with_choices(f"one of {{{name}}}")
    for command in COMMANDS.values():
        for parameter in command.params:
            assert parameter.help, f"{command.name}: {parameter.name} has no help"
            assert "{" not in help_text(parameter)


def test_styles_and_stamps_are_those_that_are_drawn() -> None:
    assert get_args(detect_command.Style) == get_args(draw.Style)
    assert get_args(detect_command.Timestamp) == get_args(draw.Timestamp)


def test_a_default_is_shown_once(capsys: pytest.CaptureFixture[str]) -> None:
    text = help_of("train", capsys=capsys)
    assert "[default: general]" in text
    assert "None" not in text
