"""Transfer: initial model, weights of like-named classes, learning rates for few frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from lstmcli.core.class_synonyms import general_names
from lstmcli.core.config import Config
from lstmcli.core.errors import ModelError
from lstmcli.core.model_files import find_checkpoint, shipped_models
from lstmcli.core.progress import Progress
from lstmcli.dataset.manifest import Dataset
from lstmcli.models.checkpoint import load_checkpoint
from lstmcli.models.detector import DetectorNet

GENERAL = "general"
"""The shipped model of everyday objects."""
UNTRAINED = "none"
FEW_FRAMES, SOME_FRAMES = 300, 3000
"""Annotated frames up to which the backbone is frozen, and up to which its rate is lower."""


@dataclass(frozen=True, slots=True)
class FineTuning:
    """Learning rates and freezing for fine-tuning.

    Args:
        lr: multiplies `train.lr`.
        backbone_lr: multiplies `train.backbone_lr_scale`.
        freeze: whether the backbone is frozen, its norms included.
        reason: for the note.
    """

    lr: float
    backbone_lr: float
    freeze: bool
    reason: str


def chosen_init(init: str | None, config: Config) -> str | None:
    """Return the model to start from: the named one, none, or `general` where it fits the preset.

    Args:
        init: of `--init`, or None.
        config: of the training.
    """
    if init == UNTRAINED:
        return None
    if init is not None:
        return init
    general = shipped_models().get(GENERAL)
    if general is None or config.backbone.weights != "none":
        return None
    theirs = load_checkpoint(general).config
    same = all(
        getattr(theirs, part).name == getattr(config, part).name for part in ("backbone", "head")
    )
    return GENERAL if same and theirs.neck.channels == config.neck.channels else None


def fine_tuning_for(frames: int) -> FineTuning:
    """Return learning rates and freezing by the number of annotated training frames."""
    if frames <= FEW_FRAMES:
        return FineTuning(0.5, 0.0, True, "few frames: the backbone is frozen")
    if frames <= SOME_FRAMES:
        return FineTuning(0.5, 0.4, False, "the backbone has a lower learning rate")
    return FineTuning(1.0, 1.0, False, "many frames: all weights are trained")


def fit_to_init(config: Config, dataset: Dataset, progress: Progress) -> Config:
    """Return the settings for fine-tuning, with lower rates for few frames."""
    videos = dataset.split("train")
    frames = sum(sum(video.labels.at(int(f)) is not None for f in video.frames) for video in videos)
    tuning = fine_tuning_for(frames)
    progress.note(f"{frames} annotated frames to train on: {tuning.reason}")
    train = config.train.model_copy(
        update={
            "lr": config.train.lr * tuning.lr,
            "backbone_lr_scale": config.train.backbone_lr_scale * tuning.backbone_lr,
        }
    )
    backbone = config.backbone.model_copy(
        update={"freeze": config.backbone.freeze or tuning.freeze}
    )
    return config.model_copy(update={"train": train, "backbone": backbone})


def start_from(network: DetectorNet, init: str, progress: Progress) -> None:
    """Copy the weights that fit by name and shape, and those of like-named classes.

    Raises:
        ModelError: hardly any of them fit.
    """
    source = load_checkpoint(init)
    own, theirs = network.state_dict(), source.model.state_dict()
    fitting = {n: v for n, v in theirs.items() if n in own and own[n].shape == v.shape}
    if len(fitting) < len(own) / 3:
        raise ModelError(
            f"{find_checkpoint(init)}: {len(fitting)} of {len(own)} tensors fit this preset",
            hint="use the preset that it was trained with",
        )
    rows = like_named(network.classes, source.classes)
    for name, before in network.head.class_rows.items():
        for full in (f"head.{name}.weight", f"head.{name}.bias"):
            if full in theirs and full in own:
                fitting[full] = with_class_rows(own[full], theirs[full], rows, before)
    network.load_state_dict(fitting, strict=False)
    taken = [f"{network.classes[to]} from {source.classes[row]}" for to, row in rows.items()]
    progress.note(
        f"started from {init}: {len(fitting)} of {len(own)} tensors fit"
        + (f"; classes: {', '.join(taken)}" if taken else "; no class of that name")
    )


def like_named(own: Sequence[str], theirs: Sequence[str]) -> dict[int, int]:
    """Return own class -> row of the other model's class of the same name or a synonym."""
    rows = {}
    names = [name.lower() for name in theirs]
    for row, name in enumerate(own):
        lower = name.lower().strip()
        names_to_try = [lower, lower.removesuffix("s")]
        names_to_try += general_names(set(names_to_try))
        found = next((one for one in names_to_try if one in names), None)
        if found is not None:
            rows[row] = names.index(found)
    return rows


def with_class_rows(own: Tensor, theirs: Tensor, rows: Mapping[int, int], before: int) -> Tensor:
    """Return own weights with the rows of like-named classes from another model.

    Args:
        own: [before + classes, ...]; theirs: the same of other classes.
        rows: own class to their class.
        before: rows before those of the classes, copied unchanged.
    """
    result = own.clone()
    result[:before] = theirs[:before]
    for to, row in rows.items():
        result[before + to] = theirs[before + row]
    return result
