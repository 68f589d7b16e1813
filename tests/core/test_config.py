"""Settings are complete and checked at the door; errors name key and file."""

from __future__ import annotations

from pathlib import Path

import pytest

from lstmcli.core.config import Config
from lstmcli.core.config_file import config_from, load_config, preset_names
from lstmcli.core.errors import ConfigError
from lstmcli.core.renamed_settings import RENAMED_SETTINGS
from lstmcli.core.yaml_text import dump_yaml, parse_yaml


@pytest.fixture
def preset(tmp_path: Path) -> Path:
    """A preset of two lines."""
    path = tmp_path / "mine.yaml"
    path.write_text("temporal: lstm\ntrain: {lr: 1e-3}\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("name", preset_names())
def test_every_shipped_preset_is_a_configuration(name: str) -> None:
    config = load_config(name)
    assert config.name == name


def test_a_configuration_survives_being_written(preset: Path) -> None:
    config = load_config(preset, ["clips.stride=[1, 4]", "train.batch_size=auto"])
    text = dump_yaml(config.model_dump(mode="json"))
    assert config_from(parse_yaml(text, "text"), "text") == config


@pytest.mark.parametrize(
    ("setting", "section", "key", "value"),
    [
        ("train.lr=1e-4", "train", "lr", 1e-4),
        ("train.lr=3", "train", "lr", 3.0),
        ("temporal=none", "temporal", "name", "none"),
        ("temporal.name=conv_gru", "temporal", "name", "conv_gru"),
        ("temporal.kernel_size=5", "temporal", "kernel_size", 5),
        ("backbone={name: tiny, pooling: max}", "backbone", "pooling", "max"),
        ("clips.stride=[2,3]", "clips", "stride", (2, 3)),
        ("clips.full_frame=off", "clips", "full_frame", False),
        ("train.batch_size=auto", "train", "batch_size", "auto"),
        ("backbone.weights=no", "backbone", "weights", "no"),
    ],
)
def test_a_setting_is_laid_over_the_preset(
    preset: Path, setting: str, section: str, key: str, value: object
) -> None:
    assert getattr(getattr(load_config(preset, [setting]), section), key) == value


def test_settings_keep_what_the_preset_says_elsewhere(preset: Path) -> None:
    config = load_config(preset, ["temporal.kernel_size=5", "train.epochs=2"])
    assert (config.temporal.name, config.train.lr) == ("lstm", 1e-3)
    assert config.name == "mine"


@pytest.mark.parametrize(
    ("setting", "problem", "hint"),
    [
        ("train.lrr=1", "there is no setting 'train.lrr'", "did you mean 'lr'?"),
        ("trian.lr=1", "there is no setting 'trian'", "did you mean 'train'?"),
        ("train.lr", "is not a setting", "section.key=value"),
        ("=1", "is not a setting", "section.key=value"),
        ("train.lr=quick", "train.lr is 'quick'", "valid number"),
        ("train.lr=", "train.lr is 'None'", "valid number"),
        ("train.lr=0", "train.lr is '0'", "greater than 0"),
        ("train.lr=.nan", "train.lr is 'nan'", "finite"),
        ("train.lr=.inf", "train.lr is 'inf'", "finite"),
        ("train.epochs=2.5", "train.epochs is '2.5'", "integer"),
        (
            "train.batch_size=0",
            "train.batch_size is '0'",
            "greater than 0, or input should be 'auto'",
        ),
        ("train.batch_size=all", "train.batch_size is 'all'", "'auto'"),
        ("train.seed=-1", "train.seed is '-1'", "greater than or equal to 0"),
        ("train.precision=16", "train.precision is '16'", "'bf16'"),
        ("clips.stride=[4, 1]", "clips.stride is '[4, 1]'", "must not be larger"),
        ("clips.stride=[0, 1]", "clips.stride is '0'", "greater than 0"),
        ("clips.stride=2", "clips.stride is '2'", "valid tuple"),
        ("augment.scale=[1.5, 0.5]", "augment.scale", "must not be larger"),
        ("augment.scale=[0, 1]", "augment.scale", "greater than 0"),
        ("head=3", "head is '3'", "dictionary"),
        ("train=3", "train is '3'", "dictionary"),
        ("train.lr.low=3", "'lr' is no section", "presets"),
        ("train.lr=[1", "--set train.lr, line 1", "indentation"),
        ("train.lr=2001-99-99", "--set train.lr: month", "quotes"),
    ],
)
def test_a_wrong_setting_is_told_with_its_rule(
    preset: Path, setting: str, problem: str, hint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(preset, [setting])
    assert problem in caught.value.problem
    assert hint in caught.value.hint
    assert "\n" not in caught.value.problem + caught.value.hint


OLD_PRESET = """\
neck: {channels: 64, context: auto}
temporal: {name: conv_lstm, evidence_s: 10, steady_s: 0.25, doubt: 2}
loss: {positive_radius: 2.5, quality: false}
augment: {paste: 0.7, decoy: 0.5}
clips: {streamed: 0.25, stream_clips: 4, background: 0.3, whole: true}
train: {batch: 2, least_clips: 15, frame_stage: 0.75, backbone_lr: 0.1, memory_stage_lr: 0.3,
  memory_stage_backbone_lr: 0, clip_gradient: 4.0, ema: 0.98, workers: 0}
"""
NEW_PRESET = """\
neck: {channels: 64, coarse_levels: auto}
temporal: {name: conv_lstm, class_memory_s: 10, box_smoothing_s: 0.25, temperature: 2}
loss: {center_radius: 2.5, iou_aware: false}
augment: {copy_paste: 0.7, distractors: 0.5}
clips: {stateful_fraction: 0.25, stateful_clips: 4, negative_fraction: 0.3, full_frame: true}
train: {batch_size: 2, min_clips_per_epoch: 15, stage1_fraction: 0.75, backbone_lr_scale: 0.1,
  stage2_lr_scale: 0.3, stage2_backbone_lr_scale: 0, max_grad_norm: 4.0, ema_decay: 0.98,
  num_workers: 0}
"""


def test_a_preset_with_the_old_names_of_settings_means_the_same(tmp_path: Path) -> None:
    old, new = tmp_path / "old" / "p.yaml", tmp_path / "new" / "p.yaml"
    for path, text in ((old, OLD_PRESET), (new, NEW_PRESET)):
        path.parent.mkdir()
        path.write_text(text, encoding="utf-8")
    notes: list[str] = []
    assert load_config(old, note=notes.append) == load_config(new, note=notes.append)
    assert len(notes) == len(RENAMED_SETTINGS)  # one a setting, and none for the new names
    assert "the setting train.batch is called train.batch_size now" in " ".join(notes)


def test_every_new_name_is_a_setting_and_every_old_one_is_none() -> None:
    defaults = Config().model_dump()
    for old, new in RENAMED_SETTINGS.items():
        section, key = new.split(".")
        assert key in defaults[section], new
        assert old.split(".")[1] not in defaults[section], old


@pytest.mark.parametrize("setting", ["train.batch=2", "train={batch: 2}", "train.batch_size=2"])
def test_the_old_name_of_a_setting_is_laid_over_the_new_one(setting: str, tmp_path: Path) -> None:
    path = tmp_path / "new.yaml"
    path.write_text(NEW_PRESET.replace("batch_size: 2", "batch_size: 7"), encoding="utf-8")
    notes: list[str] = []
    assert load_config(path, [setting], note=notes.append).train.batch_size == 2
    assert bool(notes) == ("batch_size" not in setting)


def test_a_setting_under_both_names_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "both.yaml"
    path.write_text("train: {batch_size: 2, batch: 4}", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"train\.batch and train\.batch_size") as caught:
        load_config(path)
    assert caught.value.hint == "use train.batch_size"


def test_an_unknown_preset_is_told_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="no preset named 'smal'") as caught:
        load_config("smal")
    assert caught.value.hint == "did you mean 'small'?"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"train: {lr: 1e-3", "line 1"),
        (b"- a\n- b\n", "a list or text"),
        (b"just words", "a list or text"),
        (b"\xff\xfe\x00bad", "not a text file"),
        (b"train:\n\tlr: 1\n", "line 2"),
        (b"1: 2\n", "bad.yaml"),
        (b"temporal: !!python/object/apply:os.system [true]\n", "line 1"),
    ],
)
def test_a_file_that_is_no_preset_is_told(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(path) in caught.value.problem
    assert problem in caught.value.problem


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_config(tmp_path / "none.yaml")


def test_an_empty_preset_means_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "empty.yaml"
    path.touch()
    assert load_config(path) == Config(name="empty")


def test_a_precision_of_digits_needs_no_quotes() -> None:
    assert Config.model_validate({"train": {"precision": 32}}).train.precision == "32"
