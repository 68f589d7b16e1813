"""Settings: frozen, typed, complete at the door. The only place that knows yaml and pydantic."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from lstmcli.core.errors import ConfigError, near_name
from lstmcli.core.limits import check_limit
from lstmcli.core.renamed_settings import upgrade_key, upgrade_settings


class Section(BaseModel):
    """A frozen group of settings that refuses unknown keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False
    )


def _rising(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError("the first number must not be larger than the second")
    return pair


class NamedSection(Section):
    """A section chosen by name; `temporal: none` is short for `temporal: {name: none}`."""

    name: str

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value


class BackboneConfig(NamedSection):
    """The CNN that turns a frame into feature maps, and the neck that fuses them."""

    name: str = "dense"
    weights: str = Field("none", description="'none', 'imagenet' (torchvision downloads) or a file")
    width: float = Field(
        1.0, gt=0, le=4, description="width multiplier; ignored by backbones of fixed width"
    )
    activation: Literal["relu", "leaky_relu", "prelu", "silu"] = "silu"
    pooling: Literal["conv", "max", "avg"] = Field(
        "conv", description="downsampling in `tiny` and `dense`"
    )
    freeze: bool = Field(False, description="do not train the backbone")


class InputConfig(Section):
    """Inputs besides the current frame."""

    motion_lag_s: float = Field(
        0.0,
        ge=0,
        le=2,
        description="seconds to the earlier frame of the frame-difference input; 0: no such input",
    )


class NeckConfig(Section):
    """The neck: fuses the backbone's feature maps into one map at the output stride."""

    channels: int = Field(96, ge=8, le=1024, description="channels of the fused map")
    coarse_levels: bool | Literal["auto"] = Field(
        True,
        description="fuse maps coarser than the output stride; auto: only if objects are large",
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="channel dropout on the fused map")


class TemporalConfig(NamedSection):
    """The recurrent core and the track memory."""

    name: str = "conv_lstm"
    kernel_size: int = Field(3, ge=1, le=9, description="of the convolutional cores; odd")
    channels: int = Field(
        0, ge=0, le=1024, description="hidden channels; 0: as many as the neck outputs"
    )
    pool: int = Field(
        1, ge=1, le=4, description="average pooling before the core (its map is this much smaller)"
    )
    levels: Literal["finest", "all"] = Field(
        "finest", description="maps of a multi-scale head that the core runs over"
    )
    skip: Literal["none", "add", "concat"] = Field(
        "concat", description="skip connection around the core"
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="channel dropout on the core's output")
    skip_dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="channel dropout on the skip connection, so that the head learns to use the "
        "recurrent core",
    )
    class_memory_s: float = Field(
        0.0,
        ge=0,
        description="decay time constant (s) of a track's class scores; 0: no class memory",
    )
    box_smoothing_s: float = Field(
        0.0,
        ge=0,
        description="decay time constant (s) of a track's box size; 0: no smoothing",
    )
    temperature: float = Field(
        1.0,
        ge=0.1,
        le=10,
        description="softmax temperature of class scores before the track memory",
    )
    score_memory: float = Field(
        0.0, ge=0, le=1, description="share by which a weak detection is lifted to its track's best"
    )
    coast_s: float = Field(
        0.0, ge=0, le=1, description="seconds a track lives on without detections; 0: not at all"
    )


class HeadConfig(NamedSection):
    """The detection head: class scores and boxes for every cell of the map."""

    name: str = "anchor_free"
    depth: int = Field(1, ge=0, le=4, description="3x3 convolutions in each branch")
    max_detections: int = Field(100, ge=1, le=1000, description="per frame, after NMS")
    nms_iou: float = Field(0.45, gt=0, le=1, description="IoU threshold of non-maximum suppression")


