"""train: the same result with interruptions and any number of processes."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
from conftest import write_dataset

from lstmcli.core.config import Config
from lstmcli.core.config_file import config_from, load_config
from lstmcli.core.errors import (
    ConfigError,
    DataError,
    LstmcliError,
    ModelError,
    OutputError,
    TrainingError,
)
from lstmcli.core.progress import SilentProgress
from lstmcli.core.yaml_text import dump_yaml
from lstmcli.dataset.manifest import Dataset
from lstmcli.models.checkpoint import load_checkpoint
from lstmcli.models.detector import DetectorNet
from lstmcli.workflows.train import TrainOptions, epochs, next_run, setup, steps_per_epoch, train
from lstmcli.workflows.train.setup import fit_to_dataset
from lstmcli.workflows.train.state import RUN_FILES
from lstmcli.workflows.train.validation import windows

T = TypeVar("T")

SETTINGS: dict[str, Any] = {
    "name": "test",
    "backbone": {"name": "tiny"},
    "neck": {"channels": 8, "dropout": 0.1},
    "temporal": {"name": "conv_lstm"},
    "clips": {"length": 2, "stateful_fraction": 0.5, "stateful_clips": 3, "full_frame": True},
    "augment": {"noise": 0.0},
    "train": {
        "batch_size": 4,
        "num_workers": 0,
        "clips_per_epoch": 16,
        "lr": 3e-3,
        "ema_decay": 0.9,
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
    """Interrupts after so many items of an epoch, before the last one is yielded."""

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
    rows = [
        load_checkpoint(run / "last.pt").training["counters"]["history"] for run in (first, second)
    ]
    timed = {"seconds", "data_wait", "frames_per_second"}
    without = [[{k: v for k, v in row.items() if k not in timed} for row in r] for r in rows]
    assert without[0] == without[1]


@pytest.fixture(scope="module")
def unbroken(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four epochs, the first of them on frames, that nobody interrupted."""
    run = tmp_path_factory.mktemp("runs") / "unbroken"
    train(dataset, config=settings(train={"epochs": 4, "stage1_fraction": 0.2}), out=run)
    return run


def test_every_epoch_records_its_stage(unbroken: Path) -> None:
    rows = load_checkpoint(unbroken / "last.pt").training["counters"]["history"]
    assert [row["stage"] for row in rows] == ["frames", "clips", "clips", "clips"]
    with (unbroken / "metrics.csv").open(encoding="utf-8") as file:
        assert [row["stage"] for row in csv.DictReader(file)] == [row["stage"] for row in rows]


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
    config = settings(train={"epochs": 4, "stage1_fraction": 0.2})
    broken = tmp_path / "run"
    stopped = train(dataset, config=config, out=broken, progress=StopAt(label, after))
    assert stopped.interrupted
    resumed = train(dataset, config=settings(), out=broken, resume=True)
    assert not resumed.interrupted
    assert resumed.epochs == 4
    assert_same_run(broken, unbroken)


@pytest.mark.parametrize(("grid", "context"), [(8, "false"), (2, "true"), (1, "true")])
def test_coarser_maps_take_part_where_objects_are_large(
    grid: int, context: str, dataset: Path, tmp_path: Path
) -> None:
    """The squares are some twenty pixels wide: three cells, or twenty."""
    prepared = replace(Dataset.load(dataset), grid=grid)
    fitted = fit_to_dataset(settings(neck={"coarse_levels": "auto"}), prepared)
    assert fitted.neck.coarse_levels is (context == "true")
    chosen = settings(neck={"coarse_levels": True})
    assert fit_to_dataset(chosen, prepared) is chosen
    if grid == 8:
        config = settings(neck={"coarse_levels": "auto"}, train={"epochs": 1})
        train(dataset, config=config, out=tmp_path / "run")
        assert load_config(tmp_path / "run" / "config.yaml").neck.coarse_levels is False


