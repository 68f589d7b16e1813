"""What a training makes of a run that was killed early, and of a damaged last.pt."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import MakeDataset

from lstmcli.core.config import Config
from lstmcli.core.config_file import load_config
from lstmcli.core.errors import ModelError, OutputError
from lstmcli.core.progress import SilentProgress
from lstmcli.workflows.train import TrainOptions, train


def tiny() -> Config:
    chosen = ("backbone.name=tiny", "backbone.weights=none", "backbone.width=0.25")
    more = ("neck.channels=8", "train.num_workers=0", "train.batch_size=2", "clips.length=2")
    few = ("train.clips_per_epoch=2", "train.min_clips_per_epoch=1")
    return load_config("nano", [*chosen, *more, *few])


OPTIONS = TrainOptions(epochs=1, device="cpu", init="none")


class Notes(SilentProgress):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


def test_a_run_that_ended_before_its_first_checkpoint_is_started_anew(
    tmp_path: Path, make_dataset: MakeDataset
) -> None:
    dataset = make_dataset(tmp_path / "dataset", videos=("train", "val"), frames=6).folder
    run, notes = tmp_path / "run", Notes()
    train(dataset, config=tiny(), out=run, options=OPTIONS)
    before = (run / "metrics.csv").read_text().split(",lr")[0]
    for name in ("last.pt", "best.pt", "metrics.csv", "curves.png"):  # as a kill leaves it
        (run / name).unlink()
    train(
        dataset,
        config=load_config("small"),  # its own is taken
        out=run,
        options=TrainOptions(device="cpu"),
        resume=True,
        progress=notes,
    )
    assert any("before its first last.pt" in text for text in notes.texts)
    assert (run / "metrics.csv").read_text().split(",lr")[0] == before
    assert (run / "last.pt").is_file()
    (run / "last.pt").unlink()  # as a kill between the first best.pt and last.pt leaves it
    train(dataset, config=tiny(), out=run, options=TrainOptions(device="cpu"), resume=True)
    assert (run / "last.pt").is_file()
    (run / "last.pt").unlink()  # of a run of two epochs, it was removed by hand
    with (run / "metrics.csv").open("a") as file:
        file.write("2\n")
    with pytest.raises(ModelError, match=r"no last\.pt, there is nothing to resume"):
        train(dataset, config=tiny(), out=run, options=OPTIONS, resume=True)
    (run / "best.pt").unlink()
    train(dataset, config=tiny(), out=run, options=OPTIONS)  # the same command again works, too
    with pytest.raises(OutputError, match="exists"):
        train(dataset, config=tiny(), out=run, options=OPTIONS)
    values = torch.load(run / "last.pt", weights_only=True)
    for damage in DAMAGES:
        broken = copy.deepcopy(values)
        damage(broken["training"])
        torch.save(broken, run / "last.pt")
        with pytest.raises(ModelError, match=r"last\.pt: the training state is damaged"):
            train(dataset, config=tiny(), out=run, options=OPTIONS, resume=True)


@pytest.mark.parametrize(
    ("name", "text"),
    [("config.yaml", "learning_rate: 3"), ("best.pt", "of YOLO"), ("curves.png", "mine")],
)
@pytest.mark.parametrize("overwrite", [False, True])
def test_files_that_are_of_no_run_are_not_replaced(
    name: str, text: str, overwrite: bool, tmp_path: Path, make_dataset: MakeDataset
) -> None:
    dataset = make_dataset(tmp_path / "dataset", videos=("train", "val"), frames=6).folder
    run = tmp_path / "mine"
    run.mkdir()
    (run / name).write_text(text)
    is_taken = name == "best.pt" and not overwrite
    with pytest.raises(OutputError, match="exists" if is_taken else name):
        train(dataset, config=tiny(), out=run, options=OPTIONS, overwrite=overwrite)
    assert [path.name for path in run.iterdir()] == [name]
    assert (run / name).read_text() == text


def first_average(training: dict[str, Any]) -> dict[str, Any]:
    return next(iter(training["optimizer"]["state"].values()))


def put(*keys: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def damage(training: dict[str, Any]) -> None:
        for key in keys[:-1]:
            training = training[key]
        training[keys[-1]] = value

    return damage


DAMAGES: tuple[Callable[[dict[str, Any]], Any], ...] = (
    put("counters", "epoch", value="3"),
    put("counters", "steps", value=-1),
    put("counters", "history", value=[{"epoch": 1}]),
    put("counters", "epoch_stats", value=[1, 2]),
    put("counters", "best", value=7),
    put("options", value=None),
    put("options", "epochs", value=-2),
    put("batch", value=0),
    put("spent_s", value=float("nan")),
    put("state", value=3),
    put("optimizer", "param_groups", value=[]),
    lambda training: training["optimizer"]["param_groups"][0].update(
        params=[torch.zeros(3)] * len(training["optimizer"]["param_groups"][0]["params"])
    ),
    lambda training: training["optimizer"]["param_groups"][0].update(capturable=True),
    lambda training: training.pop("ema"),
    lambda training: training["model"].popitem(),
    lambda training: training["optimizer"]["param_groups"][0].pop("of_frames"),
    lambda training: first_average(training).update(exp_avg="text"),
    lambda training: first_average(training).update(exp_avg=torch.zeros(1, 2, 3)),
)
