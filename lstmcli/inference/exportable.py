"""One step of a detector as a plain function of tensors, for export and runtimes."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from lstmcli.models.detector import DetectorNet, fold_norms
from lstmcli.models.temporal import State


class ExportableStep(nn.Module):
    """Maps a frame and a state to boxes, scores and the new state; batch and canvas are fixed.

    Pixels are normalised inside. The state is reset inside: where `starts` is true, the state is
    replaced by the initial one, NaN included.

    Inputs, in this order:
        frame: uint8 [1, H, W, 3], RGB.
        previous_frame: uint8 [1, H, W, 3], only with frame difference as input.
        starts: bool [1], only with a recurrent core.
        state_0, state_1 ...: float32, as many as its core has.

    Outputs: boxes [cells, 4] in pixels of the canvas, scores [cells, classes], the new states.

    Args:
        model: its weights are copied, folded and cast to float32.
    """

    def __init__(self, model: DetectorNet) -> None:
        super().__init__()
        self.model = fold_norms(model).float().cpu()
        with torch.no_grad():
            self.first = self._first_state()
        self.begun = len(self.first) > 0
        states = len(self.first)
        self.input_names = (
            "frame",
            *(["previous_frame"] if model.uses_frame_difference else []),
            *(["starts"] if self.begun else []),
            *(f"state_{i}" for i in range(states)),
        )
        self.output_names = ("boxes", "scores", *(f"new_state_{i}" for i in range(states)))

    def _first_state(self) -> State:
        height, width = (-(-side // self.model.grid) for side in self.model.canvas_hw)
        features = torch.zeros(1, 1, self.model.config.neck.channels, height, width)
        state = self.model.initial_state(features)
        return tuple(value.detach().clone().contiguous() for value in state)

    def examples(self) -> tuple[Tensor, ...]:
        """Return inputs of the right shapes and types, no two of them the same tensor."""
        height, width = self.model.canvas_hw
        frames = [
            torch.zeros(1, height, width, 3, dtype=torch.uint8)
            for _ in range(1 + self.model.uses_frame_difference)
        ]
        starts = [torch.ones(1, dtype=torch.bool)] if self.begun else []
        return (*frames, *starts, *(value.clone() for value in self.first))

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return (boxes, scores, new states) for the inputs that `input_names` names."""
        boxes, scores, *state = self.of_many(*inputs)
        return boxes[0], scores[0], *state

    def of_many(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the step of several streams: every tensor has a row a stream."""
        values = dict(zip(self.input_names, inputs, strict=True))
        state = tuple(values[name] for name in self.input_names if name.startswith("state_"))
        previous_frame = values.get("previous_frame")
        raw, state = self.model(
            as_clip(values["frame"]),
            None if previous_frame is None else as_clip(previous_frame),
            state if self.begun else None,
            starts=values.get("starts"),
        )
        raw = raw[:, 0]
        head = self.model.head
        return head.boxes(raw), head.scores(raw), *state


def as_clip(frames: Tensor) -> Tensor:
    """Return frames [N, H, W, 3] as clips of one frame [N, 1, 3, H, W]."""
    return frames.permute(0, 3, 1, 2).unsqueeze(1)


def capture(step: ExportableStep) -> ExportedProgram:
    """Return the step as a graph of `torch.export`, the source of all export formats."""
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside torch
        program = torch.export.export(step.eval(), step.examples(), strict=False)
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # file names of this machine
    return program
