"""The network: backbone -> neck -> temporal core -> head. It remembers nothing between calls."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lstmcli.core.config import Config
from lstmcli.core.errors import ConfigError
from lstmcli.core.metadata import ModelMetadata, TrackMemoryConfig
from lstmcli.models.backbones import build_backbone
from lstmcli.models.heads import DetectionHead, build_head, takes_pyramid
from lstmcli.models.pyramid import PyramidNeck
from lstmcli.models.temporal import Identity, State, build_temporal, reset_rows

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
MOTION_GAIN = 4.0
"""A flying speck changes its pixels by some per cent; the gain brings that to the scale of RGB."""


class Neck(nn.Module):
    """Fuses maps of several strides into one of the grid's stride (after 1612.03144).

    Args:
        channels: channels of each map.
        strides: their strides in pixels.
        outputs: channels of the fused map.
        stride: the grid's stride.
        coarse_levels: whether maps coarser than the grid take part.
        dropout: share of the fused channels that are dropped in training.
    """

    def __init__(
        self,
        channels: Sequence[int],
        strides: Sequence[int],
        *,
        outputs: int,
        stride: int,
        coarse_levels: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.strides = (stride,)
        self.used = [i for i, s in enumerate(strides) if s <= stride or coarse_levels]
        finer = [i for i in self.used if strides[i] < stride]
        self.used = [i for i in self.used if i not in finer[:-1]]  # one finer map is enough
        self.pools = [max(1, stride // strides[i]) for i in self.used]
        self.lateral = nn.ModuleList(
            nn.Conv2d(channels[i], outputs, pool, stride=pool, bias=False)
            for i, pool in zip(self.used, self.pools, strict=True)
        )
        self.norm = nn.Sequential(nn.BatchNorm2d(outputs), nn.ReLU())
        self.mix = nn.Sequential(
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Dropout2d(dropout),
        )

    def forward(self, maps: Sequence[Tensor], size_hw: tuple[int, int]) -> Tensor:
        """Return the fused map [N, outputs, h, w] of the given size."""
        fused: Tensor | None = None
        for i, lateral in zip(self.used, self.lateral, strict=True):
            part = lateral(maps[i])
            if part.shape[-2:] != size_hw:
                part = F.interpolate(part, size=size_hw, mode="nearest")
            fused = part if fused is None else fused + part
        result: Tensor = self.mix(self.norm(fused))
        return result


class DetectorNet(nn.Module):
    """A frame detector with a memory.

    Args:
        config: the settings of a run; `neck.coarse_levels: auto`, which only a dataset can decide,
            counts as true.
        classes: names of the classes.
        canvas_hw: (height, width) of the canvas in pixels, multiples of the grid.
        grid: pixels a cell is wide and high; the stride of the fused map.
    """

    def __init__(
        self, config: Config, classes: Sequence[str], *, canvas_hw: tuple[int, int], grid: int
    ) -> None:
        super().__init__()
        self.config = config
        self.classes = tuple(classes)
        self.canvas_hw = canvas_hw
        self.grid = grid
        self.uses_frame_difference = config.input.motion_lag_s > 0
        self.backbone = build_backbone(
            config.backbone, in_channels=6 if self.uses_frame_difference else 3
        )
        channels = config.neck.channels
        self.neck = self._neck()
        self.backbone.keep(max(self.neck.used) + 1)
        temporal = config.temporal
        kept = temporal.channels or channels
        self.temporal = build_temporal(temporal.name, kept, kernel_size=temporal.kernel_size)
        self.skip = temporal.skip if self.has_temporal_core else "none"
        self.memory_dropout = nn.Dropout2d(temporal.dropout)
        self.skip_dropout = nn.Dropout2d(temporal.skip_dropout)
        self.pool = temporal.pool if self.has_temporal_core else 1
        self.narrow: nn.Module = nn.Identity()
        if self.has_temporal_core and kept != channels:
            if self.skip != "concat":
                raise ConfigError(
                    f"temporal.channels={kept} beside neck.channels={channels} and "
                    f"temporal.skip={self.skip}",
                    hint="set temporal.skip=concat, or leave temporal.channels at 0",
                )
            self.narrow = nn.Conv2d(channels, kept, 1)
        if self.skip == "concat":
            # Starts as the frame detector: the identity past the memory, nothing from it.
            self.join = nn.Conv2d(channels + kept, channels, 1, bias=False)
            with torch.no_grad():
                self.join.weight.zero_()
                self.join.weight[:, :channels, 0, 0] = torch.eye(channels)
        self.head: DetectionHead = build_head(
            config.head, channels, len(self.classes), self.neck.strides
        )
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1) * 255, persistent=False)

    def _neck(self) -> Neck | PyramidNeck:
        """Make the neck that the head takes its maps from."""
        config = self.config.neck
        channels, strides = self.backbone.channels, self.backbone.strides
        if takes_pyramid(self.config.head.name):
            if self.grid not in strides:
                raise ConfigError(
                    f"a grid of {self.grid} pixels, a backbone with maps of stride "
                    f"{', '.join(map(str, strides))}",
                    hint="prepare with one of these as --grid",
                )
            return PyramidNeck(
                channels,
                strides,
                outputs=config.channels,
                finest=self.grid,
                dropout=config.dropout,
            )
        coarse_levels = config.coarse_levels is not False
        if min(strides) > self.grid and not coarse_levels:
            raise ConfigError(
                f"a grid of {self.grid} pixels, a backbone whose finest map has stride "
                f"{min(strides)}",
                hint="prepare with a larger --grid or set neck.coarse_levels=true",
            )
        return Neck(
            channels,
            strides,
            outputs=config.channels,
            stride=self.grid,
            coarse_levels=coarse_levels,
            dropout=config.dropout,
        )

    @property
    def canvas_multiple(self) -> int:
        """Pixels of which the sides of any canvas must be multiples, so that all maps line up."""
        return max(self.grid * self.pool, *(self.backbone.strides[i] for i in self.neck.used))

    @property
    def has_temporal_core(self) -> bool:
        """Whether there is a temporal core to be trained."""
        return not isinstance(self.temporal, Identity)

    @property
    def is_stateful(self) -> bool:
        """Whether frames before the present one can change an answer."""
        return self.config.temporal.name != "none"

    @property
    def metadata(self) -> ModelMetadata:
        """What a runtime must know of the network besides its graph, scores uncalibrated."""
        return ModelMetadata(
            classes=self.classes,
            input_hw=self.canvas_hw,
            motion_lag_s=self.config.input.motion_lag_s,
            track_memory=self._track_memory,
            nms_iou=self.config.head.nms_iou,
            max_detections=self.config.head.max_detections,
            config=self.config.model_dump(mode="json"),
        )

    @property
    def _track_memory(self) -> TrackMemoryConfig:
        temporal = self.config.temporal
        if not self.is_stateful:
            return TrackMemoryConfig()
        return TrackMemoryConfig(
            temporal.class_memory_s, temporal.box_smoothing_s, temporal.temperature
        )

    def normalise(self, frames: Tensor, previous_frames: Tensor | None) -> Tensor:
        """Return the network's input [N, 3 or 6, H, W] for uint8 frames [N, 3, H, W].

        Args:
            frames: RGB, 0..255.
            earlier: the frames `input.motion_lag_s` before, where the configuration asks for them;
                None: as if nothing moved.
        """
        images = (frames.float() - self.mean) / self.std
        if self.uses_frame_difference:
            if previous_frames is None:
                motion = torch.zeros_like(images)
            else:
                motion = (frames.float() - previous_frames.float()) * (MOTION_GAIN / 255)
            images = torch.cat((images, motion), dim=1)
        return images.contiguous(memory_format=torch.channels_last)

    def features(self, frames: Tensor, previous_frames: Tensor | None = None) -> list[Tensor]:
        """Return the maps [N, C, h, w] of single frames, the grid's first, for [N, 3, H, W]."""
        maps = self.backbone(self.normalise(frames, previous_frames))
        if isinstance(self.neck, PyramidNeck):
            pyramid: list[Tensor] = self.neck(maps)
            return pyramid
        size_hw = (-(-frames.shape[-2] // self.grid), -(-frames.shape[-1] // self.grid))
        return [self.neck(maps, size_hw)]

    def remember(self, features: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Return features [B, T, C, h, w] joined with what was remembered, and the new state."""
        batch, time = features.shape[:2]
        seen = features.flatten(0, 1)
        pooled = F.avg_pool2d(seen, self.pool, ceil_mode=True) if self.pool > 1 else seen
        narrowed = self.narrow(pooled)
        memory, state = self.temporal(narrowed.view(batch, time, *narrowed.shape[1:]), state)
        kept = self._of_the_grid(memory.flatten(0, 1), seen)
        if self.skip != "none":
            kept, seen = self.memory_dropout(kept), self.skip_dropout(seen)
        if self.skip == "add":
            kept = seen + kept
        elif self.skip == "concat":
            kept = self.join(torch.cat((seen, kept), dim=1))
        return kept.view(batch, time, *kept.shape[1:]), state

    def _of_the_grid(self, memory: Tensor, features: Tensor) -> Tensor:
        """Return a pooled map as large as the features."""
        if self.pool == 1:
            return memory
        height, width = features.shape[-2:]
        larger = F.interpolate(memory, scale_factor=float(self.pool), mode="nearest")
        return larger[..., :height, :width]

    def initial_state(self, features: Tensor) -> State:
        """Return the state in which a video begins, for features [B, T, C, h, w] of the grid."""
        height, width = (-(-side // self.pool) for side in features.shape[-2:])
        return self.temporal.initial_state(features[..., :height, :width])

    def forward(
        self,
        frames: Tensor,
        previous_frames: Tensor | None = None,
        state: State | None = None,
        *,
        starts: Tensor | None = None,
        memory: bool = True,
    ) -> tuple[Tensor, State]:
        """Return the head's raw answers and the state after the last frame.

        Args:
            frames: uint8 [B, T, 3, H, W], RGB.
            earlier: uint8 [B, T, 3, H, W], the frames `input.motion_lag_s` before; see `normalise`.
            state: what the previous call returned, or None where every row's video begins.
            starts: bool [B], rows that begin a video although a state is given; None: no row.
            memory: False leaves the core out, for training and judging the frame detector alone.

        Returns:
            raw [B, T, outputs, ...], the head's own layout, and the state.
        """
        batch, time = frames.shape[:2]
        before = None if previous_frames is None else previous_frames.flatten(0, 1)
        maps = self.features(frames.flatten(0, 1), before)
        if memory:
            clips = maps[0].view(batch, time, *maps[0].shape[1:])
            if state is not None and starts is not None:
                state = reset_rows(state, starts, self.initial_state(clips))
            joined, state = self.remember(clips, state)
            maps[0] = joined.flatten(0, 1)
        else:
            state = ()
        raw: Tensor = self.head(maps)
        return raw.view(batch, time, *raw.shape[1:]), state
