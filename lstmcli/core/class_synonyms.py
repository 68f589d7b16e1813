"""Names of one class in different data sets: synonyms, and related classes for transfer."""

from __future__ import annotations

from collections.abc import Mapping

SYNONYMS: Mapping[str, frozenset[str]] = {
    "person": frozenset({"human", "people", "pedestrian"}),
    "bicycle": frozenset({"bike"}),
    "motorcycle": frozenset({"motorbike"}),
    "airplane": frozenset({"aeroplane", "plane"}),
}
"""Name of detectors trained on COCO -> other names of the same class, in lower case."""
RELATED: Mapping[str, frozenset[str]] = {
    "person": frozenset({"man", "woman", "player", "swimmer"}),
    "bicycle": frozenset({"cyclist"}),
    "car": frozenset({"automobile", "van", "vehicle", "taxi"}),
    "motorcycle": frozenset({"scooter", "moped"}),
    "truck": frozenset({"lorry"}),
    "animal": frozenset(
        {"dog", "cat", "lion", "cheetah", "horse", "cow", "sheep", "deer", "bird", "mouse", "fly"}
    ),
}
"""Class -> classes that look alike: good enough to start from, not to be scored as the same."""


def synonym_of(name: str) -> str | None:
    """Return the usual name of a class, None where the name has no other."""
    return next((usual for usual, names in SYNONYMS.items() if name.lower() in names), None)


def general_names(names: set[str]) -> list[str]:
    """Return the classes with any of these names (lower case) as a synonym or a related class."""
    usual = dict.fromkeys((*RELATED, *SYNONYMS))
    none: frozenset[str] = frozenset()
    return [name for name in usual if (SYNONYMS.get(name, none) | RELATED.get(name, none)) & names]
