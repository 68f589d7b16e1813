"""Names from files cannot move the cursor of a terminal, or forge a line of ours."""

from __future__ import annotations

import pytest

from lstmcli.cli.console import Console
from lstmcli.cli.plain_text import one_line, talk

NASTY = "a\x1b[2J\x1b]0;title\x07\nerror: forged\r\u202eb\x9b31m"


def test_control_characters_are_shown_by_their_numbers() -> None:
    assert one_line(NASTY) == (r"a\x1b[2J\x1b]0;title\x07\nerror: forged\r\u202eb\x9b31m")
    assert one_line("Ä – 日本 🎥") == "Ä – 日本 🎥"  # noqa: RUF001


def test_a_line_of_a_million_letters_is_cut_in_its_middle() -> None:
    line = talk("begin " + "x" * 1_000_000 + " end")
    assert len(line) < 1100
    assert line.startswith("begin x")
    assert line.endswith("x end")
    assert "999,010 letters" in line


def test_whatever_the_console_prints_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    console = Console()
    console.say(NASTY)
    console.warn(NASTY)
    console.error(NASTY, NASTY)
    console.progress.note(NASTY)
    console.result(NASTY)
    console.pairs([("name", NASTY)])
    console.table(("class", "n"), [(NASTY, "1")])
    console.listing(("class", "n"), [(NASTY, NASTY)])
    for _ in console.progress.track([1], label=NASTY):
        pass
    out, err = capfd.readouterr()
    for text in (out, err):
        assert not {"\x1b", "\x07", "\r", "\u202e", "\x9b"} & set(text)
        assert not [line for line in text.splitlines() if line.startswith("error: forged")]
    assert len([line for line in err.splitlines() if line.startswith("error: ")]) == 1
