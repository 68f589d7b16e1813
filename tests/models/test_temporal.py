"""The laws of every temporal core, whichever it is."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from lstmcli.core.errors import ConfigError
from lstmcli.models.temporal import TEMPORAL_CORES, State, TemporalCore, build_temporal, reset_rows

CHANNELS = 16
CORES = sorted(TEMPORAL_CORES)
WITH_MEMORY = [name for name in CORES if name not in {"none", "objects"}]


def make(name: str, **options: object) -> TemporalCore:
    """Make a core in which no parameter is zero, so that no part of it is asleep."""
    torch.manual_seed(0)
    core = build_temporal(name, CHANNELS, **options)
    with torch.no_grad():
        for parameter in core.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return core


def clip(batch: int = 2, frames: int = 5, seed: int = 1) -> Tensor:
    """Return features whose rows, frames and cells all differ; height and width differ too."""
    return torch.randn(batch, frames, CHANNELS, 5, 7, generator=torch.Generator().manual_seed(seed))


def rows_of(state: State, rows: slice) -> State:
    """Return some rows of a state."""
    return tuple(tensor[rows] for tensor in state)


@pytest.fixture(params=CORES)
def name(request: pytest.FixtureRequest) -> str:
    """Each core in turn."""
    return str(request.param)


def test_frame_by_frame_equals_the_whole_clip(name: str) -> None:
    core, features = make(name), clip()
    whole, end = core(features)
    state, frames = None, []
    for t in range(features.shape[1]):
        frame, state = core(features[:, t : t + 1], state)
        frames.append(frame)
    assert whole.shape == features.shape
    assert_close(torch.cat(frames, dim=1), whole)
    assert_close(state, end)


def test_the_future_does_not_reach_the_past(name: str) -> None:
    core, features = make(name), clip()
    other = features.clone()
    other[:, 3:] = clip(seed=2)[:, 3:]
    assert_close(core(other)[0][:, :3], core(features)[0][:, :3], rtol=0, atol=0)


@pytest.mark.parametrize("name", WITH_MEMORY)
def test_the_past_reaches_the_present(name: str) -> None:
    core, features = make(name), clip()
    other = features.clone()
    other[:, 3] = clip(seed=2)[:, 3]
    assert not torch.allclose(core(other)[0][:, 4], core(features)[0][:, 4])


def test_rows_of_a_batch_do_not_meet(name: str) -> None:
    core, features = make(name), clip(batch=3)
    _, state = core(clip(batch=3, seed=2))
    other = features.clone()
    other[1] = float("nan")
    whole, end = core(other, state)
    for row in (slice(0, 1), slice(2, 3)):
        alone, alone_end = core(features[row], rows_of(state, row))
        assert_close(whole[row], alone)
        assert_close(rows_of(end, row), alone_end)


def test_a_reset_row_starts_anew(name: str) -> None:
    core, features = make(name), clip()
    _, state = core(clip(seed=2))
    spoiled = tuple(torch.cat((torch.full_like(s[:1], torch.nan), s[1:])) for s in state)
    state = reset_rows(spoiled, torch.tensor([True, False]), core.initial_state(features))
    whole, _ = core(features, state)
    assert_close(whole[:1], core(features[:1])[0])
    assert_close(whole[1:], core(features[1:], rows_of(spoiled, slice(1, 2)))[0])


@pytest.mark.parametrize("name", WITH_MEMORY)
def test_a_reset_row_sends_no_gradient_into_its_past(name: str) -> None:
    core, past = make(name), clip(seed=2).requires_grad_()
    _, state = core(past)
    state = reset_rows(state, torch.tensor([True, False]), core.initial_state(clip()))
    core(clip(), state)[0].sum().backward()
    assert past.grad is not None
    assert past.grad[0].abs().sum() == 0
    assert past.grad[1].abs().sum() > 0


def test_without_a_state_a_video_begins(name: str) -> None:
    core, features = make(name), clip()
    initial = core.initial_state(features)
    assert reset_rows(None, torch.tensor([False, False]), initial) is initial
    assert_close(core(features, initial)[0], core(features)[0], rtol=0, atol=0)


def test_a_state_keeps_its_shapes_and_float32(name: str) -> None:
    core = make(name)
    for dtype in (torch.float32, torch.bfloat16):
        features = clip().to(dtype)
        state = core.initial_state(features)
        with torch.autocast("cpu", torch.bfloat16):
            output, after = core(features, state)
        assert output.dtype == dtype
        assert all(len(tensor) == len(features) for tensor in state)
        assert [s.shape for s in after] == [s.shape for s in state]
        assert [s.dtype for s in after] == [s.dtype for s in state] == [torch.float32] * len(state)


def test_bfloat16_autocast_agrees_with_float32(name: str) -> None:
    """bfloat16 has 8 bits of mantissa; a few layers of it may differ by some percent."""
    core, features = make(name), clip()
    with torch.autocast("cpu", torch.bfloat16):
        rough, _ = core(features)
        rough.sum().backward() if rough.requires_grad else None
    assert_close(rough, core(features)[0], rtol=0.1, atol=0.1)


def test_half_precision_weights_run_in_half_precision(name: str) -> None:
    core = make(name)
    assert isinstance(core, nn.Module)
    with torch.no_grad():
        output, state = core.bfloat16()(clip().bfloat16())
    assert output.dtype == torch.bfloat16
    assert all(tensor.dtype == torch.float32 for tensor in state)


@pytest.mark.parametrize("name", WITH_MEMORY)
def test_every_parameter_learns(name: str) -> None:
    core = make(name)
    core(clip())[0].square().sum().backward()
    assert isinstance(core, nn.Module)
    asleep = [n for n, p in core.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert asleep == []


def test_a_long_loud_video_stays_finite(name: str) -> None:
    core = make(name)
    features, state = 100 * clip(batch=1, frames=50), None
    with torch.no_grad():
        for _ in range(4):
            output, state = core(features, state)
    assert output.isfinite().all()
    assert all(tensor.abs().max() < 1e4 for tensor in state or () if tensor.dim() == 4)


def test_maps_of_any_size_fit_one_core(name: str) -> None:
    core = make(name)
    for height, width in ((1, 1), (2, 9), (12, 3)):
        features = torch.randn(1, 2, CHANNELS, height, width)
        assert core(features)[0].shape == features.shape


@pytest.mark.parametrize("options", [{"kernel_size": 1}, {"kernel_size": 5}])
def test_every_core_takes_the_common_options(name: str, options: dict[str, int]) -> None:
    core, features = make(name, **options), clip()
    whole, _ = core(features)
    first, state = core(features[:, :2])
    second, _ = core(features[:, 2:], state)
    assert_close(torch.cat((first, second), dim=1), whole)


def test_a_step_can_be_exported(name: str) -> None:
    core = make(name).eval()
    assert isinstance(core, nn.Module)
    features = clip(batch=1, frames=1)
    state = core.initial_state(features)
    exported = torch.export.export(core, (features, state)).module()
    for seed in (3, 4):
        features = clip(batch=1, frames=1, seed=seed)
        expected, after = core(features, state)
        found, found_after = exported(features, state)
        assert_close(found, expected)
        assert_close(found_after, after)
        state = after


def test_an_unknown_core_gets_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="no temporal core named 'conv_lsmt'") as caught:
        build_temporal("conv_lsmt", CHANNELS)
    assert caught.value.hint == "did you mean 'conv_lstm'?"


@pytest.mark.parametrize("core", ["conv_lstm", "attention", "object_lstm", "spatial_lstm"])
def test_an_even_kernel_is_refused(core: str) -> None:
    with pytest.raises(ConfigError, match="kernel_size is 2"):
        build_temporal(core, CHANNELS, kernel_size=2)


def test_an_attention_needs_two_frames() -> None:
    with pytest.raises(ConfigError, match="an attention over 1 frames"):
        build_temporal("attention", CHANNELS, window=1)
