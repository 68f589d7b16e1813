"""Folders for unfinished work, and those that killed runs left."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from lstmcli.core.scratch import scratch_folder


def test_a_scratch_folder_lies_beside_its_goal_and_goes(tmp_path: Path) -> None:
    with scratch_folder(tmp_path / "out") as folder:
        assert folder.parent == tmp_path
        (folder / "half").write_text("x")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True
    ).stdout.strip()
    left = tmp_path / f".out.{gone}.abc123"
    left.mkdir()
    others = [tmp_path / ".out.notes", tmp_path / f".other.{gone}.abc", tmp_path / ".out.1.abc"]
    for path in others:
        path.mkdir()
    with scratch_folder(tmp_path / "out"):
        assert not left.exists()
        assert all(path.exists() for path in others)
