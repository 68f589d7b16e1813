"""Short attention over the maps of the last frames."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from lstmcli.core.errors import ConfigError
from lstmcli.models.temporal.gates import along_time, gate_convolution
from lstmcli.models.temporal.state import State, state_dtype

HEADS = 4
REFUSED = -1e4
"""The score of what may not be seen; finite, so that no gradient is NaN."""


class Attention(nn.Module):
    """Every cell asks its own neighbourhood in the last frames, the present one included.

    Dot-product attention (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762) over
    `remembered` maps times `kernel_size` squared cells, with a learned bias for each age and
    offset. What was found and the cell's own value go side by side through a 1x1 convolution, so
    that it can take their difference, and are added to the features. The memory is a window:
    nothing older than `remembered - 1` frames has any influence.

    Args:
        channels: channels of the input and of the output.
        kernel_size: odd; the side of the neighbourhood in cells.
        groups: unused.
        learned_start: unused: a video begins with an empty memory.
        remembered: frames that are looked at, the present one included; at least 2.
    """

    def __init__(
        self,
        channels: int,
        *,
        kernel_size: int = 3,
        groups: int = 1,
        learned_initial_state: bool = False,
        remembered: int = 4,
    ) -> None:
        super().__init__()
        if remembered < 2:
            raise ConfigError(
                f"an attention over {remembered} frames", hint="remember at least 2 frames"
            )
        if kernel_size % 2 == 0:
            raise ConfigError(
                f"temporal.kernel_size is {kernel_size}", hint="use an odd number, as 3"
            )
        self.kernel_size, self.remembered = kernel_size, remembered
        self.inner = HEADS * max(4, channels // (4 * HEADS))
        self.to_q = gate_convolution(channels, self.inner, kernel_size=1)
        self.key = gate_convolution(channels, self.inner, kernel_size=1)
        self.value = gate_convolution(channels, self.inner, kernel_size=1)
        self.answer = gate_convolution(2 * self.inner, channels, kernel_size=1)
        self.bias = nn.Parameter(torch.zeros(kernel_size**2, remembered, HEADS))

    def initial_state(self, features: Tensor) -> State:
        """Return keys and values [B, M, inner, H, W] and which are known [B, M]: none."""
        batch, _, _, height, width = features.shape
        slots = self.remembered - 1
        shape = (batch, slots, self.inner, height, width)
        dtype = state_dtype(features)
        return (
            features.new_zeros(shape, dtype=dtype),
            features.new_zeros(shape, dtype=dtype),
            features.new_zeros((batch, slots), dtype=dtype),
        )

    def forward(self, features: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Return the features with memory, and the state after the last frame.

        Args:
            features: [B, T, C, H, W].
            state: what the previous call returned, or None where a video begins.
        """
        old_keys, old_values, old_known = self.initial_state(features) if state is None else state
        frames = features.shape[1]
        questions = along_time(self.to_q, features).to(old_keys.dtype)
        values = along_time(self.value, features).to(old_keys.dtype)
        all_values = torch.cat((old_values, values), dim=1)
        keys = torch.cat((old_keys, along_time(self.key, features).to(old_keys.dtype)), dim=1)
        known = torch.cat((old_known, old_known.new_ones(len(features), frames)), dim=1)
        found = []
        for t in range(frames):
            seen = slice(t, t + self.remembered)
            found.append(
                self._attend(questions[:, t], keys[:, seen], all_values[:, seen], known[:, seen])
            )
        both = torch.cat((torch.stack(found, dim=1), values), dim=2).to(features.dtype)
        answers = along_time(self.answer, both).to(features.dtype)
        slots = self.remembered - 1
        return features + answers, (keys[:, -slots:], all_values[:, -slots:], known[:, -slots:])

    def _attend(self, question: Tensor, keys: Tensor, values: Tensor, known: Tensor) -> Tensor:
        """Return what one frame finds, [B, inner, H, W].

        Offsets are slices of one padded map instead of an unfolded copy, which would need
        kernel_size squared times the memory.
        """
        height, width = question.shape[-2:]
        margin = (self.kernel_size // 2,) * 4
        question = torch.unflatten(question, 1, (HEADS, -1)).unsqueeze(1)
        question = question * question.shape[3] ** -0.5
        keys = torch.unflatten(functional.pad(keys, margin), 2, (HEADS, -1))
        values = torch.unflatten(functional.pad(values, margin), 2, (HEADS, -1))
        inside = functional.pad(known.new_ones(1, 1, 1, height, width), margin)
        visible = inside * known[:, :, None, None, None]
        offsets = [
            (..., slice(y, y + height), slice(x, x + width))
            for y in range(self.kernel_size)
            for x in range(self.kernel_size)
        ]
        scores = torch.stack(
            [
                ((question * keys[offset]).sum(dim=3) + bias[:, :, None, None]).masked_fill(
                    visible[offset] == 0, REFUSED
                )
                for offset, bias in zip(offsets, self.bias.to(keys.dtype).unbind(0), strict=True)
            ],
            dim=1,
        )
        weights = torch.unflatten(scores.flatten(1, 2).softmax(dim=1), 1, scores.shape[1:3])
        found = torch.zeros_like(question[:, 0])
        for offset, weight in zip(offsets, weights.unbind(1), strict=True):
            found = found + (weight.unsqueeze(3) * values[offset]).sum(dim=1)
        return found.flatten(1, 2)
