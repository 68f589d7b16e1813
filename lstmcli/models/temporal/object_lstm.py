"""Object slots: a few recurrent slots attend to objects and write back to their cells."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from lstmcli.models.temporal.conv_lstm import ConvLSTM
from lstmcli.models.temporal.gates import along_time, gate_convolution, init_forget_bias, lstm_step
from lstmcli.models.temporal.state import State, state_dtype

MOTION_NUMBERS = 4
"""Additional inputs of a slot: motion y and x, spread, weight of the best cell."""
MAX_MOTION = 4.0
"""Cells a frame; a larger motion is a jump to another object and is clamped."""


class ObjectLSTM(nn.Module):
    """Accumulates class information of an object along its trajectory in object slots.

    The state of a `ConvLSTM` belongs to cells, so that of a small object is lost when the object
    leaves the cell. Here `objects` slots each attend to one object: a query, a learned vector plus
    a projection of the slot's hidden values, scores every cell; the scores compete between the
    slots (Locatello et al. 2020, https://arxiv.org/abs/2006.15055) and a softmax over the map pools
    one key and one value. An LSTM shared by the slots is fed with these and with the motion of the
    attended position in cells. Then each cell attends to the slots by the similarity of its key to
    the pooled keys and by how much the slot attended to it, or to a null slot; a gate scales what
    is added to its features. A `ConvLSTM` of half the channels keeps what belongs to positions.
    Cells are clamped to `gates.CELL_LIMIT`. Positions enter as differences only, so that crops and
    full frames are alike.

    Args:
        channels: channels of the input and of the output.
        kernel_size: of the convolutional LSTM; odd.
        objects: number of slots.
        slot_size: hidden size of a slot.
    """

    def __init__(
        self,
        channels: int,
        *,
        kernel_size: int = 3,
        objects: int = 4,
        slot_size: int = 128,
    ) -> None:
        super().__init__()
        self.objects, self.slot_size = objects, slot_size
        self.inner = max(16, channels // 2)
        self.key = gate_convolution(channels, self.inner, kernel_size=1)
        self.value = gate_convolution(channels, self.inner, kernel_size=1)
        self.queries = nn.Parameter(torch.randn(objects, self.inner))
        self.to_q = nn.Linear(slot_size, self.inner)
        # 4: the slots then attend to different cells from the first step on
        self.sharpness = nn.Parameter(torch.tensor(4.0))
        self.from_object = nn.Linear(self.inner + MOTION_NUMBERS, 4 * slot_size)
        self.from_slot = nn.Linear(slot_size, 4 * slot_size)
        self.distance_weight = nn.Parameter(torch.tensor(0.0))
        self.null_logit = nn.Parameter(torch.tensor(0.0))
        self.to_out = nn.Linear(slot_size, channels)
        self.gate = gate_convolution(channels, 1, kernel_size=1)
        self.reduce = gate_convolution(channels, channels // 2, kernel_size=1)
        self.local = ConvLSTM(channels // 2, kernel_size=kernel_size)
        self.expand = gate_convolution(channels // 2, channels, kernel_size=1)
        init_forget_bias(self.from_object.bias, 1, 4)

    def initial_state(self, features: Tensor) -> State:
        """Return (slots, slot cells, positions, hidden, cell).

        Slots and their cells are [B, objects, slot_size]; positions [B, objects, 3] hold y, x in
        cells and 1 after the first frame; hidden and cell are maps [B, C // 2, H, W].
        """
        batch, dtype = len(features), state_dtype(features)
        shape = (batch, self.objects, self.slot_size)
        slots = features.new_zeros(shape, dtype=dtype)
        cell = features.new_zeros(shape, dtype=dtype)
        positions = features.new_zeros((batch, self.objects, 3), dtype=dtype)
        return slots, cell, positions, *self.local.initial_state(features)

    def forward(self, features: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Return the output features [B, T, C, H, W] and the state after the last frame.

        Args:
            features: [B, T, C, H, W].
            state: of the previous call, or None where a video begins.
        """
        if state is None:
            state = self.initial_state(features)
        slots, cell, positions, *maps = state
        hidden, local = self.local(along_time(self.reduce, features), tuple(maps))
        keys = along_time(self.key, features).unbind(dim=1)
        values = along_time(self.value, features).unbind(dim=1)
        read = []
        for key, value in zip(keys, values, strict=True):
            scores, pooled, positions, inputs = self._attend(key, value, slots, positions)
            gates = self.from_object(inputs.to(features.dtype))
            gates = gates + self.from_slot(slots.to(features.dtype))
            slots, cell = lstm_step(gates.to(cell.dtype).chunk(4, dim=-1), cell)
            read.append(self._read(key, pooled, scores, slots))
        gate = along_time(self.gate, features).sigmoid()
        result = features + along_time(self.expand, hidden) + gate * torch.stack(read, dim=1)
        return result.to(features.dtype), (slots, cell, positions, *local)

    def _attend(
        self, key: Tensor, value: Tensor, slots: Tensor, positions: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return scores [B, K, H * W], pooled keys, new positions, and the inputs of the LSTM."""
        height, width = key.shape[-2:]
        queries = self.queries.to(key.dtype) + self.to_q(slots.to(key.dtype)).to(key.dtype)
        scores = (queries @ key.flatten(2)).to(positions.dtype)
        scores = scores * self.sharpness.to(positions.dtype) * self.inner**-0.5
        scores = scores + scores.log_softmax(dim=1)
        weights = scores.softmax(dim=2).to(key.dtype)
        pooled = weights @ key.flatten(2).transpose(1, 2)
        pooled_value = weights @ value.flatten(2).transpose(1, 2)

        # sharper than the pooling, so that a wide, faint background does not shift the position
        focus = (2.0 * scores).softmax(dim=2)
        grid = torch.unflatten(focus, 2, (height, width))
        ys = torch.arange(height, device=key.device, dtype=positions.dtype)
        xs = torch.arange(width, device=key.device, dtype=positions.dtype)
        y, x = (grid.sum(dim=3) * ys).sum(dim=2), (grid.sum(dim=2) * xs).sum(dim=2)
        spread = (grid.sum(dim=3) * (ys - y[..., None]) ** 2).sum(dim=2)
        spread = spread + (grid.sum(dim=2) * (xs - x[..., None]) ** 2).sum(dim=2)
        position = torch.stack((y, x), dim=2)
        motion = (position - positions[..., :2]) * positions[..., 2:]
        motion = motion.clamp(-MAX_MOTION, MAX_MOTION)
        shape = torch.stack((spread.log1p(), focus.amax(dim=2)), dim=2)
        inputs = torch.cat((pooled_value.to(positions.dtype), motion, shape), dim=2)
        return (
            scores,
            pooled,
            torch.cat((position, torch.ones_like(position[..., :1])), dim=2),
            inputs,
        )

    def _read(self, key: Tensor, pooled: Tensor, scores: Tensor, slots: Tensor) -> Tensor:
        """Return the attention of each cell over the slots, [B, C, H, W]."""
        similarity = (pooled @ key.flatten(2)).to(scores.dtype) * self.inner**-0.5
        distance = scores.amax(dim=2, keepdim=True) - scores
        similarity = (
            similarity - functional.softplus(self.distance_weight).to(scores.dtype) * distance
        )
        null_logit = self.null_logit.to(scores.dtype).expand_as(similarity[:, :1])
        weights = torch.cat((similarity, null_logit), dim=1).softmax(dim=1)[:, : self.objects]
        values = self.to_out(slots.to(key.dtype)).transpose(1, 2)
        return torch.unflatten(values @ weights.to(values.dtype), 2, key.shape[-2:])
