"""The network: backbone -> neck -> recurrent core -> head. State in, state out."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from lstmcli.core.config import Config
from lstmcli.core.errors import ConfigError
from lstmcli.core.metadata import ModelMetadata, TrackMemoryConfig
from lstmcli.models.backbones import build_backbone
from lstmcli.models.heads import DetectionHead, build_head, takes_pyramid
from lstmcli.models.neck import Neck
from lstmcli.models.pyramid import PyramidNeck
from lstmcli.models.temporal import State, build_temporal, reset_rows

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
MOTION_GAIN = 4.0
"""A small moving object changes pixels by a few per cent; the gain scales that to RGB."""


class DetectorNet(nn.Module):
    """A frame detector with a recurrent core.

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
        hidden = temporal.channels or channels
        self.temporal = build_temporal(temporal.name, hidden, kernel_size=temporal.kernel_size)
        self.skip = temporal.skip if self.has_temporal_core else "none"
        self.memory_dropout = nn.Dropout2d(temporal.dropout)
        self.skip_dropout = nn.Dropout2d(temporal.skip_dropout)
        self.pool = temporal.pool if self.has_temporal_core else 1
        self.levels = len(self.neck.strides) if temporal.levels == "all" else 1
        """How many maps the core runs over, each with a state of its own; the finest first."""
        self.reduce: nn.Module = nn.Identity()
        if self.has_temporal_core and hidden != channels:
            if self.skip != "concat":
                raise ConfigError(
                    f"temporal.channels={hidden} with neck.channels={channels} and "
                    f"temporal.skip={self.skip}",
                    hint="set temporal.skip=concat, or leave temporal.channels at 0",
                )
            self.reduce = nn.Conv2d(channels, hidden, 1)
        if self.skip == "concat":
            # starts as the frame detector: identity on the skip connection, zeros on the core
            self.fuse = nn.Conv2d(channels + hidden, channels, 1, bias=False)
            with torch.no_grad():
                self.fuse.weight.zero_()
                self.fuse.weight[:, :channels, 0, 0] = torch.eye(channels)
        self.head: DetectionHead = build_head(
            config.head, channels, len(self.classes), self.neck.strides
        )
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1) * 255, persistent=False)

    def _neck(self) -> Neck | PyramidNeck:
        """Make the neck that the head needs: one fused map, or a pyramid."""
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
        """The sides of any canvas must be multiples of this many pixels, so that all maps align."""
        return max(self.grid * self.pool, *(self.backbone.strides[i] for i in self.neck.used))

    @property
    def has_temporal_core(self) -> bool:
        """Whether there is a recurrent core to train."""
        return next(iter(self.temporal.parameters()), None) is not None

    @property
    def is_stateful(self) -> bool:
        """Whether earlier frames can change the detections."""
        return self.config.temporal.name != "none"

    @property
    def metadata(self) -> ModelMetadata:
        """Everything that a runtime needs besides the graph; scores are uncalibrated."""
        return ModelMetadata(
            classes=self.classes,
            input_hw=self.canvas_hw,
            motion_lag_s=self.config.input.motion_lag_s,
            track_memory=self._track_memory,
            nms_iou=self.config.head.nms_iou,
            box_voting_iou=self.config.head.box_voting_iou,
            max_detections=self.config.head.max_detections,
            config=self.config.model_dump(mode="json"),
        )

    @property
    def _track_memory(self) -> TrackMemoryConfig:
        temporal = self.config.temporal
        if not self.is_stateful:
            return TrackMemoryConfig()
        return TrackMemoryConfig(
            class_memory_s=temporal.class_memory_s,
            box_smoothing_s=temporal.box_smoothing_s,
            temperature=temporal.temperature,
            score_memory=temporal.score_memory,
            coast_s=temporal.coast_s,
        )

    def normalise(self, frames: Tensor, previous_frames: Tensor | None) -> Tensor:
        """Return the network's input [N, 3 or 6, H, W] for uint8 frames [N, 3, H, W].

        Args:
            frames: RGB, 0..255.
            previous_frames: the frames `input.motion_lag_s` before, used with the frame-difference
                input only; None: no motion.
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
        """Return the neck's maps [N, C, h, w] of frames [N, 3, H, W], the finest first."""
        size_hw = (-(-frames.shape[-2] // self.grid), -(-frames.shape[-1] // self.grid))
        maps: list[Tensor] = self.neck(
            self.backbone(self.normalise(frames, previous_frames)), size_hw
        )
        return maps

    def recur(self, maps: Sequence[Tensor], state: State | None) -> tuple[list[Tensor], State]:
        """Run the core over every one of its levels; return the maps and the states in a row.

        Args:
            maps: [B, T, C, h, w] of each level, the finest first.
            state: what the previous call returned, or None where a video begins.
        """
        outputs: list[Tensor] = []
        states: list[Tensor] = []
        for level, features in enumerate(maps):
            count = len(state) // len(maps) if state is not None else 0
            own = None if state is None else state[level * count : (level + 1) * count]
            output, after = self._recur_level(features, own)
            outputs.append(output)
            states.extend(after)
        return outputs, tuple(states)

    def _recur_level(self, features: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Run the core with its skip connection over features [B, T, C, h, w]; return the state."""
        batch, time = features.shape[:2]
        skip = features.flatten(0, 1)
        pooled = F.avg_pool2d(skip, self.pool, ceil_mode=True) if self.pool > 1 else skip
        reduced = self.reduce(pooled)
        hidden, state = self.temporal(reduced.view(batch, time, *reduced.shape[1:]), state)
        output = self._upsampled(hidden.flatten(0, 1), skip)
        if self.skip != "none":
            output, skip = self.memory_dropout(output), self.skip_dropout(skip)
        if self.skip == "add":
            output = skip + output
        elif self.skip == "concat":
            output = self.fuse(torch.cat((skip, output), dim=1))
        return output.view(batch, time, *output.shape[1:]), state

    def _upsampled(self, hidden: Tensor, features: Tensor) -> Tensor:
        """Return a pooled map as large as the features."""
        if self.pool == 1:
            return hidden
        height, width = features.shape[-2:]
        larger = F.interpolate(hidden, scale_factor=float(self.pool), mode="nearest")
        return larger[..., :height, :width]

    def initial_state(self, features: Tensor) -> State:
        """Return the state in which a video begins, for features [B, T, C, h, w] of the grid."""
        states: list[Tensor] = []
        for level in range(self.levels):
            height, width = (-(-side // (self.pool << level)) for side in features.shape[-2:])
            states.extend(self.temporal.initial_state(features[..., :height, :width]))
        return tuple(states)

    def forward(
        self,
        frames: Tensor,
        previous_frames: Tensor | None = None,
        state: State | None = None,
        *,
        starts: Tensor | None = None,
        memory: bool = True,
    ) -> tuple[Tensor, State]:
        """Return the head's raw predictions and the state after the last frame.

        Args:
            frames: uint8 [B, T, 3, H, W], RGB.
            previous_frames: uint8 [B, T, 3, H, W], see `normalise`.
            state: of the previous call, or None where every video begins.
            starts: bool [B], rows whose state is reset before the clip; None: no row.
            memory: False bypasses the core, to train and evaluate the frame detector alone.

        Returns:
            raw [B, T, outputs, ...], the head's own layout, and the state.
        """
        batch, time = frames.shape[:2]
        before = None if previous_frames is None else previous_frames.flatten(0, 1)
        maps = self.features(frames.flatten(0, 1), before)
        if memory:
            clips = [torch.unflatten(one, 0, (batch, time)) for one in maps[: self.levels]]
            if state is not None and starts is not None:
                state = reset_rows(state, starts, self.initial_state(clips[0]))
            fused, state = self.recur(clips, state)
            maps[: self.levels] = [one.flatten(0, 1) for one in fused]
        else:
            state = ()
        raw: Tensor = self.head(maps)
        return raw.view(batch, time, *raw.shape[1:]), state


def fold_norms(model: DetectorNet) -> DetectorNet:
    """Return a copy in evaluation mode with the norms folded into the convolutions before them.

    Our blocks and torchvision's register a norm right after the convolution that feeds it.
    """
    model = copy.deepcopy(model).eval()
    for parent in model.modules():
        children = list(parent.named_children())
        for (name, layer), (norm_name, norm) in pairwise(children):
            if (
                isinstance(layer, nn.Conv2d)
                and isinstance(norm, nn.BatchNorm2d)
                and norm.num_features == layer.out_channels
            ):
                setattr(parent, name, fuse_conv_bn_eval(layer, norm))
                setattr(parent, norm_name, nn.Identity())
    return model
