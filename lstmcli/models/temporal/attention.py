"""Attention over the feature maps of the last frames."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from lstmcli.core.errors import ConfigError
from lstmcli.models.temporal.gates import along_time, gate_convolution
from lstmcli.models.temporal.state import State, state_dtype

HEADS = 4
MASKED = -1e4
"""The logit of a masked position; finite, so that no gradient is NaN."""


class Attention(nn.Module):
    """Every cell attends to its neighbourhood in the last frames, the present one included.

    Dot-product attention (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762) over `window`
    maps times `kernel_size` squared cells, with a learned bias for each age and offset. The
    attended value and the cell's own value are concatenated and go through a 1x1 convolution,
    which can take their difference, and are added to the features. Nothing older than
    `window - 1` frames has any influence.

    Args:
        channels: channels of the input and of the output.
        kernel_size: odd; the side of the neighbourhood in cells.
        window: frames, the present one included; at least 2.
    """

    def __init__(
        self,
        channels: int,
        *,
        kernel_size: int = 3,
        window: int = 4,
    ) -> None:
        super().__init__()
        if window < 2:
            raise ConfigError(f"an attention over {window} frames", hint="use at least 2 frames")
        if kernel_size % 2 == 0:
            raise ConfigError(
                f"temporal.kernel_size is {kernel_size}", hint="use an odd number, as 3"
            )
        self.kernel_size, self.window = kernel_size, window
        self.inner = HEADS * max(4, channels // (4 * HEADS))
        self.to_q = gate_convolution(channels, self.inner, kernel_size=1)
        self.key = gate_convolution(channels, self.inner, kernel_size=1)
        self.value = gate_convolution(channels, self.inner, kernel_size=1)
        self.out_proj = gate_convolution(2 * self.inner, channels, kernel_size=1)
        self.bias = nn.Parameter(torch.zeros(kernel_size**2, window, HEADS))

    def initial_state(self, features: Tensor) -> State:
        """Return keys and values [B, M, inner, H, W] and which are valid [B, M]: none."""
        batch, _, _, height, width = features.shape
        slots = self.window - 1
        shape = (batch, slots, self.inner, height, width)
        dtype = state_dtype(features)
        return (
            features.new_zeros(shape, dtype=dtype),
            features.new_zeros(shape, dtype=dtype),
            features.new_zeros((batch, slots), dtype=dtype),
        )

    def forward(self, features: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Return the output features [B, T, C, H, W] and the state after the last frame.

        Args:
            features: [B, T, C, H, W].
            state: of the previous call, or None where a video begins.
        """
        old_keys, old_values, old_valid = self.initial_state(features) if state is None else state
        frames = features.shape[1]
        queries = along_time(self.to_q, features).to(old_keys.dtype)
        values = along_time(self.value, features).to(old_keys.dtype)
        all_values = torch.cat((old_values, values), dim=1)
        keys = torch.cat((old_keys, along_time(self.key, features).to(old_keys.dtype)), dim=1)
        valid = torch.cat((old_valid, old_valid.new_ones(len(features), frames)), dim=1)
        attended = []
        for t in range(frames):
            span = slice(t, t + self.window)
            attended.append(
                self._attend(queries[:, t], keys[:, span], all_values[:, span], valid[:, span])
            )
        both = torch.cat((torch.stack(attended, dim=1), values), dim=2).to(features.dtype)
        update = along_time(self.out_proj, both).to(features.dtype)
        slots = self.window - 1
        return features + update, (keys[:, -slots:], all_values[:, -slots:], valid[:, -slots:])

    def _attend(self, query: Tensor, keys: Tensor, values: Tensor, valid: Tensor) -> Tensor:
        """Return the attended values of one frame, [B, inner, H, W].

        Offsets are slices of one padded map instead of an unfolded copy, which would need
        kernel_size squared times the memory.
        """
        height, width = query.shape[-2:]
        margin = (self.kernel_size // 2,) * 4
        query = torch.unflatten(query, 1, (HEADS, -1)).unsqueeze(1)
        query = query * query.shape[3] ** -0.5
        keys = torch.unflatten(functional.pad(keys, margin), 2, (HEADS, -1))
        values = torch.unflatten(functional.pad(values, margin), 2, (HEADS, -1))
        inside = functional.pad(valid.new_ones(1, 1, 1, height, width), margin)
        visible = inside * valid[:, :, None, None, None]
        offsets = [
            (..., slice(y, y + height), slice(x, x + width))
            for y in range(self.kernel_size)
            for x in range(self.kernel_size)
        ]
        scores = torch.stack(
            [
                ((query * keys[offset]).sum(dim=3) + bias[:, :, None, None]).masked_fill(
                    visible[offset] == 0, MASKED
                )
                for offset, bias in zip(offsets, self.bias.to(keys.dtype).unbind(0), strict=True)
            ],
            dim=1,
        )
        weights = torch.unflatten(scores.flatten(1, 2).softmax(dim=1), 1, scores.shape[1:3])
        result = torch.zeros_like(query[:, 0])
        for offset, weight in zip(offsets, weights.unbind(1), strict=True):
            result = result + (weight.unsqueeze(3) * values[offset]).sum(dim=1)
        return result.flatten(1, 2)
