"""A comparison of detectors as tables: one a domain, then all domains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lstmcli.cli.console import Console, number

if TYPE_CHECKING:
    from lstmcli.workflows.compare import SideBySide

COLUMNS = (
    "model",
    "mAP50",
    "95 %",
    "difference",
    "any class",
    "best F1",
    "recall",
    "flicker/min",
    "recall =P",
    "flicker =P",
    "IDF1",
    "HOTA",
)


def show_comparison(console: Console, table: SideBySide) -> None:
    """Print the standings; best F1, recall and flicker are at each model's own best F1."""
    values: dict[str, Any] = table.as_json()
    for domain, rows in values["domains"].items():
        console.result(f"\n{domain}")
        console.table(COLUMNS, [_row(name, row) for name, row in rows.items()])
    if len(values["domains"]) > 1:
        console.result("\nall domains, ranked by the mean of mAP50")
        means = values["over_domains"]
        console.table(
            ("model", "mean mAP50", "worst domain", "mAP50 there", "mean F1", "mean flicker/min"),
            [_mean_row(name, means) for name in values["ranking"]],
        )
    console.say(
        f"differences are to {values['reference']}, with 95 % intervals of a paired bootstrap over "
        "videos; * leaves zero out. =P: at the reference's precision."
    )


def _row(name: str, row: dict[str, Any]) -> tuple[str, ...]:
    best, equal = row["best_f1"] or {}, row["equal_precision"] or {}
    return (
        name,
        number(row["map50"]["value"]),
        _interval(row["map50"]),
        _difference(row["difference"].get("map50")),
        number(row["map50_any_class"]["value"]),
        number(best.get("f1")),
        number(best.get("recall")),
        number(best.get("flicker_per_minute"), 1),
        number(equal.get("recall")),
        number(equal.get("flicker_per_minute"), 1),
        number(row["tracks"]["idf1"]),
        number(row["tracks"]["hota"]),
    )


def _interval(row: dict[str, float | None]) -> str:
    return "" if row["low"] is None else f"{number(row['low'])} to {number(row['high'])}"


def _difference(row: dict[str, float | None] | None) -> str:
    if row is None or row["value"] is None:
        return ""
    low, high = row["low"], row["high"]
    if low is None or high is None:
        return f"{row['value']:+.3f}"
    sure = "*" if low > 0 or high < 0 else ""
    return f"{row['value']:+.3f} ({low:+.3f} to {high:+.3f}){sure}"


def _mean_row(name: str, means: dict[str, Any]) -> tuple[str, ...]:
    headline, f1, flicker = (means[key][name] for key in ("map50", "f1", "flicker_per_minute"))
    return (
        name,
        number(headline["mean"]),
        headline["worst_domain"] or "",
        number(headline["worst"]),
        number(f1["mean"]),
        number(flicker["mean"], 1),
    )
