"""Where tasks run, and what each gets."""

from __future__ import annotations

from dataclasses import dataclass

from lstmcli.core.errors import ConfigError

WARM_UP_S = 5.0
"""A piece of a video begins so much earlier, so that state and tracks are there at the seam."""
TAIL_S = 1.5
"""It ends so much later, so that gaps at the seam are filled and tracks can be joined."""


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """Where tasks run, and what each gets.

    Args:
        on: `here` (this process, one after the other) or `ray`.
        address: `HOST:PORT` of a Ray cluster; None: one is started on this machine.
        cores: CPU cores of a task.
        gpus: share of a GPU of a task, 0.25 for four tasks on one; 0: tasks run on CPUs.
        retries: of a task whose worker died.
        piece_s: videos that are longer are cut at key frames into pieces of about this length;
            None: no video is cut.

    Raises:
        ConfigError: a value is out of its range.
    """

    on: str = "ray"
    address: str | None = None
    cores: float = 1.0
    gpus: float = 0.0
    retries: int = 3
    piece_s: float | None = None

    def __post_init__(self) -> None:
        if self.cores <= 0 or self.gpus < 0:
            raise ConfigError(
                f"a task of {self.cores:g} cores and {self.gpus:g} GPUs",
                hint="--task-cores is above 0, --task-gpus 0 or more",
            )
        if self.piece_s is not None and self.piece_s < 2 * WARM_UP_S:
            raise ConfigError(
                f"--piece {self.piece_s:g} s", hint=f"pieces are {2 * WARM_UP_S:g} s or longer"
            )
