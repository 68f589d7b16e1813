"""Training on "several machines": processes that were started one by one and share a folder."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import write_dataset
from test_train import FAIR, settings, trained_weights, write_preset

from lstmcli.models.checkpoint import load_checkpoint
from lstmcli.workflows.train import TrainOptions, train

pytestmark = pytest.mark.slow
COMMAND = ("-m", "lstmcli", "train")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared dataset whose three videos do not divide evenly between two processes."""
    return write_dataset(tmp_path_factory.mktemp("squares") / "dataset").folder


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def start(words: list[str], folder: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *words],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def by_hand(folder: Path, *words: str) -> list[subprocess.Popen[str]]:
    """Start the same command on two "machines"."""
    port = str(free_port())
    return [
        start(
            [*COMMAND, *words, "--device", "cpu", "--nodes", "2", "--out", "two"],
            folder,
            NODE_RANK=str(rank),
            MASTER_ADDR="127.0.0.1",
            MASTER_PORT=port,
            HOSTNAME=f"machine-{rank}",
        )
        for rank in range(2)
    ]


def ends(processes: list[subprocess.Popen[str]]) -> list[tuple[int, str, str]]:
    results = []
    for process in processes:
        out, said = process.communicate(timeout=240)
        results.append((process.returncode, out, said))
    return results


def assert_equal_runs(folder: Path) -> None:
    one, two = trained_weights(folder / "one"), trained_weights(folder / "two")
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-4, atol=1e-5, msg=name)
    losses = [
        [
            row["loss"]
            for row in load_checkpoint(folder / run / "last.pt").training["counters"]["history"]
        ]
        for run in ("one", "two")
    ]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    print("losses", losses)  # noqa: T201 - for the lab book


def test_two_machines_equal_one_process(dataset: Path, tmp_path: Path) -> None:
    config = settings(**FAIR)
    preset = write_preset(tmp_path / "fair.yaml", config)
    train(dataset, config=config, out=tmp_path / "one", options=TrainOptions(device="cpu"))
    first, second = ends(by_hand(tmp_path, str(dataset), "--preset", str(preset)))
    assert first[0] == second[0] == 0, (first, second)
    assert "mAP50" in first[1]
    assert second[1] == second[2] == ""  # the first one speaks for both
    assert_equal_runs(tmp_path)


def test_torchrun_starts_a_training(dataset: Path, tmp_path: Path) -> None:
    config = settings(**FAIR)
    preset = write_preset(tmp_path / "fair.yaml", config)
    train(dataset, config=config, out=tmp_path / "one", options=TrainOptions(device="cpu"))
    words = ["-m", "torch.distributed.run", "--nproc-per-node=2", f"--master-port={free_port()}"]
    words += [*COMMAND, str(dataset), "--preset", str(preset), "--device", "cpu", "--out", "two"]
    ((code, out, said),) = ends([start(words, tmp_path)])
    assert code == 0, said
    assert out.count("mAP50") == 1
    assert_equal_runs(tmp_path)


def test_slurm_starts_a_training(dataset: Path, tmp_path: Path) -> None:
    """What srun sets, without SLURM: two tasks on two nodes."""
    config = settings(**FAIR)
    preset = write_preset(tmp_path / "fair.yaml", config)
    train(dataset, config=config, out=tmp_path / "one", options=TrainOptions(device="cpu"))
    port = str(free_port())
    tasks = [
        start(
            [*COMMAND, str(dataset), "--preset", str(preset), "--device", "cpu", "--out", "two"],
            tmp_path,
            SLURM_JOB_ID="7",
            SLURM_JOB_NAME="train",
            SLURM_NTASKS="2",
            SLURM_NTASKS_PER_NODE="1",
            SLURM_NNODES="2",
            SLURM_PROCID=str(rank),
            SLURM_LOCALID="0",
            SLURM_NODEID=str(rank),
            SLURM_NODELIST="127.0.0.1",
            MASTER_ADDR="127.0.0.1",
            MASTER_PORT=port,
        )
        for rank in range(2)
    ]
    results = ends(tasks)
    assert [code for code, _, _ in results] == [0, 0], results
    assert_equal_runs(tmp_path)


def begin(dataset: Path, folder: Path) -> list[subprocess.Popen[str]]:
    config = settings(train={"epochs": 500, "num_workers": 1})
    preset = write_preset(folder / "long.yaml", config)
    processes = by_hand(folder, str(dataset), "--preset", str(preset))
    ends_at = time.monotonic() + 120
    while not (folder / "two" / "last.pt").is_file():
        assert time.monotonic() < ends_at
        assert all(process.poll() is None for process in processes), ends(processes)
        time.sleep(0.1)
    return processes


def test_ctrl_c_at_one_machine_ends_all(dataset: Path, tmp_path: Path) -> None:
    processes = begin(dataset, tmp_path)
    os.killpg(processes[1].pid, signal.SIGINT)
    results = ends(processes)
    assert [code for code, _, _ in results] == [130, 130], results
    *_, said, last = results[0][2].splitlines()
    assert said == "interrupted; continue with: lstmcli train --resume two"
    assert last == "interrupted"
    assert results[1][2] == ""  # the first one speaks for both
    assert_it_continues(tmp_path)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_machine_ends_all(rank: int, dataset: Path, tmp_path: Path) -> None:
    processes = begin(dataset, tmp_path)
    os.killpg(processes[rank].pid, signal.SIGKILL)
    results = ends(processes)
    code, _, said = results[1 - rank]
    assert code == 1, results
    assert_one_error(said, "error: another process of this training is gone (")
    assert not list(tmp_path.rglob("*.part"))
    assert_it_continues(tmp_path)


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="finds processes in /proc")
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_data_process_ends_all(rank: int, dataset: Path, tmp_path: Path) -> None:
    processes = begin(dataset, tmp_path)
    ends_at = time.monotonic() + 60
    while not (loaders := children(processes[rank].pid)):  # there is one while an epoch trains
        assert time.monotonic() < ends_at
    os.kill(loaders[-1], signal.SIGKILL)
    results = ends(processes)
    assert [code for code, _, _ in results] == [1, 1], results
    assert_one_error(results[rank][2], "error: a process that loads data ended: DataLoader worker")
    assert_one_error(results[1 - rank][2], "error: another process of this training is gone (")
    assert_it_continues(tmp_path)


def children(process: int) -> list[int]:
    found = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii")
    return [int(number) for number in found.split()]


def assert_one_error(said: str, begins: str) -> None:
    """One line of error and one of hint end what was said; nothing shows the inside."""
    *before, error, hint = said.splitlines()
    assert error.startswith(begins), said
    assert hint.startswith("hint: "), said
    assert not [line for line in before if not line.startswith("epoch ")], said


def assert_it_continues(folder: Path) -> None:
    """The checkpoint is whole, and one process goes on from it."""
    done = load_checkpoint(folder / "two" / "last.pt").training["counters"]["history"]
    words = ["--resume", "two", "--device", "cpu", "--epochs", str(len(done) + 1)]
    ((code, _, said),) = ends([start([*COMMAND, *words], folder)])
    assert code == 0, said
    after = load_checkpoint(folder / "two" / "last.pt").training["counters"]["history"]
    assert after[: len(done)] == done
    assert len(after) == len(done) + 1
