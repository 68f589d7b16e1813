"""How a training process finds out which of several it is."""

from __future__ import annotations

import pytest
from lightning_fabric import Fabric

from lstmcli.core.errors import ConfigError, TrainingError
from lstmcli.training.distributed import build_fabric, run_in_processes
from lstmcli.training.launch import Launch, find_launch

TORCHRUN = {
    "TORCHELASTIC_RUN_ID": "x",
    "WORLD_SIZE": "6",
    "LOCAL_WORLD_SIZE": "2",
    "RANK": "3",
    "LOCAL_RANK": "1",
}
SLURM = {"SLURM_NTASKS": "8", "SLURM_NNODES": "2", "SLURM_PROCID": "5", "SLURM_LOCALID": "1"}


def test_a_command_of_its_own_starts_its_processes() -> None:
    assert find_launch(2, 1, {}) == Launch(2, 1, 0, False)
    assert find_launch(2, 1, {}).is_alone
    assert find_launch(1, 1, {"SLURM_NTASKS": "1", "SLURM_PROCID": "0"}).is_alone


def test_torchrun_says_how_many_there_are() -> None:
    launch = find_launch(1, 1, TORCHRUN)
    assert launch == Launch(2, 3, 3, True)
    assert not launch.leads
    assert not launch.is_alone
    assert find_launch(2, 3, TORCHRUN) == launch


def test_slurm_says_how_many_there_are() -> None:
    assert find_launch(1, 1, SLURM) == Launch(4, 2, 5, True)


def test_by_hand_the_environment_says_which_machine_it_is() -> None:
    assert find_launch(2, 2, {"NODE_RANK": "1"}) == Launch(2, 2, 2, False)
    assert find_launch(2, 2, {"NODE_RANK": "1", "LOCAL_RANK": "1"}).rank == 3
    assert find_launch(2, 2, {}).leads


def test_a_contradiction_is_refused() -> None:
    with pytest.raises(ConfigError, match="--devices 4, but the launcher started 2"):
        find_launch(4, 1, TORCHRUN)


def test_a_killed_data_process_is_no_internal_error() -> None:
    launch = find_launch(1, 1, {})
    fabric = build_fabric(device="cpu", launch=launch, half=False)

    def work(fabric: Fabric) -> None:
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")

    with pytest.raises(TrainingError, match="a process that loads data ended") as caught:
        run_in_processes(fabric, launch, work)
    assert "train.num_workers" in caught.value.hint
