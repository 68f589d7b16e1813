"""Files are complete or not there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lstmcli.core.errors import OutputError
from lstmcli.core.files import atomic_write, write_json


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_appears_when_it_is_complete(durable: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    with atomic_write(path, durable=durable) as temporary:
        assert temporary.suffix == ".xml"  # some libraries go by the suffix
        temporary.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.xml"]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="half way"), atomic_write(path) as temporary:  # noqa: PT012
        temporary.write_text("new")
        raise RuntimeError("half way")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


def test_what_the_system_says_is_an_error_of_the_output(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No such file"):
        write_json(tmp_path / "absent" / "a.json", {})


def test_json_has_no_nan(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"ä": 1.5})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"ä": 1.5}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "b.json", {"map": float("nan")})
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]
