"""Damaged files of every kind: the work is done, or refused in a sentence. Seconds, fixed seeds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

INPUTS = {"labels": 60, "video": 16, "preset": 16, "count": 40, "results": 40, "dataset": 16}
ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of memory are Linux's")
@pytest.mark.parametrize("kind", INPUTS)
def test_damaged_files_are_refused_in_a_sentence(kind: str) -> None:
    # in a process of its own: its children are forked, and a fork of the threads that torch and
    # OpenVINO run in the tests before it can crash
    command = [sys.executable, "-m", "tests.fuzz", "--kinds", kind, "--inputs", str(INPUTS[kind])]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{kind} " in done.stdout