def test_a_measured_batch_is_noted_and_kept_when_resumed(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    config = settings(train={"batch_size": "auto", "epochs": 1})
    train(dataset, config=config, out=run)
    batch = load_checkpoint(run / "last.pt").training["batch"]
    assert batch in (4, 8, 16, 32, 64, 128)
    assert f"batch_size: {batch}\n" in (run / "config.yaml").read_text(encoding="utf-8")
    monkeypatch.setattr(setup, "measured_batch", lambda *_, **__: pytest.fail("measured anew"))
    train(dataset, config=config, out=run, options=TrainOptions(epochs=2), resume=True)
    assert load_checkpoint(run / "last.pt").training["batch"] == batch


def test_a_seed_repeats_a_run_and_another_one_does_not(
    dataset: Path, unbroken: Path, tmp_path: Path
) -> None:
    config = load_config(unbroken / "config.yaml")
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


# With training statistics in the batch norms every process would normalise its own half of the
# batch; with a frozen backbone and neck (their running statistics are used) only the mean of the
# gradients is left to compare. The towers of the head are left out by depth 0.
FAIR = {
    "neck": {"dropout": 0.0},
    "head": {"depth": 0},
    "train": {"epochs": 2, "stage2_backbone_lr_scale": 0.0, "ema_decay": 0.0, "optimizer": "sgd"},
}


def run_command(folder: Path, *words: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own, as typed by a user."""
    return subprocess.run(command(*words), cwd=folder, capture_output=True, text=True, **more)


def command(*words: str) -> list[str]:
    return [sys.executable, "-c", "from lstmcli.cli.app import main; main()", *words]


def write_preset(path: Path, config: Config) -> Path:
    path.write_text(dump_yaml(config.model_dump(mode="json")), encoding="utf-8")
    return path


def test_two_processes_equal_one_with_the_same_global_batch(dataset: Path, tmp_path: Path) -> None:
    """Gloo on the CPU, from the command line; the sums are taken in another order: 1e-5."""
    config = settings(**FAIR)
    preset = write_preset(tmp_path / "fair.yaml", config)
    train(dataset, config=config, out=tmp_path / "one", options=TrainOptions(device="cpu"))
    words = ("train", str(dataset), "--preset", str(preset), "--devices", "2", "--device", "cpu")
    done = run_command(tmp_path, *words, "--out", "two")
    assert done.returncode == 0, done.stderr
    assert "mAP50" in done.stdout
    said = done.stderr.splitlines()
    epochs = [line for line in said if line.startswith("epoch ")]
    assert len(epochs) >= 2, "the first process prints each epoch, once"
    assert len(set(epochs)) == len(epochs)
    assert all(line.startswith(("using ", "epoch ", "started ")) for line in said), done.stderr
    one, two = trained_weights(tmp_path / "one"), trained_weights(tmp_path / "two")
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-4, atol=1e-5, msg=name)
    moved = [name for name, value in one.items() if name.startswith(("temporal", "head"))]
    fresh = fresh_weights(dataset, config)
    assert any(not torch.equal(one[name], fresh[name]) for name in moved)
    losses = [
        [
            row["loss"]
            for row in load_checkpoint(tmp_path / run / "last.pt").training["counters"]["history"]
        ]
        for run in ("one", "two")
    ]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


def fresh_weights(dataset: Path, config: Config) -> dict[str, torch.Tensor]:
    """Return what a run of this configuration begins with."""
    prepared = Dataset.load(dataset)
    torch.manual_seed(config.train.seed)
    model = DetectorNet(config, prepared.classes, canvas_hw=prepared.canvas_hw, grid=prepared.grid)
    return model.state_dict()


def test_a_diverging_loss_is_an_error_with_epoch_and_step(dataset: Path, tmp_path: Path) -> None:
    config = settings(train={"lr": 1e6, "warmup": 0.0, "optimizer": "sgd", "max_grad_norm": 1e9})
    with pytest.raises(TrainingError, match=r"the loss became (nan|inf) in epoch \d+, step \d+"):
        train(dataset, config=config, out=tmp_path / "run")
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("validation_s", [0.5, 30.0])
def test_a_time_budget_is_kept(
    validation_s: float, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that advances by a second at every reading."""
    clock = Clockwork(1.0)
    for module in ("run", "setup", "epochs", "validation", "checkpointing"):
        monkeypatch.setattr(f"lstmcli.workflows.train.{module}.time", clock)
    for module in ("loop", "schedule"):
        monkeypatch.setattr(f"lstmcli.training.{module}.time", clock)

    class Slow(SilentProgress):
        def track(
            self, items: Iterable[T], *, total: int | None = None, label: str = ""
        ) -> Iterator[T]:
            if label == "validate":
                clock.now += validation_s
            yield from items

    trained = train(
        dataset,
        config=settings(),
        out=tmp_path / "run",
        options=TrainOptions(time_budget_s=200.0),
        progress=Slow(),
    )
    assert 100 < trained.seconds <= 200
    assert trained.epochs >= 2
    rates = [
        row["lr"]
        for row in load_checkpoint(tmp_path / "run" / "last.pt").training["counters"]["history"]
    ]
    assert rates[-1] < 0.2 * max(rates)  # the schedule follows the clock to its end


class Clockwork:
    """Stands in for the module `time`."""

    def __init__(self, step: float) -> None:
        self.now, self.step = 0.0, step

    def monotonic(self) -> float:
        self.now += self.step
        return self.now


def test_a_run_begins_with_the_weights_of_another(
    dataset: Path, unbroken: Path, tmp_path: Path
) -> None:
    config = settings(train={"lr": 1e-12, "weight_decay": 0.0, "epochs": 1, "ema_decay": 0.0})
    options = TrainOptions(init=str(unbroken))
    train(dataset, config=config, out=tmp_path / "run", options=options)
    before, after = weights(unbroken, "best.pt"), trained_weights(tmp_path / "run")
    learned = [name for name in before if name.endswith((".weight", ".bias"))]
    for name in learned:
        torch.testing.assert_close(after[name], before[name])


@pytest.mark.parametrize(("after", "epoch"), [(0.4, 0), (0.7, 1)])
def test_the_start_is_kept_unless_an_epoch_is_better(
    dataset: Path,
    unbroken: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    after: float,
    epoch: int,
) -> None:
    scores = iter((0.6, after))
    names = ("map50_any_class", "precision", "recall", "best_threshold", "score_slope")
    monkeypatch.setattr(
        epochs, "validate", lambda run: dict.fromkeys(names, 0.5) | {"map50": next(scores)}
    )
    config = settings(train={"lr": 0.1, "epochs": 1, "ema_decay": 0.0})
    options = TrainOptions(init=str(unbroken))
    trained = train(dataset, config=config, out=tmp_path / "run", options=options)
    assert trained.best["epoch"] == epoch
    before, kept = weights(unbroken, "best.pt"), weights(tmp_path / "run", "best.pt")
    assert all(torch.equal(before[name], kept[name]) for name in before) == (epoch == 0)


def test_weights_of_like_named_classes_begin_a_run(unbroken: Path, tmp_path: Path) -> None:
    made = write_dataset(tmp_path / "dataset")
    replace(made, classes=("red", "blue", "green")).save()
    notes: list[str] = []

    class Listener(SilentProgress):
        def note(self, text: str) -> None:
            notes.append(text)

    train(
        made.folder,
        config=settings(train={"epochs": 1}),
        out=tmp_path / "run",
        options=TrainOptions(init=str(unbroken)),
        progress=Listener(),
    )
    count = len(weights(unbroken))
    # like-named classes keep their rows, "green" begins anew
    assert notes[0] == (
        f"started from {unbroken}: {count} of {count} tensors fit; "
        "classes: red from red, blue from blue"
    )
    assert load_checkpoint(tmp_path / "run").classes == ("red", "blue", "green")


def test_a_dataset_without_validation_keeps_its_latest_epoch(tmp_path: Path) -> None:
    made = write_dataset(tmp_path / "dataset", videos=("train",))
    trained = train(made.folder, config=settings(train={"epochs": 2}), out=tmp_path / "run")
    assert trained.best["epoch"] == 2
    assert trained.best["map50"] is None


def test_an_interruption_before_the_first_step_leaves_nothing(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*given: Any, **sections: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(setup, "measured_batch", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(dataset, config=settings(train={"batch_size": "auto"}), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_training_ends_early_when_it_gets_no_better(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter((0.1, 0.3, 0.2, 0.1, 0.9))
    names = ("map50", "map50_any_class", "precision", "recall")
    monkeypatch.setattr(
        "lstmcli.workflows.train.epochs.validate", lambda run: dict.fromkeys(names, next(scores))
    )
    config = settings(train={"epochs": 9, "patience": 2, "clips_per_epoch": 1})
    trained = train(dataset, config=config, out=tmp_path / "run")
    assert (trained.epochs, trained.best["epoch"]) == (4, 2)
    assert load_checkpoint(tmp_path / "run" / "best.pt").metrics["map50"] == 0.3


def test_training_without_detections_ends_early_with_its_latest_epoch(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("map50", "map50_any_class", "precision", "recall")
    monkeypatch.setattr(
        "lstmcli.workflows.train.epochs.validate", lambda run: dict.fromkeys(names, 0.0)
    )
    notes: list[str] = []
    progress = SilentProgress()
    monkeypatch.setattr(progress, "note", notes.append)
    config = settings(train={"epochs": 9, "patience": 2, "clips_per_epoch": 1})
    trained = train(dataset, config=config, out=tmp_path / "run", progress=progress)
    assert (trained.epochs, trained.best["epoch"]) == (3, 3)
    assert [note.endswith("best so far") for note in notes[:3]] == [True, False, False]


@pytest.mark.parametrize(
    ("settings_of_train", "steps"),
    [
        ({"clips_per_epoch": 0, "min_clips_per_epoch": 0}, "all"),
        ({"clips_per_epoch": 0, "min_clips_per_epoch": 400}, 100),
        ({"clips_per_epoch": 12, "min_clips_per_epoch": 400}, 3),
    ],
)
def test_an_epoch_of_few_frames_may_be_lengthened(
    dataset: Path, settings_of_train: dict[str, int], steps: int | str
) -> None:
    made = Dataset.load(dataset)
    labelled = sum(len(video.labels.annotated_frames) for video in made.split("train"))
    expected = -(-labelled // (2 * 4)) if steps == "all" else steps
    config = settings(train=settings_of_train)
    assert steps_per_epoch(made, config.train, config.clips, batch=4) == expected


def test_runs_are_numbered(tmp_path: Path) -> None:
    names = []
    for _ in range(3):
        names.append(next_run(tmp_path, "small").name)
        (tmp_path / names[-1]).mkdir()
    assert names == ["small", "small-2", "small-3"]


def full(folder: Path) -> Path:
    folder.mkdir()
    (folder / "mine.txt").touch()
    return folder


BAD: dict[str, tuple[Any, dict[str, Any], type[LstmcliError], str, str]] = {
    "no dataset": (
        {},
        {"dataset": "nothing"},
        DataError,
        "nothing/dataset.json: there is no prepared dataset",
        "lstmcli prepare",
    ),
    "a full folder": ({}, {"out": full}, OutputError, "run exists", "--overwrite"),
    "a file": ({}, {"out": lambda path: path.touch()}, OutputError, "Not a directory", "--out"),
    "an uneven batch": (
        {"train": {"batch_size": 3}},
        {"options": TrainOptions(devices=2, device="cpu")},
        ConfigError,
        "train.batch_size is 3, 2 processes",
        "multiple of 2",
    ),
    "an unknown memory": (
        {"temporal": {"name": "conv_lsmt"}},
        {},
        ConfigError,
        "no temporal core named 'conv_lsmt'",
        "'conv_lstm'",
    ),
    "an unknown backbone": (
        {"backbone": {"name": "tinny"}},
        {},
        ConfigError,
        "no backbone named 'tinny'",
        "'tiny'",
    ),
    "an unknown head": (
        {"head": {"name": "clasic"}},
        {},
        ConfigError,
        "no head named 'clasic'",
        "'classic'",
    ),
    "an unknown optimizer": (
        {"train": {"optimizer": "adan"}},
        {},
        ConfigError,
        "no optimizer named 'adan'",
        "'adam'",
    ),
    "an unknown schedule": (
        {"train": {"schedule": "cosin"}},
        {},
        ConfigError,
        "no schedule named 'cosin'",
        "'cosine'",
    ),
    "an even kernel": (
        {"temporal": {"name": "conv_lstm", "kernel_size": 4}},
        {},
        ConfigError,
        "temporal.kernel_size",
        "odd",
    ),
    "no such weights": (
        {"backbone": {"name": "tiny", "weights": "nothing.pth"}},
        {},
        ModelError,
        "nothing.pth",
        "",
    ),
    "no such start": (
        {},
        {"options": TrainOptions(init="nothing")},
        ModelError,
        "nothing: there is no such checkpoint",
        "",
    ),
    "a device that is none": (
        {},
        {"options": TrainOptions(device="gpu")},
        ConfigError,
        "no device named 'gpu'",
        "cuda",
    ),
    "nothing to resume": ({}, {"resume": True}, ModelError, "no last.pt", "check the folder"),
}


@pytest.mark.parametrize("case", BAD)
def test_invalid_data_is_an_error_and_leaves_nothing(
    case: str, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes, asked, kind, problem, hint = BAD[case]
    monkeypatch.chdir(tmp_path)
    out = Path("run")
    arguments = {"dataset": dataset} | asked
    prepare_out = arguments.pop("out", None)
    if prepare_out is not None:
        prepare_out(out)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(LstmcliError) as caught:
        train(config=settings(**changes), out=out, **arguments)
    assert isinstance(caught.value, kind), caught.value
    assert problem in caught.value.problem
    assert hint in caught.value.hint
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_a_missing_gpu_is_an_error(device: str, dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="0 CUDA devices"):
        train(
            dataset,
            config=settings(),
            out=tmp_path / "run",
            options=TrainOptions(device=device),
        )
    assert not (tmp_path / "run").exists()


def test_a_run_is_not_resumed_with_other_classes(unbroken: Path, tmp_path: Path) -> None:
    made = write_dataset(tmp_path / "dataset")
    replace(made, classes=("red", "green")).save()
    with pytest.raises(DataError, match="classes red, green; the run has red, blue"):
        train(made.folder, config=settings(), out=unbroken, resume=True)


@pytest.mark.parametrize(
    ("changes", "init"),
    [
        ({"backbone": {"name": "tinny"}}, None),
        ({"train": {"optimizer": "adamm"}}, None),
        ({"clips": {"full_frame": False, "crop": 3}}, None),
        ({}, "runs/typo"),
    ],
)
def test_an_older_run_survives_a_failed_start(
    changes: dict[str, Any], init: str | None, dataset: Path, tmp_path: Path
) -> None:
    run = full(tmp_path / "run")
    for name in RUN_FILES:
        (run / name).write_text("run: {}", encoding="utf-8")
    with pytest.raises((ConfigError, ModelError)):
        train(
            dataset,
            config=settings(**changes),
            out=run,
            options=TrainOptions(init=init),
            overwrite=True,
        )
    assert {(run / name).read_text(encoding="utf-8") for name in RUN_FILES} == {"run: {}"}


def test_a_run_is_not_resumed_on_another_canvas_or_grid(unbroken: Path, tmp_path: Path) -> None:
    made = write_dataset(tmp_path / "dataset", canvas_hw=(96, 64))
    with pytest.raises(DataError, match="a canvas of 64x96 and cells of 8; the run has a canvas"):
        train(made.folder, config=settings(), out=unbroken, resume=True)
    replace(made, canvas_hw=(64, 96), grid=16).save()
    with pytest.raises(DataError, match="cells of 16; the run has a canvas of 96x64 and cells of"):
        train(made.folder, config=settings(), out=unbroken, resume=True)


def test_a_lengthened_run_continues_in_stage_2(dataset: Path, tmp_path: Path) -> None:
    config = settings(
        train={"epochs": 2, "stage1_fraction": 0.5, "clips_per_epoch": 4, "warmup": 0.0}
    )
    train(dataset, config=config, out=tmp_path / "run")
    trained = train(
        dataset,
        config=config,
        out=tmp_path / "run",
        resume=True,
        options=TrainOptions(epochs=6),
    )
    assert [row["stage"] for row in trained.history] == ["frames"] + ["clips"] * 5
    rates = [row["lr"] for row in trained.history[2:]]
    assert rates == sorted(rates, reverse=True), "the schedule goes on, it does not wait"
    assert len(set(rates)) == 4


def test_a_budget_without_time_is_an_error(dataset: Path, tmp_path: Path) -> None:
    options = TrainOptions(time_budget_s=0.0)
    with pytest.raises(ConfigError, match="a time budget of 0 s"):
        train(dataset, config=settings(), out=tmp_path / "run", options=options)
    assert not (tmp_path / "run").exists()


def test_an_older_run_is_replaced_whole(dataset: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for name in ("best.pt", "curves.png", "config.yaml"):
        (run / name).write_text("run: {}", encoding="utf-8")
    with pytest.raises(ConfigError):
        train(dataset, config=settings(head={"name": "no"}), out=run, overwrite=True)
    stopped = train(
        dataset,
        config=settings(train={"epochs": 1}),
        out=run,
        overwrite=True,
        progress=StopAt("epoch 1", 0),
    )
    assert stopped.interrupted
    assert {path.name for path in run.iterdir()} == {"last.pt", "config.yaml"}


def begin_long_run(dataset: Path, folder: Path, *words: str) -> subprocess.Popen[str]:
    """Start a run that saves after every step, and wait until it has saved for the first time."""
    preset = write_preset(folder / "long.yaml", settings(train={"epochs": 500, "num_workers": 1}))
    code = (
        "import lstmcli.workflows.train.epochs as t; t.SAVE_EVERY_S = 0.0\n"
        "from lstmcli.cli.app import main; main()"
    )
    line = [sys.executable, "-c", code, "train", str(dataset), "--preset", str(preset)]
    run = subprocess.Popen(
        [*line, "--out", "run", "--device", "cpu", *words],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not (folder / "run" / "last.pt").is_file():
        assert run.poll() is None, run.stderr and run.stderr.read()
        time.sleep(0.05)
    return run


@pytest.mark.slow
def test_a_killed_run_leaves_a_checkpoint_that_can_be_resumed(
    dataset: Path, tmp_path: Path
) -> None:
    run = begin_long_run(dataset, tmp_path)
    os.killpg(run.pid, signal.SIGKILL)
    run.communicate()
    saved = load_checkpoint(tmp_path / "run" / "last.pt").training
    steps = saved["counters"]["steps"] + saved["counters"]["epoch_stats"]["steps"]
    resumed = train(
        dataset,
        config=settings(),
        out=tmp_path / "run",
        resume=True,
        options=TrainOptions(epochs=saved["counters"]["epoch"] + 1),
    )
    assert steps > 0
    assert resumed.epochs == saved["counters"]["epoch"] + 1


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_ctrl_c_ends_a_run_cleanly(processes: int, dataset: Path, tmp_path: Path) -> None:
    run = begin_long_run(dataset, tmp_path, "--devices", str(processes))
    os.killpg(run.pid, signal.SIGINT)
    _, said = run.communicate(timeout=300)
    assert run.returncode == 130, said
    assert "Traceback" not in said
    assert "continue with: lstmcli train --resume run" in said
    saved = load_checkpoint(tmp_path / "run" / "last.pt").training
    assert saved["counters"]["steps"] + saved["counters"]["epoch_stats"]["steps"] > 0
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.slow
def test_processes_go_through_all_stages_and_resume(dataset: Path, tmp_path: Path) -> None:
    """One seed, one interruption between the stages; only training's own words on the terminal."""
    config = settings(train={"epochs": 3, "stage1_fraction": 0.3})
    preset = write_preset(tmp_path / "staged.yaml", config)
    words = ("train", str(dataset), "--preset", str(preset), "--devices", "2", "--device", "cpu")
    runs = (
        run_command(tmp_path, *words, "--out", "whole"),
        run_command(tmp_path, *words, "--out", "broken", "--epochs", "1"),
        run_command(tmp_path, "train", "--resume", "broken", "--epochs", "3", "--devices", "2"),
    )
    for done in runs:
        assert done.returncode == 0, done.stderr
        assert all(line.startswith("epoch ") for line in done.stderr.splitlines()), done.stderr
    for run in ("whole", "broken"):
        rows = load_checkpoint(tmp_path / run / "last.pt").training["counters"]["history"]
        assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert trained_weights(tmp_path / "whole").keys() == trained_weights(tmp_path / "broken").keys()


@pytest.mark.slow
def test_a_failure_in_a_process_is_one_line(dataset: Path, tmp_path: Path) -> None:
    config = settings(train={"lr": 1e6, "warmup": 0.0, "optimizer": "sgd", "max_grad_norm": 1e9})
    preset = write_preset(tmp_path / "wild.yaml", config)
    words = ("train", str(dataset), "--preset", str(preset), "--devices", "2", "--device", "cpu")
    done = run_command(tmp_path, *words)
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if not line.startswith("epoch ")]
    assert [line.split()[0] for line in errors] == ["error:", "hint:"], done.stderr
    assert "the loss became" in errors[0]


@pytest.mark.parametrize(
    ("frames", "share", "expected"),
    [
        (100, 20, [(40, 60)]),
        (100, 45, [(14, 36), (64, 86)]),
        (10, 20, [(0, 10)]),
        (100, 100, [(0, 20), (20, 40), (40, 60), (60, 80), (80, 100)]),
        (475, 7, [(234, 241)]),
    ],
)
def test_epochs_are_validated_on_consecutive_frames(
    frames: int, share: int, expected: list[tuple[int, int]]
) -> None:
    """A memory that sees two frames a second is not the one that was trained."""
    assert [(window.start, window.stop) for window in windows(frames, share)] == expected
