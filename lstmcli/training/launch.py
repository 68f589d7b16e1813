"""Which of several training processes this one is: torchrun, SLURM or a person started them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from lstmcli.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Launch:
    """How this process was started among others.

    Args:
        devices: processes on each machine.
        nodes: machines.
        rank: of this process; 0 for the one that writes, prints and, where Fabric starts the
            others, starts them.
        is_external: whether torchrun or SLURM started every process.
    """

    devices: int
    nodes: int
    rank: int
    is_external: bool

    @property
    def leads(self) -> bool:
        """Whether this process writes and prints."""
        return self.rank == 0

    @property
    def is_alone(self) -> bool:
        """Whether the command that runs here is the only one for its run."""
        return not self.is_external and self.nodes == 1


def find_launch(devices: int, nodes: int, environment: Mapping[str, str] = os.environ) -> Launch:
    """Return how this process was started: by torchrun, by SLURM's srun, or by hand.

    Args:
        devices: processes on this machine, where a person says so.
        nodes: machines, where a person says so.
        environment: variables of the process.

    Raises:
        ConfigError: what a person and what the launcher says do not agree.
    """
    numbers = {name: int(value) for name, value in environment.items() if value.isdigit()}
    if "TORCHELASTIC_RUN_ID" in environment:
        size, per_node, rank = (numbers[n] for n in ("WORLD_SIZE", "LOCAL_WORLD_SIZE", "RANK"))
    elif numbers.get("SLURM_NTASKS", 1) > 1 and "SLURM_PROCID" in environment:
        size, rank = numbers["SLURM_NTASKS"], numbers["SLURM_PROCID"]
        per_node = size // max(1, numbers.get("SLURM_NNODES", 1))
    else:
        local = numbers.get("LOCAL_RANK", 0)  # of a process that Fabric started
        return Launch(devices, nodes, numbers.get("NODE_RANK", 0) * devices + local, False)
    found = Launch(per_node, size // per_node, rank, True)
    for name, given, is_there in (
        ("devices", devices, found.devices),
        ("nodes", nodes, found.nodes),
    ):
        if given not in (1, is_there):
            raise ConfigError(
                f"--{name} {given}, but the launcher started {is_there}",
                hint=f"leave --{name} out: torchrun and srun say it",
            )
    return found
