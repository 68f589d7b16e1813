"""Records of a run: metrics.csv and curves.png."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from lstmcli.core.files import atomic_write, write_text

Row = Mapping[str, float | int | str | None]


def write_metrics(path: Path, rows: Sequence[Row]) -> None:
    """Write one line an epoch, under its name only when it is complete."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()})
    write_text(path, text.getvalue())


def finished_epochs(path: Path) -> int:
    """Return how many epochs a file of metrics holds; 0 where it cannot be read."""
    try:
        return max(0, len(path.read_text(encoding="utf-8").splitlines()) - 1)
    except (OSError, UnicodeDecodeError):
        return 0


def draw_curves(path: Path, rows: Sequence[Row]) -> None:
    """Draw losses, accuracy and learning rate against epochs as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 3)
    epochs = [row["epoch"] for row in rows]
    groups = (
        ("loss", [n for n in (rows[0] if rows else {}) if n.startswith("loss")]),
        ("validation", ["map50", "map50_any_class", "precision", "recall"]),
        ("learning rate", ["lr"]),
    )
    for panel, (title, names) in zip(panels, groups, strict=True):
        for name in names:
            values = [row.get(name) for row in rows]
            if any(isinstance(value, int | float) for value in values):
                shown = [float(v) if isinstance(v, int | float) else float("nan") for v in values]
                panel.plot(epochs, shown, marker="o", markersize=3, label=name)
        panel.set_title(title)
        panel.set_xlabel("epoch")
        panel.grid(alpha=0.3)
        if title == "validation":
            panel.set_ylim(0, 1)
        if panel.lines:
            panel.legend(fontsize=8)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
