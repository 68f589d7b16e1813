"""Settings: frozen, typed, complete at the door. The only place that knows pydantic."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    model_validator,
)


class Section(BaseModel):
    """A frozen group of settings that refuses unknown keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False
    )


def _rising(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError("the first number must not be larger than the second")
    return pair


def _digits(value: Any) -> Any:
    """Return a text where YAML reads a number."""
    return str(value) if type(value) is int else value


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
    box_voting_iou: float = Field(
        0.6, ge=0, lt=1, description="IoU above which predictions are averaged into a box; 0: none"
    )


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
    mosaic: float = Field(
        0.0, ge=0, le=1, description="probability of four clips side by side instead of one"
    )
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
    precision: Annotated[Literal["auto", "32", "bf16"], BeforeValidator(_digits)] = "auto"
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
