"""A detector for all sizes: a pyramid of maps and one head over it."""

from __future__ import annotations

import pytest
import torch

from lstmcli.core.config import Config
from lstmcli.core.errors import ConfigError
from lstmcli.models.detector import DetectorNet
from lstmcli.models.pyramid import pyramid_strides


def network(grid: int = 8, temporal: str = "none", backbone: str = "dense") -> DetectorNet:
    torch.manual_seed(0)
    config = Config.model_validate(
        {
            "backbone": {"name": backbone, "width": 0.25},
            "neck": {"channels": 16},
            "temporal": {"name": temporal},
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


def test_cells_know_where_they_are() -> None:
    """By hand: the first cell of each level has its centre at half a stride."""
    raw, _ = network()(torch.zeros(1, 1, 3, 64, 96, dtype=torch.uint8))
    rows = raw[0, 0, -3:]
    assert rows[:, 0].tolist() == [4, 4, 8]
    assert rows[:, 8 * 12].tolist() == [8, 8, 16]
    assert rows[:, -1].tolist() == [80, 48, 32]


def test_a_memory_works_at_the_finest_level() -> None:
    net = network(temporal="conv_lstm")
    frames = torch.randint(0, 255, (1, 3, 3, 64, 96), dtype=torch.uint8)
    whole, _ = net(frames)
    first, state = net(frames[:, :2])
    last, _ = net(frames[:, 2:], state=state)
    torch.testing.assert_close(whole, torch.cat((first, last), dim=1))


def test_levels_keep_their_weights_whatever_other_levels_there_are() -> None:
    """A model of strides 8 to 32 gives all it has to one of 4 to 32."""
    coarse, fine = network(8).state_dict(), network(4).state_dict()
    shared = [n for n in coarse if n in fine and fine[n].shape == coarse[n].shape]
    assert len(shared) == len(coarse)


def test_a_grid_that_the_backbone_does_not_have_is_refused() -> None:
    with pytest.raises(ConfigError, match="a grid of 2 pixels"):
        network(2)
