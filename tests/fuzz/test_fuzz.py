"""Damaged files of every kind: the work is done, or refused in a sentence. Seconds, fixed seeds."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.fuzz.harness import fuzz

INPUTS = {"labels": 60, "video": 16, "preset": 16, "count": 40, "results": 40, "dataset": 16}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of memory are Linux's")
@pytest.mark.parametrize("kind", INPUTS)
def test_damaged_files_are_refused_in_a_sentence(kind: str) -> None:
    bad = [one for one in fuzz(kind, INPUTS[kind]) if not one.is_good]
    assert not bad, "\n".join(f"#{one.number} {one.name}: {one.what}" for one in bad)
