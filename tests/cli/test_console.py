"""Tables of results survive 80 classes and 40 columns."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any

import pytest

from lstmcli.cli.console import Console
from lstmcli.cli.evaluate_command import show_evaluation
from lstmcli.cli.prepare_command import show_prepared

CLASSES = tuple(f"class number {number}" for number in range(80))


def narrow(columns: int, monkeypatch: pytest.MonkeyPatch) -> Console:
    monkeypatch.setattr("lstmcli.cli.console.PIPE_WIDTH", columns)
    return Console()


def test_a_table_that_fits_is_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    Console().table(("class", "AP50"), [("bird", "0.500")])
    assert capsys.readouterr().out.split() == ["class", "AP50", "bird", "0.500"]


def test_a_table_that_is_too_wide_is_a_block_a_row(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    console = narrow(20, monkeypatch)
    console.table(("class", "precision", "recall"), [("bird", "0.500", "0.250")])
    assert capsys.readouterr().out.splitlines() == [
        "bird",
        "  precision  0.500",
        "  recall     0.250",
    ]


@pytest.mark.parametrize("columns", [40, 200])
def test_eighty_classes_of_a_dataset_are_rows(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    counts: Any = types.SimpleNamespace(
        split="train",
        videos=3,
        frames=90,
        labelled=90,
        boxes=dict.fromkeys(CLASSES, 123456),
        ignored=0,
        median_side=31.4,
    )
    dataset = types.SimpleNamespace(
        classes=CLASSES, canvas_hw=(512, 640), grid=8, crop=192, folder=Path("dataset")
    )
    prepared: Any = types.SimpleNamespace(
        dataset=dataset, counts=[counts], previews=[], warnings=[], division=""
    )
    show_prepared(narrow(columns, monkeypatch), prepared)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns
    assert sum(line.startswith("class number") for line in lines) == 80
    assert sum("123456" in line for line in lines) == 80


@pytest.mark.parametrize("columns", [40, 80])
def test_eighty_classes_of_an_evaluation_are_rows(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"boxes": 3, **dict.fromkeys(("ap50", "ap", "precision", "recall", "f1"), 0.5)}
    scores = {
        **dict.fromkeys(("map50", "map50_any_class", "map", "ar", "precision", "recall"), 0.5),
        "f1": 0.5,
        "per_class": dict.fromkeys(CLASSES, row),
        "stability": None,
        "calibration": {"error": None},
        "speed": {"ms_per_frame": 5.0, "engine": "torch", "device": "cpu"},
        "split": "val",
        "videos": 1,
        "frames": 2,
        "threshold": 0.3,
        "pipeline": {"tracker": False, "memory": False},
    }
    evaluation: Any = types.SimpleNamespace(as_json=lambda: scores)
    show_evaluation(narrow(columns, monkeypatch), evaluation)
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("class number") for line in lines) == 80
    assert max(map(len, lines)) <= max(columns, 44)
