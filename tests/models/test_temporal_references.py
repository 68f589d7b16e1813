"""Temporal cores against references: torch.nn.LSTM, torch.nn.GRU, and equations in NumPy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.testing import assert_close

from lstmcli.models.temporal.aligned_lstm import AlignedLSTM
from lstmcli.models.temporal.attention import Attention
from lstmcli.models.temporal.bottleneck_lstm import BottleneckLSTM
from lstmcli.models.temporal.conv_gru import ConvGRU, gru
from lstmcli.models.temporal.conv_lstm import ConvLSTM, lstm
from lstmcli.models.temporal.gates import CELL_LIMIT
from lstmcli.models.temporal.object_lstm import ObjectLSTM
from lstmcli.models.temporal.peephole_lstm import PeepholeLSTM

Array = npt.NDArray[np.float64]


def tokens(features: Tensor) -> Tensor:
    """Return [B * H * W, T, C]: every cell of the map as a row of its own."""
    return features.permute(0, 3, 4, 1, 2).flatten(0, 2)


def torch_twin(core: ConvLSTM | ConvGRU) -> nn.LSTM | nn.GRU:
    """Return torch's layer with the weights of a core of 1x1 kernels."""
    kind = nn.LSTM if isinstance(core, ConvLSTM) else nn.GRU
    twin = kind(core.channels, core.channels, batch_first=True).double()
    twin.load_state_dict(
        {
            "weight_ih_l0": core.from_input.weight.flatten(1),
            "bias_ih_l0": core.from_input.bias,
            "weight_hh_l0": core.from_hidden.weight.flatten(1),
            "bias_hh_l0": core.from_hidden.bias,
        }
    )
    return twin


@pytest.mark.parametrize("make", [lstm, gru])
@pytest.mark.parametrize("frames", [1, 7])
def test_a_core_shared_by_the_cells_is_torchs(
    make: Callable[[int], ConvLSTM | ConvGRU], frames: int
) -> None:
    """The order of the sums differs, which rounds differently in the 16th digit."""
    torch.manual_seed(0)
    core = make(6).double()
    features = torch.randn(2, frames, 6, 3, 4, dtype=torch.float64)
    output, state = core(features)
    expected, end = torch_twin(core)(tokens(features))
    assert_close(tokens(output), expected, rtol=1e-13, atol=1e-14)
    for mine, theirs in zip(state, end if isinstance(end, tuple) else (end,), strict=True):
        assert_close(tokens(mine[:, None])[:, 0], theirs[0], rtol=1e-13, atol=1e-14)


def test_the_shared_lstm_is_torchs_in_float32_with_its_gradients() -> None:
    torch.manual_seed(0)
    core = lstm(6)
    features = torch.randn(2, 7, 6, 3, 4)
    mine, theirs = features.clone().requires_grad_(), features.clone().requires_grad_()
    twin = torch_twin(core).float()
    core(mine)[0].square().sum().backward()
    twin(tokens(theirs))[0].square().sum().backward()
    assert_close(mine.grad, theirs.grad)
    assert core.from_hidden.weight.grad is not None
    assert_close(core.from_hidden.weight.grad.flatten(1), twin.weight_hh_l0.grad)


@pytest.mark.parametrize(("make", "shared"), [(ConvLSTM, lstm), (ConvGRU, gru)])
def test_a_convolution_on_a_map_of_one_cell_is_the_shared_core(
    make: type[ConvLSTM] | type[ConvGRU], shared: Callable[[int], ConvLSTM | ConvGRU]
) -> None:
    """There only the middle of the kernel counts."""
    torch.manual_seed(0)
    core, plain = make(6, kernel_size=3), shared(6)
    with torch.no_grad():
        for one, other in (
            (core.from_input, plain.from_input),
            (core.from_hidden, plain.from_hidden),
        ):
            other.weight.copy_(one.weight[:, :, 1:2, 1:2])
            assert other.bias is not None
            other.bias.zero_() if one.bias is None else other.bias.copy_(one.bias)
    features = torch.randn(2, 5, 6, 1, 1)
    assert_close(core(features), plain(features))


