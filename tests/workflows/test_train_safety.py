"""What a training makes of a run that was killed early, and of a damaged last.pt."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import MakeDataset
from core.test_files import every_kill

from lstmcli.core.config import Config
from lstmcli.core.config_file import load_config
from lstmcli.core.errors import ModelError, OutputError
from lstmcli.core.files import claim, write_text
from lstmcli.core.progress import SilentProgress
from lstmcli.workflows.train import TrainOptions, train
from lstmcli.workflows.train.checkpointing import replace_older
from lstmcli.workflows.train.setup import finish_replacing, staging_folder


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


RUN = dict.fromkeys(("config.yaml", "last.pt", "metrics.csv"), "run: {new: 1}")


def replace_run(run: Path) -> None:
    """Replace a run as a training does at its first checkpoint."""
    with claim(run, resumes=True), staging_folder(run, replaces=True) as staging:
        assert staging is not None
        for name, text in RUN.items():
            write_text(staging / name, text)
        state = SimpleNamespace(files=staging, folder=run, is_anew=False)
        replace_older(state)  # type: ignore[arg-type]


def test_a_kill_at_any_step_of_a_replacement_leaves_the_old_or_the_new_run(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    old = dict.fromkeys(("best.pt", *RUN), "run: {}") | {"notes.txt": "mine"}
    seen = []

    def check() -> None:
        notes = Notes()
        is_staged = any(run.glob(".run.*"))
        with claim(run, resumes=True):  # of the next training, or of any command in the folder
            finish_replacing(run, notes)
        texts = {path.name: path.read_text() for path in run.iterdir()}
        assert texts in (old, RUN | {"notes.txt": "mine"})
        assert (texts == old) or not is_staged
        assert bool(notes.texts) == is_staged
        seen.append(texts == old)
        for name, text in old.items():
            (run / name).write_text(text)

    for name, text in old.items():
        (run / name).write_text(text)
    every_kill(lambda: replace_run(run), check)
    assert seen.count(True) > 10
    assert seen.count(False) > 5


def test_an_older_run_stays_until_the_new_one_has_a_checkpoint(
    tmp_path: Path, make_dataset: MakeDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = make_dataset(tmp_path / "dataset", videos=("train", "val"), frames=6).folder
    run = tmp_path / "run"
    train(dataset, config=tiny(), out=run, options=OPTIONS)
    (run / "net.onnx").write_text("exported")
    old = {path.name: path.read_bytes() for path in run.iterdir()}

    def fill_disk(*args: object) -> None:
        assert {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()} == old
        raise OutputError("no room")

    with monkeypatch.context() as patch:
        patch.setattr("lstmcli.workflows.train.checkpointing.write_metrics", fill_disk)
        with pytest.raises(OutputError, match="no room") as caught:
            train(dataset, config=tiny(), out=run, options=OPTIONS, overwrite=True)
    assert "the older run stays" in caught.value.hint
    assert {path.name: path.read_bytes() for path in run.iterdir()} == old
    train(dataset, config=tiny(), out=run, options=OPTIONS, overwrite=True)
    new = {path.name: path.read_bytes() for path in run.iterdir()}
    assert set(new) == set(old)
    assert new["last.pt"] != old["last.pt"]
    with pytest.raises(OutputError, match="exists") as caught:
        train(dataset, config=tiny(), out=run, options=OPTIONS)
    assert "--resume" in caught.value.hint


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
