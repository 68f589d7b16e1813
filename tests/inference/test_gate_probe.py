"""Gates that are shown are those that the core computes."""

from __future__ import annotations

import pytest
import torch

from lstmcli.inference.gate_probe import GRU_GATES, LSTM_GATES, GateProbe
from lstmcli.models.temporal import build_temporal


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("conv_lstm", LSTM_GATES),
        ("peephole_lstm", LSTM_GATES),
        ("bottleneck_lstm", LSTM_GATES),
        ("conv_gru", GRU_GATES),
    ],
)
def test_every_gate_has_a_map_within_0_and_1(name: str, expected: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    core = build_temporal(name, 8)
    with GateProbe(core) as probe, torch.inference_mode():
        _, state = core(torch.randn(1, 1, 8, 4, 6), None)
    maps = probe.maps(state)
    assert set(maps) == {*expected, "cell"}
    assert all(maps[gate].shape == (4, 6) for gate in expected)
    assert all(0 < maps[gate].min() <= maps[gate].max() < 1 for gate in expected)


def test_the_forget_gate_starts_open() -> None:
    torch.manual_seed(0)
    core = build_temporal("conv_lstm", 8)
    with GateProbe(core) as probe, torch.inference_mode():
        _, state = core(torch.zeros(1, 1, 8, 4, 6), None)
    maps = probe.maps(state)
    assert maps["forget gate"].mean() > maps["input gate"].mean() + 0.1


def test_a_core_without_gates_shows_its_state_alone() -> None:
    core = build_temporal("attention", 8)
    with GateProbe(core) as probe, torch.inference_mode():
        _, state = core(torch.randn(1, 1, 8, 4, 6), None)
    assert set(probe.maps(state)) <= {"cell"}


def test_hooks_are_gone_afterwards() -> None:
    core = build_temporal("conv_lstm", 8)
    with GateProbe(core):
        assert core.from_input._forward_hooks  # type: ignore[union-attr,operator]
    assert not core.from_input._forward_hooks  # type: ignore[union-attr,operator]
