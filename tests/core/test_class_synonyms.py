"""Names of classes: synonyms are scored as one class, related classes only start a training."""

from __future__ import annotations

import pytest

from lstmcli.core.class_synonyms import RELATED, SYNONYMS, general_names, synonym_of


@pytest.mark.parametrize(
    ("name", "usual"),
    [("Pedestrian", "person"), ("bike", "bicycle"), ("plane", "airplane"), ("van", None)],
)
def test_synonyms_are_the_same_class(name: str, usual: str | None) -> None:
    assert synonym_of(name) == usual


@pytest.mark.parametrize(
    ("name", "general"), [("cheetah", ["animal"]), ("human", ["person"]), ("drone", [])]
)
def test_a_training_may_start_from_related_classes(name: str, general: list[str]) -> None:
    assert general_names({name}) == general


def test_no_name_is_both_a_synonym_and_related() -> None:
    synonyms = {name for names in SYNONYMS.values() for name in names}
    assert not synonyms & {name for names in RELATED.values() for name in names}
