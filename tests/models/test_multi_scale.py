"""A detector for all sizes: a pyramid of maps and one head over it."""

from __future__ import annotations

import pytest
import torch

from lstmcli.core.config import Config
from lstmcli.core.errors import ConfigError
from lstmcli.models.detector import DetectorNet
from lstmcli.models.pyramid import pyramid_strides


def network(
    grid: int = 8, temporal: str = "none", backbone: str = "dense", **settings: object
) -> DetectorNet:
    torch.manual_seed(0)
    config = Config.model_validate(
        {
            "backbone": {"name": backbone, "width": 0.25},
            "neck": {"channels": 16},
            "temporal": {"name": temporal, **settings},
            "head": {"name": "multi_scale"},
        }
    )
    return DetectorNet(config, ("a", "b"), canvas_hw=(64, 96), grid=grid).eval()


def test_the_grid_is_the_finest_of_strides_that_double_up_to_32() -> None:
    assert pyramid_strides(4) == (4, 8, 16, 32)
    assert pyramid_strides(8) == (8, 16, 32)
    assert pyramid_strides(32) == (32,)


@pytest.mark.parametrize("size_hw", [(64, 96), (40, 72), (33, 47)])
def test_there_is_a_box_and_a_score_for_every_cell_of_every_level(size_hw: tuple[int, int]) -> None:
    net = network()
    raw, _ = net(torch.zeros(1, 2, 3, *size_hw, dtype=torch.uint8))
    cells = sum(-(-size_hw[0] // s) * -(-size_hw[1] // s) for s in (8, 16, 32))
    assert net.head.boxes(raw[:, 0]).shape == (1, cells, 4)
    assert net.head.scores(raw[:, 0]).shape == (1, cells, 2)


def test_cells_have_their_centre_and_stride() -> None:
    """By hand: the first cell of each level has its centre at half a stride."""
    raw, _ = network()(torch.zeros(1, 1, 3, 64, 96, dtype=torch.uint8))
    rows = raw[0, 0, -3:]
    assert rows[:, 0].tolist() == [4, 4, 8]
    assert rows[:, 8 * 12].tolist() == [8, 8, 16]
    assert rows[:, -1].tolist() == [80, 48, 32]


def test_the_core_runs_at_the_finest_level() -> None:
    net = network(temporal="conv_lstm")
    frames = torch.randint(0, 255, (1, 3, 3, 64, 96), dtype=torch.uint8)
    whole, _ = net(frames)
    first, state = net(frames[:, :2])
    last, _ = net(frames[:, 2:], state=state)
    torch.testing.assert_close(whole, torch.cat((first, last), dim=1))


@pytest.mark.parametrize("core", ["aligned_lstm", "conv_gru", "object_lstm"])
@pytest.mark.parametrize("size_hw", [(64, 96), (33, 47)])
def test_a_memory_works_at_all_levels(core: str, size_hw: tuple[int, int]) -> None:
    net = network(temporal=core, levels="all", channels=8)
    torch.nn.init.normal_(net.fuse.weight, std=0.5)
    frames = torch.randint(0, 255, (1, 3, 3, *size_hw), dtype=torch.uint8)
    whole, end = net(frames)
    first, state = net(frames[:, :2])
    last, after = net(frames[:, 2:], state=state)
    torch.testing.assert_close(whole, torch.cat((first, last), dim=1))
    torch.testing.assert_close(end, after)
    for level, stride in enumerate((8, 16, 32)):
        cells = -(-size_hw[0] // stride) * -(-size_hw[1] // stride)
        start = sum(-(-size_hw[0] // s) * -(-size_hw[1] // s) for s in (8, 16, 32)[:level])
        part = slice(start, start + cells)
        alone, _ = net(frames[:, 2:])
        assert not torch.allclose(alone[:, 0, :1, part], whole[:, 2, :1, part])


def test_a_memory_of_all_levels_begins_as_the_frame_detector() -> None:
    net = network(temporal="aligned_lstm", levels="all", channels=8)
    frames = torch.randint(0, 255, (2, 3, 3, 64, 96), dtype=torch.uint8)
    torch.testing.assert_close(net(frames)[0], net(frames, memory=False)[0], rtol=0, atol=1e-5)


def test_a_row_that_starts_forgets_at_every_level() -> None:
    net = network(temporal="aligned_lstm", levels="all", channels=8)
    torch.nn.init.normal_(net.fuse.weight, std=0.5)
    frames = torch.randint(0, 255, (2, 2, 3, 64, 96), dtype=torch.uint8)
    _, state = net(frames)
    both, _ = net(frames, state=state, starts=torch.tensor([True, False]))
    torch.testing.assert_close(both[:1], net(frames[:1])[0])
    assert not torch.allclose(both[1:], net(frames[1:])[0])


def test_levels_keep_their_weights_whatever_other_levels_there_are() -> None:
    """A model of strides 8 to 32 gives all it has to one of 4 to 32."""
    coarse, fine = network(8).state_dict(), network(4).state_dict()
    shared = [n for n in coarse if n in fine and fine[n].shape == coarse[n].shape]
    assert len(shared) == len(coarse)


def test_a_grid_without_a_map_of_the_backbone_is_an_error() -> None:
    with pytest.raises(ConfigError, match="a grid of 2 pixels"):
        network(2)
