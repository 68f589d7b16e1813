"""Sweeps of the grid in four directions for global context, and a convolutional LSTM in time."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lstmcli.models.temporal.conv_lstm import ConvLSTM
from lstmcli.models.temporal.gates import along_time, gate_convolution, init_forget_bias
from lstmcli.models.temporal.state import State


def _sweep(inputs: int, hidden: int) -> nn.LSTM:
    layer = nn.LSTM(inputs, hidden, batch_first=True, bidirectional=True)
    init_forget_bias(layer.get_parameter("bias_ih_l0"), 1, 4)
    init_forget_bias(layer.get_parameter("bias_ih_l0_reverse"), 1, 4)
    return layer


class SpatialLSTM(nn.Module):
    """Mixes context of the whole frame into every cell, then runs a convolutional LSTM in time.

    A bidirectional LSTM runs along each row, a second one along each column of its output (ReNet,
    Visin et al. 2015, https://arxiv.org/abs/1505.00393), so that the receptive field is the whole
    map. The result is added to the features, which go through a `ConvLSTM`. The sweeps keep no
    state between frames.

    Args:
        channels: of the input, of the hidden map and of the output.
        kernel_size: of the convolutional LSTM; odd.
    """

    def __init__(
        self,
        channels: int,
        *,
        kernel_size: int = 3,
    ) -> None:
        super().__init__()
        inner = max(8, channels // 4)
        self.reduce = gate_convolution(channels, 2 * inner, kernel_size=1)
        self.rows = _sweep(2 * inner, inner)
        self.columns = _sweep(2 * inner, inner)
        self.expand = gate_convolution(2 * inner, channels, kernel_size=1)
        self.time = ConvLSTM(channels, kernel_size=kernel_size)

    def initial_state(self, features: Tensor) -> State:
        """Return (hidden, cell) of the LSTM in time, each [B, C, H, W]."""
        return self.time.initial_state(features)

    def forward(self, features: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Return the output features [B, T, C, H, W] and the state after the last frame.

        Args:
            features: [B, T, C, H, W].
            state: of the previous call, or None where a video begins.
        """
        tokens = along_time(self.reduce, features).flatten(0, 1).permute(0, 2, 3, 1)
        tokens = self._run(self.rows, tokens).transpose(1, 2)
        context = self._run(self.columns, tokens).permute(0, 3, 2, 1).to(features.dtype)
        context = torch.unflatten(self.expand(context), 0, features.shape[:2])
        result: tuple[Tensor, State] = self.time(features + context.to(features.dtype), state)
        return result

    def _run(self, sweep: nn.LSTM, tokens: Tensor) -> Tensor:
        """Return [N, lines, length, channels] after a sweep along every line."""
        weights: list[Tensor] = list(sweep.parameters())
        lines = tokens.flatten(0, 1).to(weights[0].dtype)
        zeros = lines.new_zeros(2, len(lines), sweep.hidden_size)
        # oneDNN has no LSTM in bfloat16 for CPUs with AVX2 alone, so autocast stays out; and the
        # layer's own call keeps a second list of its weights, of which torch.export warns
        with torch.autocast(lines.device.type, enabled=False):
            result = torch.lstm(
                lines, (zeros, zeros), weights, True, 1, 0.0, self.training, True, True
            )[0]
        return torch.unflatten(result, 0, tokens.shape[:2])