class LossConfig(Section):
    """Loss weights and label assignment."""

    center_radius: float = Field(
        1.5, gt=0, description="centre sampling: cells within this many strides are positive"
    )
    box_weight: float = Field(2.0, ge=0, description="weight of the box loss")
    class_weight: float = Field(1.0, ge=0, description="weight of the class loss")
    class_balance: float = Field(
        0.5,
        ge=0,
        le=1,
        description="class weights are frequency to the power of minus this; 0: no re-weighting",
    )
    label_smoothing: float = Field(0.05, ge=0, lt=1, description="of the class targets")
    iou_aware: bool = Field(
        True, description="objectness target is the IoU of the predicted box instead of 1"
    )


class AugmentConfig(Section):
    """Augmentation; one draw serves a whole clip."""

    flip: float = Field(0.5, ge=0, le=1, description="probability of a horizontal flip")
    scale: Annotated[tuple[PositiveFloat, PositiveFloat], AfterValidator(_rising)] = Field(
        (0.7, 1.5), description="range of the random resize factor"
    )
    colour: float = Field(0.3, ge=0, le=1, description="strength of brightness and contrast jitter")
    hue: float = Field(0.0, ge=0, le=1, description="strength of hue and saturation jitter")
    grey: float = Field(0.1, ge=0, le=1, description="probability of greyscale")
    noise: float = Field(0.02, ge=0, le=1, description="largest sigma of Gaussian noise")
    blur: float = Field(0.1, ge=0, le=1, description="probability of blur")
    reverse: float = Field(0.0, ge=0, le=1, description="probability of a time-reversed clip")
    copy_paste: float = Field(
        0.0, ge=0, le=8, description="mean number of objects pasted from other videos into a clip"
    )
    distractors: float = Field(
        0.0,
        ge=0,
        le=8,
        description="mean number of background patches pasted into a clip as negatives",
    )


class ClipConfig(Section):
    """Sampling of clips from the prepared frames."""

    length: int = Field(8, ge=1, le=256, description="frames per clip")
    stride: Annotated[tuple[PositiveInt, PositiveInt], AfterValidator(_rising)] = Field(
        (1, 1), description="range of the frame stride within a clip"
    )
    stateful_fraction: float = Field(
        0.5,
        ge=0,
        le=1,
        description="share of the batch whose recurrent state carries over to its next clip",
    )
    stateful_clips: int = Field(
        6, ge=1, description="consecutive clips before a carried state is reset"
    )
    balance: bool = Field(True, description="class-balanced sampling")
    negative_fraction: float = Field(
        0.15, ge=0, le=1, description="share of crops that are drawn without regard to objects"
    )
    crop: int = Field(0, ge=0, description="side of the crop in pixels; 0: as prepared")
    full_frame: bool = Field(False, description="train on full frames instead of crops")


class TrainConfig(Section):
    """The optimisation."""

    epochs: int = Field(20, ge=1)
    batch_size: PositiveInt | Literal["auto"] = Field(
        8, description="clips per step; auto: the fastest of a short benchmark"
    )
    clips_per_epoch: int = Field(
        0, ge=0, description="0: as many as cover every annotated frame once"
    )
    min_clips_per_epoch: int = Field(
        0, ge=0, description="lower bound where few frames are annotated"
    )
    stage1_fraction: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of the training in stage 1 (frame detector); stage 2 trains the core",
    )
    optimizer: str = "adamw"
    lr: float = Field(1e-3, gt=0, description="peak learning rate")
    backbone_lr_scale: float = Field(
        1.0, ge=0, description="learning rate multiplier of the backbone"
    )
    stage2_lr_scale: float = Field(1.0, gt=0, description="learning rate multiplier in stage 2")
    stage2_backbone_lr_scale: float = Field(
        1.0,
        ge=0,
        description="learning rate multiplier of backbone and neck in stage 2; 0: frozen",
    )
    weight_decay: float = Field(0.05, ge=0, description="not applied to norms and biases")
    warmup: float = Field(0.03, ge=0, lt=1, description="share of each stage with linear warm-up")
    schedule: str = "cosine"
    max_grad_norm: float = Field(5.0, gt=0, description="gradient clipping")
    ema_decay: float = Field(
        0.998, ge=0, lt=1, description="of the moving average of the weights; 0: no average"
    )
    precision: Literal["auto", "32", "bf16"] = "auto"
    num_workers: int = Field(1, ge=0, description="data loader processes")
    patience: int = Field(0, ge=0, description="epochs without a better map50; 0: never stop early")
    validate_frames: int = Field(
        1500, ge=1, description="validation frames per epoch; fewer in a short time budget"
    )
    careful: bool = Field(
        False,
        description="fewer frames, lower learning rates and a frozen backbone, with --init",
    )
    seed: int = Field(0, ge=0, description="of weights, sampling and augmentation")


