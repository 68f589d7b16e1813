"""Terminals, services and containers as they are: closed streams, no UTF-8, odd names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PRINT_LETTERS = (
    "from lstmcli.cli.standard_streams import escape_unencodable\n"
    "escape_unencodable()\n"
    "print('größe 蜜蜂 \\udcff')\n"
)


def run(code: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, env=os.environ | environment
    )


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_unencodable_characters_are_escaped(encoding: str) -> None:
    done = run(PRINT_LETTERS, PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    expected = {
        "ascii": b"gr\\xf6\\xdfe \\u871c\\u8702 \\udcff\n",
        "latin-1": b"gr\xf6\xdfe \\u871c\\u8702 \\udcff\n",
        "utf-8": "größe 蜜蜂 ".encode() + b"\xff\n",
    }
    assert done.stdout == expected[encoding]


@pytest.mark.parametrize("redirection", ["<&- >&- 2>&-", ">&-", "2>&-", "<&-"])
def test_closed_streams_are_tolerated(redirection: str, tmp_path: Path) -> None:
    wrote = tmp_path / "wrote"
    code = (
        "from lstmcli.cli.standard_streams import open_closed_streams\n"
        "open_closed_streams()\n"
        "import os, sys\n"
        f"file = open({str(wrote)!r}, 'w')\n"
        "assert file.fileno() > 2\n"
        "print('out'); print('err', file=sys.stderr); os.write(1, b'x'); os.write(2, b'x')\n"
        "file.write('whole'); file.close()\n"
    )
    command = f'"{sys.executable}" -c "$CODE" {redirection}'
    done = subprocess.run(["sh", "-c", command], env=os.environ | {"CODE": code})
    assert done.returncode == 0
    assert wrote.read_text() == "whole"


FULL = Path("/dev/full")
LABELS = {
    "images": [{"id": 1, "file_name": "a.jpg", "width": 8, "height": 8}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 2, 2]}],
    "categories": [{"id": 1, "name": "bird"}],
}


@pytest.mark.skipif(not FULL.is_char_device(), reason="a device that is full")
@pytest.mark.parametrize(
    ("redirection", "again", "code"),
    [
        ("2>/dev/full", "", 0),  # the work is done, and its results are printed
        ("2>/dev/full", "--bad", 2),
        ("2>/dev/full", "--out labels.json", 1),
        (">/dev/full", "", 1),  # the results were not printed
        (">/dev/full 2>/dev/full", "", 1),
    ],
)
def test_the_exit_code_is_of_the_work_and_its_results(
    redirection: str, again: str, code: int, tmp_path: Path
) -> None:
    (tmp_path / "labels.json").write_text(json.dumps(LABELS))
    command = f'"{sys.executable}" -m lstmcli convert labels.json --to coco --out out.json {again}'
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        ["sh", "-c", f"{command} {redirection}"], cwd=tmp_path, env=environment, capture_output=True
    )
    assert done.returncode == code
    assert (tmp_path / "out.json").is_file() == (not again)
    if redirection == ">/dev/full":
        assert b"error: standard output: cannot be written: No space left" in done.stderr


def test_an_ascii_locale_still_names_every_file(tmp_path: Path) -> None:
    (tmp_path / "Grünfläche 🐝").mkdir()
    environment = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    code = (
        "import sys\n"
        "from lstmcli.cli.standard_streams import use_utf8_file_names\n"
        "use_utf8_file_names()\n"
        "from pathlib import Path\n"
        f"print(sys.getfilesystemencoding(), [p.name for p in Path({str(tmp_path)!r}).iterdir()])\n"
    )
    done = run(code, **environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode() == "utf-8 ['Grünfläche 🐝']\n"


def test_a_file_named_like_an_option_has_a_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from lstmcli.cli.app import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "-cam.mp4").touch()
    with pytest.raises(SystemExit) as stop:
        main(["detect", "-cam.mp4"])
    assert stop.value.code == 2
    assert "hint: -cam.mp4 is a file: write ./-cam.mp4" in capsys.readouterr().err
