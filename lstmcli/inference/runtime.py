"""Runtime: the contract of a trained detector in an inference engine. Without torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from lstmcli.core.metadata import ModelMetadata
from lstmcli.core.types import FloatArray, Picture

Step = tuple[FloatArray, FloatArray, Any]
"""Boxes [M, 4] in pixels of the canvas, scores [M, classes], the new state."""


class Runtime(Protocol):
    """A trained detector in an inference engine: metadata and a step.

    State in, state out: the caller holds the state, and None begins a video. A step may be
    called by several threads at once.
    """

    @property
    def metadata(self) -> ModelMetadata:
        """Input size, classes, calibration and post-processing of the network."""

    @property
    def engine(self) -> str:
        """The name of the inference engine."""

    @property
    def device(self) -> str:
        """`cpu`, `cuda` or `cuda:N`."""

    def step(self, frame: Picture, previous_frame: Picture, state: Any) -> Step:
        """Return the raw predictions of a frame and the new state.

        Args:
            frame: uint8 [H, W, 3] RGB, the canvas of `metadata.input_hw`.
            previous_frame: the canvas `metadata.motion_lag_s` before; ignored where that is 0.
            state: of the previous step of this stream; None where a video begins.

        Returns:
            boxes [M, 4] in pixels of the canvas, scores [M, classes] in 0..1, the new state.
        """


@runtime_checkable
class CapturedRuntime(Runtime, Protocol):
    """A runtime that captures its network as a graph where it can."""

    @property
    def problem(self) -> str:
        """Reason why the network was not captured, "" if it was or need not be."""


@runtime_checkable
class BatchableRuntime(Runtime, Protocol):
    """A runtime that can step several streams as one batch."""

    def step_many(
        self, frames: Sequence[Picture], previous_frames: Sequence[Picture], states: Sequence[Any]
    ) -> list[Step]:
        """Return the step of every stream."""
