"""The whole network: inputs, state, and parts that can be left out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from lstmcli.core.config import Config, TrainConfig
from lstmcli.core.errors import ConfigError
from lstmcli.models.backbones import BACKBONES
from lstmcli.models.detector import MEAN, STD, DetectorNet
from lstmcli.models.heads import HEADS, takes_pyramid
from lstmcli.models.neck import Neck
from lstmcli.models.temporal import TEMPORAL_CORES
from lstmcli.training.loop import set_trainable


def build(**changes: Any) -> DetectorNet:
    torch.manual_seed(0)
    values = {"backbone": "tiny", "neck": {"channels": 8}, "temporal": "conv_lstm"} | changes
    model = DetectorNet(Config.model_validate(values), ("a", "b"), canvas_hw=(32, 48), grid=8)
    with torch.no_grad():  # so that everything has a say
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape))
    return model.eval()


def clip(frames: int = 4, batch: int = 1, size_hw: tuple[int, int] = (32, 48)) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    shape = (batch, frames, 3, *size_hw)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("skip", ["none", "add", "concat"])
@pytest.mark.parametrize("core", TEMPORAL_CORES)
@torch.inference_mode()
def test_frame_by_frame_equals_the_whole_clip(core: str, skip: str) -> None:
    model = build(temporal={"name": core, "skip": skip})
    frames = clip()
    whole, last = model(frames)
    state, parts = None, []
    for frame in frames.split(1, dim=1):
        raw, state = model(frame, state=state)
        parts.append(raw)
    # convolutions over one frame and over four sum in another order
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-3, atol=1e-4)
    assert state is not None
    for one, other in zip(state, last, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("core", TEMPORAL_CORES)
@torch.inference_mode()
def test_a_memory_may_be_narrower_than_the_features(core: str) -> None:
    model = build(temporal={"name": core, "channels": 4}, neck={"channels": 16})
    wide = build(temporal={"name": core}, neck={"channels": 16})
    assert sum(p.numel() for p in model.parameters()) <= sum(p.numel() for p in wide.parameters())
    frames = clip()
    whole, last = model(frames)
    first, state = model(frames[:, :2])
    second, state = model(frames[:, 2:], state=state)
    torch.testing.assert_close(torch.cat((first, second), dim=1), whole, rtol=1e-3, atol=1e-4)
    for one, other in zip(state, last, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("skip", ["none", "add"])
def test_a_reduced_core_needs_the_skip_connection(skip: str) -> None:
    with pytest.raises(ConfigError, match=r"temporal\.channels=4") as caught:
        build(temporal={"name": "conv_lstm", "channels": 4, "skip": skip})
    assert "concat" in caught.value.hint


@torch.inference_mode()
@pytest.mark.parametrize("core", TEMPORAL_CORES)
@pytest.mark.parametrize("skip", ["none", "add", "concat"])
@torch.inference_mode()
def test_a_memory_may_be_coarser_than_the_grid(core: str, skip: str) -> None:
    model = build(temporal={"name": core, "pool": 2, "skip": skip})
    frames = clip(size_hw=(40, 56))  # 5 x 7 cells, 3 x 4 of the state
    whole, last = model(frames)
    assert whole.shape[-2:] == (5, 7)
    features = torch.zeros(1, 1, 8, 5, 7)
    assert [part.shape for part in last] == [p.shape for p in model.initial_state(features)]
    state, parts = None, []
    for frame in frames.split(1, dim=1):
        raw, state = model(frame, state=state)
        parts.append(raw)
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-3, atol=1e-4)
    if core == "conv_lstm":
        assert [tuple(part.shape[-2:]) for part in last] == [(3, 4), (3, 4)]


@torch.inference_mode()
def test_every_cell_gets_the_state_of_its_coarse_cell() -> None:
    model = build(temporal={"name": "conv_lstm", "pool": 2})
    memory = torch.arange(12.0).view(1, 1, 3, 4)
    larger = model._upsampled(memory, torch.zeros(1, 8, 5, 7))
    for y in range(5):
        for x in range(7):
            assert larger[0, 0, y, x] == memory[0, 0, y // 2, x // 2]


def test_the_skip_connection_has_dropout_in_training() -> None:
    model = build(temporal={"name": "conv_lstm", "skip_dropout": 0.9})
    frames = clip()
    with torch.no_grad():
        still = [model(frames)[0] for _ in range(2)]
        model.skip_dropout.train()
        torch.manual_seed(0)
        moving = [model(frames)[0] for _ in range(2)]
        alone = [model(frames, memory=False)[0] for _ in range(2)]
    assert torch.equal(*still)
    assert not torch.equal(*moving)
    assert torch.equal(*alone)  # the frame detector keeps all of its features


def test_a_row_that_starts_is_reset_and_the_others_are_not() -> None:
    model, frames = build(), clip(batch=2)
    _, state = model(frames)
    fresh, _ = model(frames)
    carried, _ = model(frames, state=state)
    mixed, _ = model(frames, state=state, starts=torch.tensor([True, False]))
    torch.testing.assert_close(mixed[0], fresh[0])
    torch.testing.assert_close(mixed[1], carried[1])
    assert not torch.allclose(fresh[1], carried[1])


@torch.inference_mode()
def test_the_core_can_be_bypassed() -> None:
    model, frames = build(), clip()
    alone, state = model(frames, memory=False)
    assert state == ()
    other, _ = model(frames.flip(1), memory=False)
    torch.testing.assert_close(other.flip(1), alone)  # frames do not know of each other


@torch.inference_mode()
def test_an_untrained_core_changes_nothing() -> None:
    """With the skip `concat`, so that a trained frame detector is not harmed."""
    torch.manual_seed(0)
    values: dict[str, Any] = {"backbone": "tiny", "neck": {"channels": 8}}
    config = Config.model_validate(values | {"temporal": {"name": "conv_lstm", "skip": "concat"}})
    model = DetectorNet(config, ("a",), canvas_hw=(32, 48), grid=8).eval()
    torch.testing.assert_close(model(clip())[0], model(clip(), memory=False)[0])


@pytest.mark.parametrize(
    ("core", "is_stateful"), [("none", False), ("objects", True), ("lstm", True)]
)
def test_it_reports_whether_it_is_stateful(core: str, is_stateful: bool) -> None:
    assert build(temporal=core).is_stateful is is_stateful


def test_pixels_are_normalised_as_for_imagenet() -> None:
    """By hand: (128 / 255 - mean) / std."""
    model = build()
    shown = model.normalise(torch.full((1, 3, 2, 2), 128, dtype=torch.uint8), None)
    expected = (128 / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
    torch.testing.assert_close(shown[0, :, 0, 0], expected)


@torch.inference_mode()
def test_frame_difference_is_an_input_where_configured() -> None:
    model, frames = build(input={"motion_lag_s": 0.2}), clip()
    still, _ = model(frames, frames)
    unknown, _ = model(frames)
    moving, _ = model(frames, frames.roll(3, dims=-1))
    torch.testing.assert_close(still, unknown)
    assert not torch.allclose(still, moving)


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("grid", [4, 8, 16])
@torch.inference_mode()
def test_the_map_has_the_cells_of_the_grid(backbone: str, grid: int) -> None:
    values = {"backbone": backbone, "neck": {"channels": 8}, "temporal": "none"}
    config = Config.model_validate(values)
    model = DetectorNet(config, ("a",), canvas_hw=(64, 96), grid=grid).eval()
    raw, _ = model(clip(1, size_hw=(64, 96)))
    assert raw.shape == (1, 1, 6, 64 // grid, 96 // grid)


@pytest.mark.parametrize("head", HEADS)
@torch.inference_mode()
def test_crops_of_any_size_are_taken(head: str) -> None:
    model = build(head=head)
    raw, _ = model(clip(2, size_hw=(40, 21)))
    cells = (15,) if takes_pyramid(head) else (5, 3)  # tiny has no coarser map
    assert raw.shape[:2] == (1, 2)
    assert raw.shape[3:] == cells


def test_a_grid_finer_than_the_backbone_needs_coarse_levels() -> None:
    with pytest.raises(ConfigError, match="a grid of 2 pixels") as caught:
        DetectorNet(
            Config.model_validate({"backbone": "tiny", "neck": {"coarse_levels": False}}),
            ("a",),
            canvas_hw=(32, 32),
            grid=2,
        )
    assert "neck.coarse_levels" in caught.value.hint


@torch.inference_mode()
def test_the_neck_fuses_coarser_maps_only_with_coarse_levels() -> None:
    for context, maps in ((True, 2), (False, 1)):
        neck = Neck((4, 4), (8, 16), outputs=8, stride=8, coarse_levels=context)
        assert len(neck.used) == maps


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("memory", [False, True])
@pytest.mark.parametrize("skip", ["none", "add", "concat"])
@pytest.mark.parametrize("core", TEMPORAL_CORES)
def test_gradients_reach_exactly_the_trained_weights_of_a_stage(
    core: str, skip: str, memory: bool, frozen: bool
) -> None:
    """Otherwise two processes would wait for a gradient that never comes."""
    model = build(temporal={"name": core, "skip": skip}, backbone={"name": "tiny"})
    train = {"stage2_backbone_lr_scale": 0.0 if frozen else 1.0}
    set_trainable(model, TrainConfig.model_validate(train), memory=memory)
    state = None
    for _ in range(2):
        model.zero_grad()
        raw, state = model(clip(), state=state, memory=memory)
        raw.square().sum().backward()
        state = tuple(part.detach() for part in state) if memory else None
        for name, parameter in model.named_parameters():
            assert (parameter.grad is not None) == parameter.requires_grad, name
    learns = {name.split(".")[0] for name, p in model.named_parameters() if p.requires_grad}
    assert "head" in learns
    assert ("neck" in learns) == (not frozen or not memory or core in {"none", "objects"})
    assert not ({"temporal", "fuse"} & learns) or memory
