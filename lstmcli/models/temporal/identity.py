"""No recurrent core: the baseline, and the detector with a track memory alone."""

from __future__ import annotations

from torch import Tensor, nn

from lstmcli.models.temporal.state import State


class Identity(nn.Module):
    """Returns the features as they are; its state is empty.

    Args:
        channels: ignored.
        kernel_size: ignored.
    """

    def __init__(
        self,
        channels: int,
        *,
        kernel_size: int = 1,
    ) -> None:
        super().__init__()

    def initial_state(self, features: Tensor) -> State:
        """Return the empty state."""
        return ()

    def forward(self, features: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Return the features themselves and the empty state."""
        return features, ()
