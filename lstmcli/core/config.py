"""Settings: frozen, typed, complete at the door. The only place that knows yaml and pydantic."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
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
    width: float = Field(1.0, gt=0, le=4, description="multiplies the channels, where it can")
    activation: Literal["relu", "leaky_relu", "prelu", "silu"] = "silu"
    pooling: Literal["conv", "max", "avg"] = Field(
        "conv", description="how `tiny` and `dense` halve"
    )
    freeze: bool = Field(False, description="keep the weights as they were loaded")


class InputConfig(Section):
    """What the network is shown besides the frame itself."""

    motion_lag_s: float = Field(
        0.0, ge=0, le=2, description="add the difference to the frame this long before; 0: none"
    )


class NeckConfig(Section):
    """The fusion of the feature maps into one map of the grid's stride."""

    channels: int = Field(96, ge=8, le=1024)
    context: bool | Literal["auto"] = Field(
        True,
        description="let coarser maps than the grid take part; auto: where objects are large",
    )
    dropout: float = Field(0.0, ge=0, lt=1)


class TemporalConfig(NamedSection):
    """The core that carries context from frame to frame."""

    name: str = "conv_lstm"
    kernel_size: int = Field(3, ge=1, le=9)
    channels: int = Field(
        0, ge=0, le=1024, description="of the memory; 0: as many as the neck gives"
    )
    pool: int = Field(
        1, ge=1, le=4, description="cells that the memory takes as one, along each side"
    )
    skip: Literal["none", "add", "concat"] = Field(
        "concat", description="how the features go past the memory"
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="of the memory's channels")
    skip_dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="of the channels that go past the memory, so that the memory is asked",
    )
    evidence_s: float = Field(
        0.0, ge=0, description="seconds over which class evidence follows an object; 0: not at all"
    )
    steady_s: float = Field(
        0.0, ge=0, description="seconds over which an object's sides are averaged; 0: not at all"
    )
    doubt: float = Field(
        1.0, ge=0.1, le=10, description="softens classes before they are gathered along an object"
    )


class HeadConfig(NamedSection):
    """Classes and boxes from the map; `classic` is plain cross-entropy over the grid cells."""

    name: str = "anchor_free"
    depth: int = Field(1, ge=0, le=4, description="3x3 layers before the classes and boxes")
    max_detections: int = Field(100, ge=1, le=1000)
    nms_iou: float = Field(
        0.45, gt=0, le=1, description="a box that overlaps a better one by more is dropped"
    )


class LossConfig(Section):
    """Weights of the parts of the loss and the rule that marks a cell positive."""

    positive_radius: float = Field(
        1.5, gt=0, description="cells this many strides around a box's centre are positive"
    )
    box_weight: float = Field(2.0, ge=0)
    class_weight: float = Field(1.0, ge=0)
    class_balance: float = Field(
        0.5, ge=0, le=1, description="0: classes count as often as they occur; 1: all the same"
    )
    label_smoothing: float = Field(0.05, ge=0, lt=1)
    quality: bool = Field(True, description="the score's target is the overlap of the box, not 1")


class AugmentConfig(Section):
    """One draw serves a whole clip."""

    flip: float = Field(0.5, ge=0, le=1)
    scale: Annotated[tuple[PositiveFloat, PositiveFloat], AfterValidator(_rising)] = (0.7, 1.5)
    colour: float = Field(0.3, ge=0, le=1, description="strength of brightness and contrast")
    hue: float = Field(
        0.0, ge=0, le=1, description="how far hues turn and fade; 1: any hue, grey to vivid"
    )
    grey: float = Field(0.1, ge=0, le=1)
    noise: float = Field(0.02, ge=0, le=1)
    blur: float = Field(0.1, ge=0, le=1)
    reverse: float = Field(0.0, ge=0, le=1, description="how often a clip runs backwards")
    paste: float = Field(
        0.0, ge=0, le=8, description="objects of other videos that are laid into a clip, on average"
    )
    decoy: float = Field(
        0.0, ge=0, le=8, description="empty patches laid into it as objects would be, on average"
    )


class ClipConfig(Section):
    """How clips are drawn from the prepared frames."""

    length: int = Field(8, ge=1, le=256, description="frames a clip")
    stride: Annotated[tuple[PositiveInt, PositiveInt], AfterValidator(_rising)] = Field(
        (1, 1), description="prepared frames from one to the next"
    )
    streamed: float = Field(
        0.5, ge=0, le=1, description="share of the batch that carries its state from clip to clip"
    )
    stream_clips: int = Field(6, ge=1, description="clips in a row in a streamed lane")
    balance: bool = Field(True, description="draw classes equally often")
    background: float = Field(0.15, ge=0, le=1, description="share of crops that need no object")
    crop: int = Field(0, ge=0, description="0: the dataset's crop; otherwise pixels of the canvas")
    whole: bool = Field(False, description="train on whole canvases instead of crops")


