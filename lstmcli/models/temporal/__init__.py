"""Temporal cores: recurrent layers over feature maps. State in, state out.

A core takes features [B, T, C, H, W] and a state and returns features of the same shape and the new
state (`state.TemporalCore`). Laws of every core: frame by frame equals the whole clip; the future
does not reach the past; rows of a batch do not meet; a reset row starts anew. States are float32
(or wider) also where the features are not, and keep their shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lstmcli.core.errors import choose
from lstmcli.models.temporal.aligned_lstm import AlignedLSTM
from lstmcli.models.temporal.attention import Attention
from lstmcli.models.temporal.bottleneck_lstm import BottleneckLSTM
from lstmcli.models.temporal.conv_gru import ConvGRU, gru
from lstmcli.models.temporal.conv_lstm import ConvLSTM, lstm
from lstmcli.models.temporal.identity import Identity
from lstmcli.models.temporal.object_lstm import ObjectLSTM
from lstmcli.models.temporal.peephole_lstm import PeepholeLSTM
from lstmcli.models.temporal.spatial_lstm import SpatialLSTM
from lstmcli.models.temporal.state import State, TemporalCore, reset_rows

__all__ = ["TEMPORAL_CORES", "Identity", "State", "TemporalCore", "build_temporal", "reset_rows"]

TEMPORAL_CORES: Mapping[str, Callable[..., TemporalCore]] = {
    "none": Identity,
    "objects": Identity,  # no recurrent core: the track memory alone
    "lstm": lstm,
    "conv_lstm": ConvLSTM,
    "gru": gru,
    "conv_gru": ConvGRU,
    "bottleneck_lstm": BottleneckLSTM,
    "peephole_lstm": PeepholeLSTM,
    "aligned_lstm": AlignedLSTM,
    "attention": Attention,
    "spatial_lstm": SpatialLSTM,
    "object_lstm": ObjectLSTM,
}


def build_temporal(name: str, channels: int, **options: object) -> TemporalCore:
    """Make the core that a TemporalConfig names.

    Args:
        name: a key of `TEMPORAL_CORES`.
        channels: channels of the features.
        options: `kernel_size` is accepted by every core, and ignored where it has no meaning.

    Raises:
        ConfigError: there is no such core, an even kernel.
    """
    return choose(TEMPORAL_CORES, name, "temporal core")(channels, **options)
