"""train: the same result whoever interrupts it, however many processes share it."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
from conftest import write_dataset

from lstmcli.core.config import Config, config_from
from lstmcli.core.errors import (
    ConfigError,
    DataError,
    LstmcliError,
    ModelError,
    OutputError,
    TrainingError,
)
from lstmcli.core.progress import SilentProgress
from lstmcli.models.checkpoint import load_checkpoint
from lstmcli.workflows.train import Trained, TrainOptions, next_run, read_run_config, train

T = TypeVar("T")

SETTINGS: dict[str, Any] = {
    "name": "test",
    "backbone": {"name": "tiny"},
    "neck": {"channels": 8, "dropout": 0.1},
    "temporal": {"name": "conv_lstm"},
    "clips": {"length": 2, "streamed": 0.5, "stream_clips": 3, "whole": True},
    "augment": {"noise": 0.0},
    "train": {
        "batch": 4,
        "workers": 0,
        "clips_per_epoch": 16,
        "lr": 3e-3,
        "ema": 0.9,
        "precision": "32",
        "validate_frames": 8,
    },
}


def settings(**changes: dict[str, Any]) -> Config:
    """Return the settings of a small network, some sections changed."""
    merged = {
        name: {**section, **changes.pop(name, {})} if isinstance(section, dict) else section
        for name, section in SETTINGS.items()
    }
    return config_from(merged | changes, "test")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared dataset of squares."""
    return write_dataset(tmp_path_factory.mktemp("squares") / "dataset").folder


class StopAt(SilentProgress):
    """Interrupts after so many items of an epoch, before whoever asked for them gets the last."""

    def __init__(self, label: str, after: int) -> None:
        self.label, self.after = label, after

    def track(
        self, items: Iterable[T], *, total: int | None = None, label: str = ""
    ) -> Iterator[T]:
        for number, item in enumerate(items, start=1):
            if label.startswith(self.label) and number > self.after:
                raise KeyboardInterrupt
            yield item


def weights(run: Path, name: str = "last.pt") -> dict[str, torch.Tensor]:
    return load_checkpoint(run / name).model.state_dict()


def trained_weights(run: Path) -> dict[str, torch.Tensor]:
    """Return the weights that are trained, not their average."""
    values: dict[str, torch.Tensor] = load_checkpoint(run / "last.pt").training["model"]
    return values


def assert_same_run(first: Path, second: Path) -> None:
    for one, other in (
        (weights(first), weights(second)),
        (weights(first, "best.pt"), weights(second, "best.pt")),
        (trained_weights(first), trained_weights(second)),
    ):
        assert one.keys() == other.keys()
        for name, value in one.items():
            assert torch.equal(value, other[name]), name
    rows = [load_checkpoint(run / "last.pt").training["history"] for run in (first, second)]
    timed = {"seconds", "waited", "frames_per_second"}
    without = [[{k: v for k, v in row.items() if k not in timed} for row in r] for r in rows]
    assert without[0] == without[1]


@pytest.fixture(scope="module")
def unbroken(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four epochs, the first of them on frames, that nobody interrupted."""
    run = tmp_path_factory.mktemp("runs") / "unbroken"
    train(dataset, config=settings(train={"epochs": 4, "frame_stage": 0.2}), out=run)
    return run


@pytest.mark.parametrize(
    ("label", "after"),
    [
        ("epoch 1/4 (frames)", 2),
        ("epoch 2/4", 1),
        ("epoch 2/4", 3),
        ("epoch 3/4", 0),
        ("validate", 0),
    ],
)
def test_a_resumed_run_equals_one_without_interruption(
    label: str, after: int, dataset: Path, unbroken: Path, tmp_path: Path
) -> None:
    config = settings(train={"epochs": 4, "frame_stage": 0.2})
    broken = tmp_path / "run"
    stopped = train(dataset, config=config, out=broken, progress=StopAt(label, after))
    assert stopped.interrupted
    resumed = train(dataset, config=settings(), out=broken, resume=True)
    assert not resumed.interrupted
    assert resumed.epochs == 4
    assert_same_run(broken, unbroken)


def test_a_seed_repeats_a_run_and_another_one_does_not(
    dataset: Path, unbroken: Path, tmp_path: Path
) -> None:
    config = read_run_config(unbroken)
    train(dataset, config=config, out=tmp_path / "again", options=TrainOptions(epochs=4))
    assert_same_run(tmp_path / "again", unbroken)
    other = config.model_copy(update={"train": config.train.model_copy(update={"seed": 1})})
    train(dataset, config=other, out=tmp_path / "other", options=TrainOptions(epochs=1))
    first, second = trained_weights(tmp_path / "other"), trained_weights(unbroken)
    assert not torch.equal(first["neck.lateral.0.weight"], second["neck.lateral.0.weight"])


def test_a_run_leaves_its_five_files_and_no_other(unbroken: Path) -> None:
    names = {path.name for path in unbroken.iterdir()}
    assert names == {"best.pt", "last.pt", "config.yaml", "metrics.csv", "curves.png"}
    with (unbroken / "metrics.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert {"loss", "lr", "map50", "precision", "recall"} <= set(rows[0])
    assert all("nan" not in value for row in rows for value in row.values())
    assert (unbroken / "curves.png").read_bytes().startswith(b"\x89PNG")