class Config(Section):
    """Everything that is needed to repeat a run, but for the data."""

    name: str = ""
    backbone: BackboneConfig = BackboneConfig()
    input: InputConfig = InputConfig()
    neck: NeckConfig = NeckConfig()
    temporal: TemporalConfig = TemporalConfig()
    head: HeadConfig = HeadConfig()
    loss: LossConfig = LossConfig()
    augment: AugmentConfig = AugmentConfig()
    clips: ClipConfig = ClipConfig()
    train: TrainConfig = TrainConfig()


_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc]
    """YAML 1.1, two traps mended: `1e-3` is a number; `off`, `no`, `on`, `yes` are text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, rule) for tag, rule in rules if tag != "tag:yaml.org,2002:bool"]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)


def parse_yaml(text: str, source: str) -> Any:
    """Return what a YAML text holds; `source` names it in the error.

    Raises:
        ConfigError: the text is not YAML.
    """
    check_limit("yaml_bytes", len(text), source, error=ConfigError)
    try:
        _check_structure(text, source)
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        last = text.count("\n") + 1  # libyaml counts a line behind the end
        line = f", line {min(mark.line + 1, last)}" if mark else ""
        problem = getattr(error, "problem", None) or "not YAML"
        raise ConfigError(f"{source}{line}: {problem}", hint="check the indentation") from None
    except ValueError as error:  # a date or number in YAML's own notation that is none
        raise ConfigError(f"{source}: {error}", hint="put quotes around texts") from None


def read_yaml(path: Path) -> Any:
    """Return what a YAML file holds.

    Raises:
        ConfigError: it cannot be read, is too large, or is not YAML.
    """
    try:
        check_limit("yaml_bytes", path.stat().st_size, str(path), error=ConfigError)
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not UTF-8 text", hint="save the file as UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", hint="check the path") from None
    return parse_yaml(text, str(path))


def _check_structure(text: str, source: str) -> None:
    """Refuse aliases and nesting that would fill memory or stack when the values are made."""
    depth = aliases = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            check_limit("nesting", depth, source, error=ConfigError)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.AliasEvent):
            aliases += 1
            check_limit("aliases", aliases, source, error=ConfigError)


def dump_yaml(value: Any) -> str:
    """Return plain YAML in the given order of keys."""
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True)


def preset_folder() -> Path:
    """Return the folder of the shipped presets, in a wheel or in an editable install."""
    package = Path(__file__).resolve().parents[1]
    inside = package / "presets"
    return inside if inside.is_dir() else package.parent / "presets"


def preset_names() -> list[str]:
    """Return the names of the shipped presets."""
    return sorted(path.stem for path in preset_folder().glob("*.yaml"))


def load_config(
    preset: str | Path,
    settings: Sequence[str] = (),
    *,
    note: Callable[[str], None] | None = None,
) -> Config:
    """Return the configuration of a preset with `section.key=value` settings laid over it.

    Args:
        preset: the name of a shipped preset or the path of a YAML file.
        settings: texts such as `train.lr=1e-3` or `temporal=none`.
        note: called with a line for every setting that goes by an old name.

    Raises:
        ConfigError: no such preset, a key that does not exist, a value of the wrong type.
    """
    path = Path(preset)
    if path.suffix not in {".yaml", ".yml"}:
        path = preset_folder() / f"{preset}.yaml"
        if not path.is_file():
            raise ConfigError(
                f"there is no preset named {str(preset)!r}",
                hint=near_name(str(preset), preset_names()),
            )
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{path}: {error.strerror}", hint="give a YAML file or a preset's name"
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: not a text file", hint="give a YAML file in UTF-8") from None
    values = parse_yaml(text, str(path)) or {}
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: a list or text", hint="write sections with keys and values")
    values.pop("run", None)  # a run's config.yaml also holds its data and its machine
    values.setdefault("name", path.stem)
    values, renamed = upgrade_settings(values, str(path))
    for setting in settings:
        renamed |= _lay_over(values, setting)
    for old, new in renamed.items():
        if note is not None:
            note(f"the setting {old} is called {new} now; the old name goes with the next release")
    return config_from(values, str(path))


def config_from(values: Mapping[str, Any], source: str) -> Config:
    """Return the checked configuration; settings of earlier releases are renamed.

    Raises:
        ConfigError: an unknown key (with the nearest one) or a value of the wrong type.
    """
    try:
        return Config.model_validate(upgrade_settings(values, source)[0])
    except ValidationError as error:
        first = error.errors()[0]
        where = [str(part) for part in first["loc"]]
        key = ".".join(where[: _depth(where)])
        if first["type"] == "extra_forbidden":
            raise ConfigError(
                f"{source}: there is no setting {'.'.join(where)!r}",
                hint=near_name(where[-1], _sibling_keys(where)),
            ) from None
        raise ConfigError(
            f"{source}: {key} is {str(first['input'])[:80]!r}",
            hint=_rule(error, first["loc"]),
        ) from None


def _rule(error: ValidationError, location: tuple[int | str, ...]) -> str:
    """Return what is allowed; where there are several types, all of them."""
    failures = [one for one in error.errors() if one["loc"][:2] == location[:2]]
    texts = [one["msg"].removeprefix("Value error, ") for one in failures]
    return ", or ".join(dict.fromkeys(text[:1].lower() + text[1:] for text in texts))


def _depth(where: Sequence[str]) -> int:
    """Return how many parts of a location are names of settings; the rest names a type of value."""
    fields = Config.model_fields
    for depth, part in enumerate(where):
        if part not in fields:
            return max(1, depth) if fields else depth
        annotation = fields[part].annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            fields = annotation.model_fields
        else:
            fields = {}
    return len(where)


def _sibling_keys(where: Sequence[str]) -> list[str]:
    fields = Config.model_fields
    for part in where[:-1]:
        annotation = fields[part].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        fields = annotation.model_fields
    return list(fields)


def _lay_over(values: dict[str, Any], setting: str) -> dict[str, str]:
    """Apply `section.key=value` in place; return the old names in it with their new ones."""
    key, equals, text = setting.partition("=")
    key = key.strip()
    renamed = {key: upgrade_key(key)} if upgrade_key(key) != key else {}
    parts = upgrade_key(key).split(".")
    if not equals or not all(parts):
        raise ConfigError(
            f"--set {setting!r} is not a setting", hint="write section.key=value, as train.lr=1e-3"
        )
    for part in parts[:-1]:
        inner = values.get(part)
        if isinstance(inner, str):
            inner = {"name": inner}
        if inner is None:
            inner = {}
        if not isinstance(inner, dict):
            raise ConfigError(f"--set {setting!r}: {part!r} is no section", hint="see presets/")
        values[part] = inner
        values = inner
    value = parse_yaml(text, f"--set {key}")
    if len(parts) == 1:  # a whole section, as `temporal={name: lstm, pool: 2}`
        upgraded, inside = upgrade_settings({key: value}, f"--set {key}")
        value = upgraded[key]
        renamed |= inside
    old = values.get(parts[-1])
    if isinstance(old, dict) and isinstance(value, str):
        values[parts[-1]] = old | {"name": value}
    else:
        values[parts[-1]] = value
    return renamed
