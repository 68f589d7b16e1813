"""Two processes, kills and full disks of some commands; all of them are run by hand."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.fuzz.commands import COMMANDS, HEAVY, make_inputs
from tests.fuzz.kills import kill_many
from tests.fuzz.pairs import pair_many

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="forks"),
]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for module in HEAVY:
        importlib.import_module(module)
    folder = tmp_path_factory.mktemp("inputs")
    make_inputs(folder)
    return folder


@pytest.mark.parametrize("name", COMMANDS)
def test_of_two_processes_one_has_the_result(name: str, inputs: Path) -> None:
    assert sum(pair_many(name, inputs, 2).values()) == 2


@pytest.mark.parametrize("name", COMMANDS)
def test_kills_lose_nothing_and_leave_nothing(name: str, inputs: Path) -> None:
    assert kill_many(name, inputs, 4)["killed"] == 4
