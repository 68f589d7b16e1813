"""Settings that earlier releases called otherwise: one table for presets, `--set`, checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lstmcli.core.errors import ConfigError

RENAMED_SETTINGS: Mapping[str, str] = {
    "neck.context": "neck.coarse_levels",
    "temporal.evidence_s": "temporal.class_memory_s",
    "temporal.steady_s": "temporal.box_smoothing_s",
    "temporal.doubt": "temporal.temperature",
    "loss.positive_radius": "loss.center_radius",
    "loss.quality": "loss.iou_aware",
    "augment.paste": "augment.copy_paste",
    "augment.decoy": "augment.distractors",
    "clips.streamed": "clips.stateful_fraction",
    "clips.stream_clips": "clips.stateful_clips",
    "clips.background": "clips.negative_fraction",
    "clips.whole": "clips.full_frame",
    "train.batch": "train.batch_size",
    "train.least_clips": "train.min_clips_per_epoch",
    "train.frame_stage": "train.stage1_fraction",
    "train.backbone_lr": "train.backbone_lr_scale",
    "train.memory_stage_lr": "train.stage2_lr_scale",
    "train.memory_stage_backbone_lr": "train.stage2_backbone_lr_scale",
    "train.clip_gradient": "train.max_grad_norm",
    "train.ema": "train.ema_decay",
    "train.workers": "train.num_workers",
}
"""Old name -> new name, 2026-11; `section.key`, both in the same section."""


def upgrade_key(key: str) -> str:
    """Return today's name of a setting `section.key`; any other text as it is."""
    return RENAMED_SETTINGS.get(key, key)


def upgrade_settings(
    values: Mapping[str, Any], source: str
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return nested settings under today's names, and the old names that were found.

    Args:
        values: sections with keys and values; what is no section is left as it is.
        source: names the settings in the error.

    Raises:
        ConfigError: a setting stands there under both names.
    """
    renamed: dict[str, str] = {}
    upgraded: dict[str, Any] = {}
    for section, inner in values.items():
        if not isinstance(inner, Mapping):
            upgraded[section] = inner
            continue
        keys: dict[str, Any] = {}
        for key, value in inner.items():
            old = f"{section}.{key}"
            new = upgrade_key(old)
            name = key if new == old else new.rpartition(".")[2]
            if new != old:
                renamed[old] = new
            if name in keys or (name != key and name in inner):
                raise ConfigError(
                    f"{source}: {old} and {new} are the same setting", hint=f"use {new}"
                )
            keys[name] = value
        upgraded[section] = keys
    return upgraded, renamed
