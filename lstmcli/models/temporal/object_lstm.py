"""Evidence that follows objects: a few memories look for objects and speak to their cells."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from lstmcli.models.temporal.conv_lstm import ConvLSTM
from lstmcli.models.temporal.gates import along_time, gate_convolution, init_forget_bias, lstm_step
from lstmcli.models.temporal.state import State, initial_parameter, state_dtype

MOTION_NUMBERS = 4
"""What a memory is told of its object's place: motion y and x, spread, weight of the best cell."""
LONGEST_MOTION = 4.0
"""Cells a frame; a longer way is a jump to another object and is told as this much."""


class ObjectLSTM(nn.Module):
    """Gathers the evidence for an object's class along its way, however far it moves.

    A `ConvLSTM` keeps its memory in places, so what it knows of an object of a few pixels is lost
    when the object leaves the cell. Here `objects` memories each look for one object: a query, that
    is a learned vector plus what the memory asks for, scores every cell; the scores compete between
    the memories (Locatello et al. 2020, https://arxiv.org/abs/2006.15055) and a softmax over the
    map pools one key and one value. An LSTM shared by the memories carries these, with how far the
    place has moved in cells, along time. Then each cell reads the memories back by the likeness of
    its key to the pooled keys and by how much the memory looked at it, or reads nothing; a gate of
    its own decides how much is added to its features. A narrow `ConvLSTM` beside it keeps
    positions. Cells are clamped to `gates.CELL_LIMIT`. Places are told as differences only, so that
    crops and whole frames look alike.

    Args:
        channels: channels of the input and of the output.
        kernel_size: of the convolutional LSTM; odd.
        groups: of the convolutional LSTM.
        learned_start: learn the states in which a video begins instead of taking zeros.
        objects: how many memories.
        evidence: numbers that a memory holds.
    """

    def __init__(
        self,
        channels: int,
        *,
        kernel_size: int = 3,
        groups: int = 1,
        learned_initial_state: bool = False,
        objects: int = 4,
        evidence: int = 128,
    ) -> None:
        super().__init__()
        self.objects, self.evidence = objects, evidence
        self.inner = max(16, channels // 2)
        self.key = gate_convolution(channels, self.inner, kernel_size=1)
        self.value = gate_convolution(channels, self.inner, kernel_size=1)
        self.queries = nn.Parameter(torch.randn(objects, self.inner))
        self.to_q = nn.Linear(evidence, self.inner)
        # 4: the memories then differ in what they look at from the first step on.
        self.sharpness = nn.Parameter(torch.tensor(4.0))
        self.from_object = nn.Linear(self.inner + MOTION_NUMBERS, 4 * evidence)
        self.from_evidence = nn.Linear(evidence, 4 * evidence)
        self.annotated_frames = nn.Parameter(torch.tensor(0.0))
        self.null_logit = nn.Parameter(torch.tensor(0.0))
        self.tells = nn.Linear(evidence, channels)
        self.gate = gate_convolution(channels, 1, kernel_size=1)
        self.narrow = gate_convolution(channels, max(groups, channels // 2), kernel_size=1)
        self.place = ConvLSTM(
            max(groups, channels // 2),
            kernel_size=kernel_size,
            groups=groups,
            learned_initial_state=learned_initial_state,
        )
        self.widen = gate_convolution(max(groups, channels // 2), channels, kernel_size=1)
        self.start = initial_parameter(evidence, 2, learned_initial_state)
        init_forget_bias(self.from_object.bias, 1, 4)

    def initial_state(self, features: Tensor) -> State:
        """Return (evidence, its cell, places, hidden, cell).

        Evidence and its cell are [B, objects, evidence]; places [B, objects, 3] hold y, x in cells
        and 1 where something was seen; hidden and cell are the narrow maps [B, C // 2, H, W].
        """
        batch, dtype = len(features), state_dtype(features)
        shape = (batch, self.objects, self.evidence)
        if self.start is None:
            evidence = features.new_zeros(shape, dtype=dtype)
            cell = features.new_zeros(shape, dtype=dtype)
        else:
            evidence, cell = (row.to(dtype).expand(shape) for row in self.start.unbind(0))
        places = features.new_zeros((batch, self.objects, 3), dtype=dtype)
        return evidence, cell, places, *self.place.initial_state(features)

    def forward(self, features: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Return the features with memory, and the state after the last frame.

        Args:
            features: [B, T, C, H, W].
            state: what the previous call returned, or None where a video begins.
        """
        if state is None:
            state = self.initial_state(features)
        evidence, cell, places, *maps = state
        remembered, local = self.place(along_time(self.narrow, features), tuple(maps))
        keys = along_time(self.key, features).unbind(dim=1)
        values = along_time(self.value, features).unbind(dim=1)
        told = []
        for key, value in zip(keys, values, strict=True):
            scores, pooled, places, seen = self._look(key, value, evidence, places)
            gates = self.from_object(seen.to(features.dtype))
            gates = gates + self.from_evidence(evidence.to(features.dtype))
            evidence, cell = lstm_step(gates.to(cell.dtype).chunk(4, dim=-1), cell)
            told.append(self._tell(key, pooled, scores, evidence))
        gate = along_time(self.gate, features).sigmoid()
        result = features + along_time(self.widen, remembered) + gate * torch.stack(told, dim=1)
        return result.to(features.dtype), (evidence, cell, places, *local)

    def _look(
        self, key: Tensor, value: Tensor, evidence: Tensor, places: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return scores [B, K, H * W], pooled keys, new places, and what the LSTMs are fed."""
        height, width = key.shape[-2:]
        queries = self.queries.to(key.dtype) + self.to_q(evidence.to(key.dtype)).to(key.dtype)
        scores = (queries @ key.flatten(2)).to(places.dtype)
        scores = scores * self.sharpness.to(places.dtype) * self.inner**-0.5
        scores = scores + scores.log_softmax(dim=1)
        weights = scores.softmax(dim=2).to(key.dtype)
        pooled = weights @ key.flatten(2).transpose(1, 2)
        pooled_value = weights @ value.flatten(2).transpose(1, 2)

        # Sharper than the pooling, so that a wide, faint background does not draw the place away.
        focus = (2.0 * scores).softmax(dim=2)
        grid = torch.unflatten(focus, 2, (height, width))
        ys = torch.arange(height, device=key.device, dtype=places.dtype)
        xs = torch.arange(width, device=key.device, dtype=places.dtype)
        y, x = (grid.sum(dim=3) * ys).sum(dim=2), (grid.sum(dim=2) * xs).sum(dim=2)
        spread = (grid.sum(dim=3) * (ys - y[..., None]) ** 2).sum(dim=2)
        spread = spread + (grid.sum(dim=2) * (xs - x[..., None]) ** 2).sum(dim=2)
        place = torch.stack((y, x), dim=2)
        motion = (place - places[..., :2]) * places[..., 2:]
        motion = motion.clamp(-LONGEST_MOTION, LONGEST_MOTION)
        shape = torch.stack((spread.log1p(), focus.amax(dim=2)), dim=2)
        seen = torch.cat((pooled_value.to(places.dtype), motion, shape), dim=2)
        return scores, pooled, torch.cat((place, torch.ones_like(place[..., :1])), dim=2), seen

    def _tell(self, key: Tensor, pooled: Tensor, scores: Tensor, evidence: Tensor) -> Tensor:
        """Return what each cell reads from the memories, [B, C, H, W]."""
        likeness = (pooled @ key.flatten(2)).to(scores.dtype) * self.inner**-0.5
        distance = scores.amax(dim=2, keepdim=True) - scores
        likeness = likeness - functional.softplus(self.annotated_frames).to(scores.dtype) * distance
        null_logit = self.null_logit.to(scores.dtype).expand_as(likeness[:, :1])
        reading = torch.cat((likeness, null_logit), dim=1).softmax(dim=1)[:, : self.objects]
        spoken = self.tells(evidence.to(key.dtype)).transpose(1, 2)
        return torch.unflatten(spoken @ reading.to(spoken.dtype), 2, key.shape[-2:])