def sigmoid(x: Array) -> Array:
    """The logistic function."""
    return np.asarray(1.0 / (1.0 + np.exp(-x)))


def convolve(maps: Array, weight: Array) -> Array:
    """Correlate [C, H, W] with [O, C, k, k] in plain loops, zeros around the map."""
    _, height, width = maps.shape
    side = weight.shape[-1]
    padded = np.pad(maps, ((0, 0), (side // 2,) * 2, (side // 2,) * 2))
    result = np.zeros((len(weight), height, width))
    for y in range(height):
        for x in range(width):
            window = padded[:, y : y + side, x : x + side]
            result[:, y, x] = (weight * window).sum(axis=(1, 2, 3))
    return result


def peephole_reference(core: PeepholeLSTM, frames: Array) -> tuple[Array, Array]:
    """The equations of Shi et al. 2015 (3), peepholes a channel, in NumPy; frames [T, C, H, W].

    i = s(Wxi x + Whi h + wci c- + bi), f = s(Wxf x + Whf h + wcf c- + bf),
    c = f c- + i tanh(Wxc x + Whc h + bc), o = s(Wxo x + Who h + wco c + bo), h = o tanh(c).
    """
    wx, bias = (p.detach().numpy() for p in (core.from_input.weight, core.from_input.bias))
    wh, peepholes = (p.detach().numpy() for p in (core.from_hidden.weight, core.peepholes))
    channels = frames.shape[1]
    hidden = cell = np.zeros(frames.shape[1:])
    outputs = []
    for frame in frames:
        raw = convolve(frame, wx) + convolve(hidden, wh) + bias[:, None, None]
        i, f, g, o = (raw[k * channels : (k + 1) * channels] for k in range(4))
        i, f = sigmoid(i + peepholes[0] * cell), sigmoid(f + peepholes[1] * cell)
        cell = f * cell + i * np.tanh(g)
        hidden = sigmoid(o + peepholes[2] * cell) * np.tanh(cell)
        outputs.append(hidden)
    return np.stack(outputs), cell


@pytest.mark.parametrize("kernel_size", [1, 3])
def test_the_peephole_lstm_agrees_with_its_equations(kernel_size: int) -> None:
    torch.manual_seed(0)
    core = PeepholeLSTM(4, kernel_size=kernel_size).double()
    nn.init.normal_(core.peepholes)
    features = torch.randn(1, 6, 4, 3, 5, dtype=torch.float64)
    output, (_, cell) = core(features)
    expected, expected_cell = peephole_reference(core, features[0].numpy())
    assert_close(output[0], torch.from_numpy(expected))
    assert_close(cell[0], torch.from_numpy(expected_cell))


def test_without_peepholes_the_peephole_lstm_is_the_conv_lstm() -> None:
    torch.manual_seed(0)
    core, plain = PeepholeLSTM(4), ConvLSTM(4)
    plain.load_state_dict({k: v for k, v in core.state_dict().items() if k != "peepholes"})
    features = torch.randn(2, 4, 4, 3, 5)
    assert_close(core(features), plain(features))


def test_the_bottleneck_lstm_agrees_with_its_equations() -> None:
    """Liu and Zhu 2018, section 3.3, on a 1x1 map, where a depthwise kernel is one factor.

    b = relu(W [x, h]); c = s(Wf b) c- + s(Wi b) relu(Wc b); h = s(Wo b) relu(c).
    """
    torch.manual_seed(0)
    core = BottleneckLSTM(4, kernel_size=3).double()

    def matrix(layer: nn.Sequential) -> tuple[Tensor, Tensor]:
        depth, point = layer.get_parameter("0.weight"), layer.get_parameter("1.weight")
        return point[:, :, 0, 0] * depth[:, 0, 1, 1], layer.get_parameter("1.bias")

    (wx, bx), (wh, bh), (wg, bg) = (
        matrix(layer) for layer in (core.from_input, core.from_hidden, core.gates)
    )
    features = torch.randn(1, 5, 4, 1, 1, dtype=torch.float64)
    hidden = cell = torch.zeros(4, dtype=torch.float64)
    expected = []
    for x in features[0, :, :, 0, 0]:
        bottleneck = (wx @ x + bx + wh @ hidden + bh).relu()
        i, f, g, o = (wg @ bottleneck + bg).view(4, 4)
        cell = f.sigmoid() * cell + i.sigmoid() * g.relu()
        hidden = o.sigmoid() * cell.relu()
        expected.append(hidden)
    assert_close(core(features)[0][0, :, :, 0, 0], torch.stack(expected))


def test_the_attention_agrees_with_torchs_over_the_unmasked_cells() -> None:
    """scaled_dot_product_attention for one cell of the third frame, its neighbours by hand."""
    torch.manual_seed(0)
    core = Attention(16, kernel_size=3, window=2).double()
    features = torch.randn(1, 3, 16, 4, 5, dtype=torch.float64)
    images = features[0]
    queries, keys, values = core.to_q(images), core.key(images), core.value(images)
    y, x = 0, 4  # a corner: 4 of its 9 neighbours exist
    heads = (4, core.inner // 4)
    query = queries[2, :, y, x].view(*heads)[:, None]

    def seen(maps: Tensor) -> Tensor:
        cells = [maps[t, :, j, i] for t in (1, 2) for j in (0, 1) for i in (3, 4)]
        return torch.stack([cell.view(*heads) for cell in cells], dim=1)

    found = functional.scaled_dot_product_attention(query, seen(keys), seen(values)).flatten()
    both = torch.cat((found, values[2, :, y, x]))[None, :, None, None]
    expected = images[2, :, y, x] + core.out_proj(both).flatten()
    assert_close(core(features)[0][0, 2, :, y, x], expected)


def test_attention_ends_with_its_window() -> None:
    torch.manual_seed(0)
    core = Attention(16, window=3)
    features = torch.randn(1, 5, 16, 4, 4)
    other = features.clone()
    other[:, 1] += 1.0
    changed = (core(other)[0] - core(features)[0]).abs().amax(dim=(0, 2, 3, 4))
    assert (changed > 0).tolist() == [False, True, True, True, False]


def moving_spot(*, first_class: float, still: bool = False) -> Tensor:
    """Return [1, 8, 16, 9, 24]: a bright cell that moves 3 cells a frame over an empty map.

    Channel 0 shows it; channel 1 tells its class, in the first frame only.
    """
    features = torch.zeros(1, 8, 16, 9, 24)
    for t in range(8):
        features[0, t, 0, 4, 1 if still else 1 + 3 * t] = 10.0
    features[0, 0, 1, 4, 1] = first_class
    return features


def test_the_object_lstm_carries_a_class_along_a_moving_object() -> None:
    """A ConvLSTM of kernel 1 cannot: the class was never in the cell of frame 7."""
    torch.manual_seed(0)
    core = ObjectLSTM(16, kernel_size=1)
    place = (0, 7, slice(None), 4, 22)
    one, other = (core(moving_spot(first_class=value))[0][place] for value in (5.0, -5.0))
    assert (one - other).abs().max() > 1e-3
    local = ConvLSTM(16, kernel_size=1)
    one, other = (local(moving_spot(first_class=value))[0][place] for value in (5.0, -5.0))
    assert_close(one, other, rtol=0, atol=0)


def test_the_object_lstm_depends_on_motion_but_not_on_position() -> None:
    """Queries made to match the object; the same motion elsewhere on the map, and another."""
    torch.manual_seed(0)
    core, thing = ObjectLSTM(16, kernel_size=1), torch.randn(16)

    def seen(y: int, x: int, step: int) -> tuple[Tensor, Tensor]:
        features = torch.zeros(1, 4, 16, 12, 12)
        for t in range(4):
            features[0, t, :, y, x + step * t] = thing
        _, (slots, _, positions, *_) = core(features)
        return slots, positions[0]

    with torch.no_grad():
        nothing, something = core.key(torch.stack((0 * thing, thing))[:, :, None, None]).flatten(1)
        core.queries.copy_((4.0 + torch.arange(4.0))[:, None] * (something - nothing))
        core.to_q.weight.zero_()
        (here, place), (there, other_place) = seen(1, 1, 2), seen(8, 4, 2)
        faster, _ = seen(1, 1, 3)
    assert_close(place, torch.tensor([[1.0, 7.0, 1.0]]).expand(4, 3), rtol=0, atol=0.1)
    assert_close(other_place, torch.tensor([[8.0, 10.0, 1.0]]).expand(4, 3), rtol=0, atol=0.1)
    # The rest of the map keeps a thousandth of the attention, and that lies elsewhere.
    assert_close(there, here, rtol=0, atol=2e-3)
    assert (faster - here).abs().max() > 2e-2


def test_the_aligned_lstm_reads_its_past_where_the_features_came_from() -> None:
    """A spot that moves by (1, 2) cells takes its hidden map and cell along; the rest stands."""
    torch.manual_seed(0)
    core = AlignedLSTM(4)
    before, after = torch.zeros(1, 8, 6, 9), torch.zeros(1, 8, 6, 9)
    before[0, 0, 2, 3] = after[0, 0, 3, 5] = 100.0
    hidden, cell = torch.randn(1, 4, 6, 9), torch.randn(1, 4, 6, 9)
    moved_hidden, moved_cell = core._moved(after, before, hidden, cell)
    assert_close(moved_hidden[0, :, 3, 5], hidden[0, :, 2, 3])
    assert_close(moved_cell[0, :, 3, 5], cell[0, :, 2, 3])
    with torch.no_grad():
        core.bias[12] = 100.0
    assert_close(core._moved(0 * after, before, hidden, cell), (hidden, cell))


def test_an_aligned_lstm_that_stands_still_is_a_separable_conv_lstm() -> None:
    torch.manual_seed(0)
    core, plain = AlignedLSTM(4, kernel_size=1), ConvLSTM(4, kernel_size=1)
    with torch.no_grad():
        core.bias[12] = 100.0
        core.mix.weight.fill_(1.0)
        plain.from_input.weight.copy_(core.gates.weight[:, :4])
        plain.from_hidden.weight.copy_(core.gates.weight[:, 4:])
        plain.from_input.bias.copy_(core.gates.bias)
    features = torch.randn(2, 4, 4, 3, 5)
    assert_close(core(features)[0], plain(features)[0])


def test_a_cell_that_counts_stays_within_its_limit() -> None:
    core = ConvLSTM(2, kernel_size=1)
    with torch.no_grad():
        for parameter in core.parameters():
            parameter.fill_(20.0)
        _, (_, cell) = core(torch.ones(1, 40, 2, 1, 1))
    assert_close(cell, torch.full_like(cell, CELL_LIMIT))
    assert float(torch.tensor(CELL_LIMIT).tanh()) == 1.0


@pytest.mark.parametrize("kind", [ConvLSTM, PeepholeLSTM])
def test_the_forget_gate_starts_open(kind: type[ConvLSTM] | type[PeepholeLSTM]) -> None:
    """The convolution's own bias is within +-1/sqrt(fan in), 1/12 here."""
    gates = kind(16).from_input.bias.view(4, 16)
    assert_close(gates.mean(dim=1), torch.tensor([0.0, 1.0, 0.0, 0.0]), rtol=0, atol=1 / 12)
