"""The verdict of an evaluation or comparison in words, before any table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

GOOD, FAIR = 0.7, 0.4
MISCALIBRATED = 0.1
NO_GAIN = 0.0005
"""Recall below which a gain is shown as none."""


def comparison_verdict(values: Mapping[str, Any]) -> list[str]:
    """Return sentences about a comparison's JSON: who is better, how sure, and in what.

    Args:
        values: of `SideBySide.as_json`.
    """
    names, reference = values["models"], values["reference"]
    domains = values["domains"]
    if len(names) == 1:
        return [_one_over_domains(values)]
    if values.get("memory_gain"):
        return _memory_sentences(values["memory_gain"])
    best = values["ranking"][0]
    means = values["over_domains"]["map50"]
    over = f"in the mean of {len(domains)} domains" if len(domains) > 1 else "on this data"
    sentences = [f"{best} has the highest mAP50 {over}: {_of(means[best]['mean'])}."]
    others = [name for name in names if name != reference]
    if len(domains) == 1 and not _has_intervals(next(iter(domains.values())), others):
        sentences.append("With a single video there are no intervals, so differences say little.")
    for name in others:
        rows = [rows[name]["difference"]["map50"] for rows in domains.values()]
        sentences.append(_difference_sentence(name, reference, rows))
        sentences += _point_sentences(name, reference, domains)
    return sentences


def _one_over_domains(values: Mapping[str, Any]) -> str:
    name = values["models"][0]
    row = values["over_domains"]["map50"][name]
    worst = f" Its worst domain is {row['worst_domain']} ({_of(row['worst'])})."
    return f"{name} has a mean mAP50 of {_of(row['mean'])}.{worst if row['worst_domain'] else ''}"


def _has_intervals(rows: Mapping[str, Any], names: Sequence[str]) -> bool:
    return any(rows[name]["difference"]["map50"]["low"] is not None for name in names)


def _memory_sentences(domains: Mapping[str, Any]) -> list[str]:
    """Return what memory is worth to each model, by itself and in what `detect` outputs."""
    gains: dict[str, list[Mapping[str, Any]]] = {}
    for models in domains.values():
        for model, pairs in models.items():
            for pair, row in pairs.items():
                gain = row["by_condition"]["all"]["all"]["gain"]
                if gain["value"] is not None:
                    gains.setdefault(f"Memory in the {pair} of {model}", []).append(gain)
    if not gains:
        return ["There is no ground truth: what memory is worth cannot be measured."]
    sentences = [_memory_sentence(name, rows) for name, rows in gains.items()]
    if all(row["low"] is None for rows in gains.values() for row in rows):
        sentences.append("With a single video there are no intervals, so this says little.")
    return sentences


def _memory_sentence(name: str, rows: list[Mapping[str, Any]]) -> str:
    mean = sum(row["value"] for row in rows) / len(rows)
    what = "finds as much" if abs(mean) < NO_GAIN else "finds more" if mean > 0 else "finds less"
    sentence = f"{name} {what}: recall {mean:+.3f} at equal precision"
    sure = [row for row in rows if row["low"] is not None]
    if len(rows) > 1:
        better, worse = sum(row["low"] > 0 for row in sure), sum(row["high"] < 0 for row in sure)
        sentence += f" in the mean; surely more in {better} of {len(rows)} domains, less in {worse}"
    elif sure:
        sentence += f" (95 % interval {sure[0]['low']:+.3f} to {sure[0]['high']:+.3f})"
    return sentence + "."


def _difference_sentence(name: str, reference: str, rows: list[Mapping[str, Any]]) -> str:
    known = [row for row in rows if row["value"] is not None]
    if not known:
        return f"{name} and {reference} cannot be compared: there is no ground truth."
    if len(rows) == 1:
        row = known[0]
        difference = f"{row['value']:+.3f} mAP50"
        if row["low"] is None:
            return f"{name} differs from {reference} by {difference}."
        interval = f"95 % interval {row['low']:+.3f} to {row['high']:+.3f}"
        if row["low"] > 0:
            return f"{name} is better than {reference}: {difference} ({interval})."
        if row["high"] < 0:
            return f"{name} is worse than {reference}: {difference} ({interval})."
        return (
            f"{name} and {reference} cannot be distinguished on these videos: {difference} "
            f"({interval}, which includes 0)."
        )
    sure = [row for row in known if row["low"] is not None]
    better = sum(row["low"] > 0 for row in sure)
    worse = sum(row["high"] < 0 for row in sure)
    mean = sum(row["value"] for row in known) / len(known)
    return (
        f"{name} differs from {reference} by {mean:+.3f} mAP50 in the mean: surely better in "
        f"{better} of {len(rows)} domains, surely worse in {worse}."
    )


def _point_sentences(name: str, reference: str, domains: Mapping[str, Any]) -> list[str]:
    """Return what a person notices at equal precision: objects found, and flicker."""
    if len(domains) > 1:
        return []
    rows = next(iter(domains.values()))
    ours, theirs = rows[name]["equal_precision"], rows[reference]["equal_precision"]
    if ours is None or theirs is None or ours["recall"] is None or theirs["recall"] is None:
        return []
    sentence = (
        f"At the same precision ({_of(theirs['precision'])}) {name} finds "
        f"{100 * ours['recall']:.0f} % of the objects, {reference} {100 * theirs['recall']:.0f} %"
    )
    flickers = ours["flicker_per_minute"], theirs["flicker_per_minute"]
    if None not in flickers:
        sentence += f", with {flickers[0]:.0f} instead of {flickers[1]:.0f} flickers a minute"
    return [sentence + "."]


def evaluation_verdict(values: Mapping[str, Any]) -> list[str]:
    """Return sentences about an evaluation's JSON.

    Args:
        values: of `Evaluation.as_json`.
    """
    ap, f1 = values["map50"], values["f1"]
    best = values.get("thresholds", {}).get("best_f1")
    if ap is None:
        return ["There are no objects in the ground truth: only false positives can be counted."]
    word = "good" if ap >= GOOD else "fair" if ap >= FAIR else "weak"
    sentences = [
        f"The model is {word} on this data: mAP50 {_of(ap)}. At a threshold of "
        f"{values['threshold']:g} it finds {_percent(values['recall'])} of the objects, and "
        f"{_percent(values['precision'])} of what it shows is right."
    ]
    if best is not None and f1 is not None and best["f1"] > f1 + 0.02:
        sentences.append(
            f"A threshold of {best['threshold']:.2f} would be better: F1 {_of(best['f1'])} "
            f"instead of {_of(f1)}."
        )
    any_class = values["map50_any_class"]
    if any_class is not None and any_class > ap + 0.1:
        sentences.append(
            f"Many objects are found but called by a wrong class: without class mAP50 is "
            f"{_of(any_class)}."
        )
    types = {name: row["map50_cost"] for name, row in values.get("errors", {}).items()}
    known = {name: cost for name, cost in types.items() if cost}
    if known:
        worst = max(known, key=lambda name: known[name])
        sentences.append(f"What costs most are {_ERRORS[worst]}: {_of(known[worst])} mAP50.")
    error = values["calibration"].get("error")
    if error is not None and error > MISCALIBRATED:
        sentences.append(
            f"Scores are off by {100 * error:.0f} points in the mean; calibrate on this data."
        )
    return sentences


_ERRORS = {
    "classification": "wrong classes",
    "localisation": "boxes that fit badly",
    "both": "boxes that fit badly and have a wrong class",
    "duplicate": "second boxes of an object",
    "background": "detections where there is no object",
    "missed": "objects that are not detected at all",
}


def _of(value: float | None) -> str:
    return "not measurable" if value is None else f"{value:.3f}"


def _percent(value: float | None) -> str:
    return "an unknown share" if value is None else f"{100 * value:.0f} %"
