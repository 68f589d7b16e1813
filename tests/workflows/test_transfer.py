"""Starting from a trained model: which one, what of it, and how carefully it is trained on."""

from __future__ import annotations

import torch

from lstmcli.core.config_file import load_config
from lstmcli.workflows.train.transfer import (
    chosen_init,
    fine_tuning_for,
    like_named,
    with_class_rows,
)


def test_classes_are_matched_by_name_whatever_their_case_number_or_synonym() -> None:
    theirs = ("person", "car", "animal")
    assert like_named(("Cars", "pedestrian", "drone", "Cheetah"), theirs) == {0: 1, 1: 0, 3: 2}
    assert like_named(("animal",), ("bird", "drone")) == {}


def test_rows_of_like_named_classes_are_copied_and_others_stay() -> None:
    own, theirs = torch.zeros(5, 2), torch.arange(8.0).view(4, 2)
    found = with_class_rows(own, theirs, {2: 0}, before=2)
    assert found.tolist() == [[0, 1], [2, 3], [0, 0], [0, 0], [4, 5]]
    assert own.sum() == 0


def test_fewer_frames_train_fewer_weights() -> None:
    tunings = [fine_tuning_for(frames) for frames in (70, 1000, 40_000)]
    assert [tuning.freeze for tuning in tunings] == [True, False, False]
    rates = [tuning.lr * tuning.backbone_lr for tuning in tunings]
    assert rates == sorted(rates)
    assert rates[0] == 0


def test_none_starts_untrained_and_a_name_from_that_model() -> None:
    config = load_config("small")
    assert chosen_init("none", config) is None
    assert chosen_init("sky", config) == "sky"


def test_a_preset_of_another_architecture_starts_untrained_by_default() -> None:
    assert chosen_init(None, load_config("small")) is None


def test_the_preset_general_starts_from_general() -> None:
    assert chosen_init(None, load_config("general")) == "general"
