"""`settings` and `formats` print the reference from the fields and tables themselves."""

from __future__ import annotations

import pytest

from lstmcli.cli.app import main
from lstmcli.core.config import Config
from lstmcli.core.config_file import load_config
from lstmcli.core.setting_list import find_setting, list_settings
from lstmcli.labels.readers import READERS
from lstmcli.labels.writers import LABEL_WRITERS
from lstmcli.models.temporal import TEMPORAL_CORES


def printed(*arguments: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert not stop.value.code
    return capsys.readouterr().out


def test_every_setting_is_listed_with_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed("settings", capsys=capsys).splitlines()
    listed = [line.split()[0] for line in lines[1:]]
    sections = Config().model_dump()
    sections.pop("name")
    assert listed == [f"{name}.{key}" for name, section in sections.items() for key in section]
    assert next(line for line in lines if line.startswith("train.seed ")).split()[1] == "0"


@pytest.mark.parametrize("setting", list_settings(), ids=lambda setting: setting.key)
def test_the_default_of_a_setting_can_be_typed_as_it_is_shown(setting: object) -> None:
    key, default = setting.key, setting.default  # type: ignore[attr-defined]
    section, _, name = key.partition(".")
    config = load_config("small", [f"{key}={default}"])
    assert getattr(getattr(config, section), name) == getattr(getattr(Config(), section), name)


def test_a_section_alone_lists_its_settings(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed("settings", "neck", capsys=capsys).splitlines()[1:]
    assert lines
    assert all(line.startswith("neck.") for line in lines)


def test_a_setting_that_takes_a_name_shows_the_names_of_its_table(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert ", ".join(TEMPORAL_CORES) in printed("settings", "temporal.name", capsys=capsys)


def test_ranges_are_written_in_words() -> None:
    setting = find_setting("neck.dropout")
    assert setting.limits == "at least 0 and below 1"
    assert setting.kind == "number"


def test_a_key_without_its_section_is_an_error_that_names_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["settings", "dropout"])
    assert stop.value.code == 1
    assert "'neck.dropout'" in capsys.readouterr().err


def test_every_format_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed("formats", capsys=capsys).splitlines()[1:]
    assert {line.split()[0] for line in lines} == {*READERS, *LABEL_WRITERS}
    assert next(line for line in lines if line.startswith("mot ")).split()[1:3] == [
        "read,",
        "write",
    ]


def test_one_format_is_described_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    assert "https://" in printed("formats", "mot", capsys=capsys)


def test_listings_are_blocks_in_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("lstmcli.cli.console.PIPE_WIDTH", 40)
    text = printed("settings", capsys=capsys)
    assert max(map(len, text.splitlines())) <= 40
    assert "\ntrain.lr\n" in text
