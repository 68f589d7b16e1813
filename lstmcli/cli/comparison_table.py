"""A comparison of detectors as tables of at most 80 columns: by domain, then over all domains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lstmcli.cli.console import Console, number

if TYPE_CHECKING:
    from lstmcli.workflows.ablate import Ablation
    from lstmcli.workflows.compare import SideBySide

NAME_WIDTH = 16
PRECISION_COLUMNS = ("model", "mAP50", "95 %", "diff.", "95 % of diff.", "any class")
POINT_COLUMNS = ("model", "F1", "recall", "flicker", "recall =P", "flicker =P", "IDF1", "HOTA")
LEGEND = (
    "differences are to {reference}, with 95 % intervals of a paired bootstrap over videos; * "
    "leaves zero out. F1, recall, flicker (changes a minute), IDF1 and HOTA are at each model's "
    "own best F1; =P: at the reference's precision."
)


def show_comparison(console: Console, table: SideBySide) -> None:
    """Print the standings by domain and over all domains, and what the columns mean."""
    values: dict[str, Any] = table.as_json()
    short = short_names(values["models"])
    for domain, rows in values["domains"].items():
        console.result(f"\n{domain}")
        console.table(PRECISION_COLUMNS, [_precision(short[n], row) for n, row in rows.items()])
        console.result("")
        console.table(POINT_COLUMNS, [_point(short[n], row) for n, row in rows.items()])
    if len(values["domains"]) > 1:
        _show_domains(console, values, short)
    for name, shown in short.items():
        if name != shown:
            console.say(f"{shown}: {name}")
    console.say(LEGEND.format(reference=short[values["reference"]]))


def _show_domains(console: Console, values: dict[str, Any], short: Mapping[str, str]) -> None:
    domains = short_names(values["domains"], width=9)
    means = values["over_domains"]
    for key, title in (("map50", "mAP50"), ("map50_any_class", "mAP50 of any class")):
        console.result(f"\n{title} over the domains, ranked by the mean of mAP50")
        console.table(
            ("model", *domains.values(), "mean", "95 %", "worst"),
            [
                (
                    short[name],
                    *(number(values["domains"][d][name][key]["value"]) for d in domains),
                    number(means[key][name]["mean"]),
                    _interval(means[key][name]),
                    domains.get(means[key][name]["worst_domain"], ""),
                )
                for name in values["ranking"]
            ],
        )
    console.result("\nat the best F1, means over the domains")
    console.table(
        ("model", "F1", "recall", "flicker"),
        [
            (
                short[name],
                number(means["f1"][name]["mean"]),
                number(means["recall"][name]["mean"]),
                number(means["flicker_per_minute"][name]["mean"], 1),
            )
            for name in values["ranking"]
        ],
    )


def show_ablation(console: Console, ablation: Ablation) -> None:
    """Print the variants as a comparison, then the gain of memory by condition."""
    show_comparison(console, ablation.table)
    for domain, models in ablation.gains.items():
        for model, pairs in models.items():
            for pair, gain in pairs.items():
                console.result(f"\nrecall of {model} on {domain}, {pair}, at equal precision")
                console.table(
                    ("objects", "boxes", "without", "with", "gain", "95 %"),
                    [
                        (
                            name if condition in ("all", "size") else f"{condition}: {name}",
                            str(row.boxes),
                            number(row.without),
                            number(row.with_memory),
                            "" if row.gain.value is None else f"{row.gain.value:+.3f}",
                            _interval(row.gain.as_json(), signed=True),
                        )
                        for condition, ranges in gain.by_condition.items()
                        for name, row in ranges.items()
                        if row.boxes
                    ],
                )
                only = (sum(one.frames for one in side) for side in (gain.recovered, gain.lost))
                console.result("only with memory: {} boxes, only without: {}".format(*only))


def short_names(names: Mapping[str, Any] | list[str], *, width: int = NAME_WIDTH) -> dict[str, str]:
    """Return names that fit a column and differ: file names without ending, cut in the middle."""
    short: dict[str, str] = {}
    for name in names:
        text = name.rstrip("/").rsplit("/", 1)[-1] if "/" in name else name
        text = text.rsplit(".", 1)[0] if "/" in name and "." in text else text
        if len(text) > width:
            text = f"{text[: width - width // 2 - 1]}…{text[-(width // 2) :]}"
        taken = text
        for count in range(2, len(names) + 2):
            if taken not in short.values():
                break
            taken = f"{text[: width - 2]}~{count}"
        short[name] = taken
    return short


def _precision(name: str, row: dict[str, Any]) -> tuple[str, ...]:
    difference = row["difference"].get("map50") or {"value": None, "low": None, "high": None}
    low, high = difference["low"], difference["high"]
    significant = "*" if low is not None and (low > 0 or high < 0) else ""
    return (
        name,
        number(row["map50"]["value"]),
        _interval(row["map50"]),
        "" if difference["value"] is None else f"{difference['value']:+.3f}{significant}",
        _interval(difference, signed=True),
        number(row["map50_any_class"]["value"]),
    )


def _point(name: str, row: dict[str, Any]) -> tuple[str, ...]:
    best, equal = row["best_f1"] or {}, row["equal_precision"] or {}
    return (
        name,
        number(best.get("f1")),
        number(best.get("recall")),
        number(best.get("flicker_per_minute"), 1),
        number(equal.get("recall")),
        number(equal.get("flicker_per_minute"), 1),
        number(row["tracks"]["idf1"]),
        number(row["tracks"]["hota"]),
    )


def _interval(row: Mapping[str, Any], *, signed: bool = False) -> str:
    low, high = row["low"], row["high"]
    if low is None or high is None:
        return ""
    return f"{low:+.3f} {high:+.3f}" if signed else f"{low:.3f}-{high:.3f}"
