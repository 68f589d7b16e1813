"""The frame of the command line: exit codes, errors, pipes, narrow terminals."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lstmcli import __version__
from lstmcli.cli.app import main
from lstmcli.cli.console import Console, plain_line, time_text
from lstmcli.core.errors import DataError


def run(*arguments: str) -> int:
    """Run the command line in this process and return its exit code."""
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    code = stop.value.code
    return code if isinstance(code, int) else 0


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Make `lstmcli presets` fail with the given error."""

    def arrange(error: BaseException) -> None:
        def fail() -> list[str]:
            raise error

        monkeypatch.setattr("lstmcli.core.config_file.preset_names", fail)

    return arrange


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out == f"lstmcli {__version__}\n"


def test_python_can_run_the_package() -> None:
    asked = [sys.executable, "-m", "lstmcli", "--version"]
    said = subprocess.run(asked, capture_output=True, text=True).stdout
    assert said == f"lstmcli {__version__}\n"


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    run()
    assert "Reference" in "".join(capsys.readouterr())


def test_tiles_without_a_teacher_are_misuse(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("prepare", "--tiles", "2") == 2
    assert "--tiles needs --teacher" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["nonsense"], ["presets", "--nonsense"], ["--nonsense"]])
def test_misuse_exits_two(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "nonsense" in said.err


def test_an_expected_failure_is_two_lines_and_exit_one(
    failing: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    failing(DataError("a.json, line 3: a box of width -1", hint="widths must\nbe positive"))
    assert run("presets") == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "error: a.json, line 3: a box of width -1",
        "hint: widths must be positive",
    ]


def test_a_failure_in_a_loader_process_has_no_traceback(
    failing: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """torch puts the whole traceback of a DataLoader's worker into the message."""
    failing(
        DataError(
            "Caught DataError in DataLoader worker process 0.\nOriginal Traceback (most recent "
            "call last):\n  File x, line 3\nlstmcli.core.errors.DataError: a.jpegs: cut short"
        )
    )
    assert run("presets") == 1
    assert capsys.readouterr().err == "error: a.jpegs: cut short\n"


def test_verbose_shows_where_an_expected_failure_came_from(
    failing: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    failing(DataError("no", hint="yes"))
    assert run("-v", "presets") == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (OSError(28, "No space left on device", "/out/x.pt"), "/out/x.pt: No space left on device"),
        (PermissionError(13, "Permission denied", "/out"), "/out: Permission denied"),
        (MemoryError(), "out of memory"),
        (
            RuntimeError("operator torchvision::nms does not exist"),
            "torch and torchvision do not belong together",
        ),
        (KeyError("weight"), "internal error (please report): KeyError: 'weight' (test_cli.py"),
    ],
)
def test_no_failure_is_shown_as_a_traceback(
    error: BaseException,
    problem: str,
    failing: Callable[[BaseException], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    failing(error)
    assert run("presets") == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"error: {problem}")
    assert lines[1].startswith("hint: ")


def test_interrupted_exits_130(
    failing: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    failing(KeyboardInterrupt())
    assert run("presets") == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_an_interruption_while_the_program_loads_is_quiet() -> None:
    code = (
        "import sys\n"
        "class Interrupts:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'lstmcli.cli.app': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupts())\n"
        "from lstmcli.__main__ import run; run()\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr) == (130, "", "interrupted\n")


def test_a_closed_pipe_is_quiet() -> None:
    """As in `lstmcli presets | true`: the reader is gone before the first line."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    code = "from lstmcli.cli.app import main; main(['--help'])"
    with os.fdopen(write_end, "wb") as pipe:
        result = subprocess.run([sys.executable, "-c", code], stdout=pipe, stderr=subprocess.PIPE)
    assert result.stderr == b""


def test_help_fits_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    assert run("--help") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines
    assert max(map(len, lines)) <= 40


def test_models_lists_runs_with_the_newest_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for age, name in enumerate(("old", "new")):
        (tmp_path / "runs" / name).mkdir(parents=True)
        checkpoint = tmp_path / "runs" / name / "best.pt"
        checkpoint.touch()
        os.utime(checkpoint, (1000 + age, 1000 + age))
    assert run("models") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("runs")] == ["runs/new", "runs/old"]


def test_models_lists_models_available_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("models") == 0
    out = capsys.readouterr().out
    assert "torchvision:fasterrcnn_resnet50_fpn_v2" in out
    assert "BSD-3-Clause" in out
    assert "AGPL" not in out


def test_presets_are_listed_with_their_parts(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("presets") == 0
    assert "demo" in capsys.readouterr().out


def test_a_pipe_gets_plain_lines() -> None:
    assert plain_line("train", 30, 120, 10.0) == "train: 30 of 120 (25 %), 3.0/s, 0:30 left"
    assert plain_line("read", 30, None, 60.0) == "read: 30, 0.50/s"
    assert time_text(3723.4) == "1:02:03"


def test_progress_yields_all_items(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Console().progress
    assert list(progress.track(iter("abc"), total=3, label="x")) == ["a", "b", "c"]
    progress.note("half way")
    said = capsys.readouterr()
    assert said.out == ""
    assert "half way" in said.err


def test_quiet_prints_results_only(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(-1)
    console.say("talk")
    console.progress.note("talk")
    console.result("42")
    said = capsys.readouterr()
    assert (said.out, said.err) == ("42\n", "")


def test_forked_processes_are_silent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Otherwise every line of a training on two processes would come twice."""
    console = Console()
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert list(console.progress.track("ab")) == ["a", "b"]
    console.progress.note("talk")
    assert capsys.readouterr().err == ""


def test_a_forked_process_may_adopt_the_progress(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    console = Console()
    monkeypatch.setattr(os, "getpid", lambda: -1)
    console.progress.adopt()
    console.progress.note("talk")
    assert capsys.readouterr().err == "talk\n"


@pytest.mark.parametrize("words", [["--set", "train.lr=1"], ["--preset", "small"], ["--seed", "1"]])
def test_a_resumed_run_takes_no_other_settings(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("train", "--resume", "runs/none", *words) == 2
    assert "own settings" in capsys.readouterr().err


def test_a_terminal_gets_a_bar_that_goes_away(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "40")
    console = Console()
    assert console.is_live
    name = "a very long name of a video that fits no terminal.mp4"
    for item in console.progress.track([1, 2], label=name):
        console.progress.note(f"item {item}")
    said = capsys.readouterr().err
    assert "item 1" in said
    assert name not in said
    assert "0%" in said
    assert said.rstrip().endswith("\x1b[?25h"), "the cursor is shown again"