class TrainConfig(Section):
    """The optimisation."""

    epochs: int = Field(20, ge=1)
    batch: PositiveInt | Literal["auto"] = Field(
        8, description="clips a step; auto: the fastest here, by trying"
    )
    clips_per_epoch: int = Field(0, ge=0, description="0: every labelled frame once")
    least_clips: int = Field(
        0, ge=0, description="clips of an epoch at the least, where few frames are labelled"
    )
    frame_stage: float = Field(
        0.0, ge=0, lt=1, description="share of the training on single frames, before the memory"
    )
    optimizer: str = "adamw"
    lr: float = Field(1e-3, gt=0)
    backbone_lr: float = Field(1.0, ge=0, description="multiplies lr for the backbone")
    memory_stage_lr: float = Field(
        1.0, gt=0, description="multiplies lr while the memory is trained, after a frame stage"
    )
    memory_stage_backbone_lr: float = Field(
        1.0,
        ge=0,
        description="multiplies lr of backbone and neck while the memory is trained; 0: frozen",
    )
    weight_decay: float = Field(0.05, ge=0)
    warmup: float = Field(0.03, ge=0, lt=1, description="share of each stage of the training")
    schedule: str = "cosine"
    clip_gradient: float = Field(5.0, gt=0)
    ema: float = Field(0.998, ge=0, lt=1, description="0: none")
    precision: Literal["auto", "32", "bf16"] = "auto"
    workers: int = Field(1, ge=0)
    patience: int = Field(0, ge=0, description="epochs without a better map50; 0: never stop early")
    validate_frames: int = Field(
        1500, ge=1, description="frames looked at after an epoch; fewer in a short time budget"
    )
    seed: int = Field(0, ge=0)


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


class _Loader(yaml.SafeLoader):
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


def parse_yaml(text: str, place: str) -> Any:
    """Return what a YAML text holds; `place` names it in the error.

    Raises:
        ConfigError: the text is not YAML.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not YAML"
        raise ConfigError(f"{place}{line}: {problem}", hint="check the indentation") from None
    except ValueError as error:  # a date or number in YAML's own notation that is none
        raise ConfigError(f"{place}: {error}", hint="put quotes around texts") from None


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


def load_config(preset: str | Path, settings: Sequence[str] = ()) -> Config:
    """Return the configuration of a preset with `section.key=value` settings laid over it.

    Args:
        preset: the name of a shipped preset or the path of a YAML file.
        settings: texts such as `train.lr=1e-3` or `temporal=none`.

    Raises:
        ConfigError: no such preset, a key that does not exist, a value of the wrong kind.
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
    values.pop("run", None)  # what a run's config.yaml tells besides: its data, its machine
    values.setdefault("name", path.stem)
    for setting in settings:
        _lay_over(values, setting)
    return config_from(values, str(path))


def config_from(values: Mapping[str, Any], place: str) -> Config:
    """Return the checked configuration.

    Raises:
        ConfigError: an unknown key (with the nearest one) or a value of the wrong kind.
    """
    try:
        return Config.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        where = [str(part) for part in first["loc"]]
        key = ".".join(where[: _depth(where)])
        if first["type"] == "extra_forbidden":
            raise ConfigError(
                f"{place}: there is no setting {'.'.join(where)!r}",
                hint=near_name(where[-1], _keys_beside(where)),
            ) from None
        raise ConfigError(
            f"{place}: {key} is {str(first['input'])[:80]!r}",
            hint=_rule(error, first["loc"]),
        ) from None


def _rule(error: ValidationError, place: tuple[int | str, ...]) -> str:
    """Return what is allowed; where there are several kinds, all of them."""
    told = [one for one in error.errors() if one["loc"][:2] == place[:2]]
    texts = [one["msg"].removeprefix("Value error, ") for one in told]
    return ", or ".join(dict.fromkeys(text[:1].lower() + text[1:] for text in texts))


def _depth(where: Sequence[str]) -> int:
    """Return how many parts of a place are names of settings; the rest names a kind of value."""
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


def _keys_beside(where: Sequence[str]) -> list[str]:
    fields = Config.model_fields
    for part in where[:-1]:
        annotation = fields[part].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        fields = annotation.model_fields
    return list(fields)


def _lay_over(values: dict[str, Any], setting: str) -> None:
    key, equals, text = setting.partition("=")
    parts = key.strip().split(".")
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
    old = values.get(parts[-1])
    if isinstance(old, dict) and isinstance(value, str):
        values[parts[-1]] = old | {"name": value}
    else:
        values[parts[-1]] = value
