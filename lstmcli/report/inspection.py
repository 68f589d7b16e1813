"""Pictures of an inspection: heat maps next to the frame, and one plot over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image, ImageDraw

from lstmcli.core.files import atomic_write
from lstmcli.core.types import FloatArray, Picture

PANEL_HW = (256, 320)
"""Height and width of a panel in pixels."""
GREEN, GREY = (60, 200, 90), (235, 235, 235)


class Row(Protocol):
    """Values of a frame in the plot over time."""

    @property
    def time_s(self) -> float:
        """Seconds."""

    @property
    def score(self) -> float:
        """With memory."""

    @property
    def score_alone(self) -> float:
        """Highest score without memory."""

    @property
    def gates(self) -> Mapping[str, float]:
        """Gate -> mean at the object."""


def draw_panels(
    canvas: Picture,
    maps: Mapping[str, FloatArray],
    box: FloatArray,
    score: float,
    score_alone: float,
) -> Picture:
    """Return the frame with the object's box, and a heat map for every gate and the cell.

    Args:
        canvas: uint8 [H, W, 3].
        maps: name -> float32 [h, w]; each is coloured from its lowest to its highest value.
        box: of the object on the canvas.
        score: with memory.
        score_alone: by the frame alone.
    """
    height, width = PANEL_HW
    panels = [_frame_panel(canvas, box, f"memory {score:.2f}  frame alone {score_alone:.2f}")]
    panels += [_heat_panel(canvas, name, values) for name, values in maps.items()]
    columns = 3 if len(panels) > 2 else len(panels)
    rows = -(-len(panels) // columns)
    picture = np.zeros((rows * height, columns * width, 3), np.uint8)
    for index, panel in enumerate(panels):
        row, column = divmod(index, columns)
        top, left = row * height, column * width
        picture[top : top + height, left : left + width] = panel
    return picture


def _panel(picture: Image.Image, text: str) -> Picture:
    height, width = PANEL_HW
    panel = Image.new("RGB", (width, height))
    scale = min(width / picture.width, (height - 16) / picture.height)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    panel.paste(picture.resize(size), ((width - size[0]) // 2, 16))
    ImageDraw.Draw(panel).text((4, 2), text, fill=GREY)
    return np.asarray(panel)


def _frame_panel(canvas: Picture, box: FloatArray, text: str) -> Picture:
    picture = Image.fromarray(np.ascontiguousarray(canvas))
    ImageDraw.Draw(picture).rectangle([float(side) for side in box], outline=GREEN, width=2)
    return _panel(picture, text)


def _heat_panel(canvas: Picture, name: str, values: FloatArray) -> Picture:
    """Return a map in colours over the grey frame."""
    low, high = float(values.min()), float(values.max())
    share = (values - low) / max(high - low, 1e-6)  # gates differ little from cell to cell
    heat = np.stack((share, 0.4 * np.sin(np.pi * share), 1 - share), axis=-1)
    size = (canvas.shape[1], canvas.shape[0])
    colours = Image.fromarray((255 * heat).astype(np.uint8)).resize(size, Image.Resampling.NEAREST)
    grey = Image.fromarray(np.ascontiguousarray(canvas)).convert("L").convert("RGB")
    text = f"{name}  {low:.2f} (blue) to {high:.2f} (red)"
    return _panel(Image.blend(grey, colours, 0.6), text)


def draw_timeline(
    path: Path, rows: Sequence[Row], reach: Mapping[int, float], *, at_s: float, title: str
) -> None:
    """Draw score with and without memory, the gates at the object, and the reach, as a PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 8), layout="constrained")
    FigureCanvasAgg(figure)
    scores, gates, reaches = figure.subplots(3, 1)
    times = [row.time_s for row in rows]
    scores.plot(times, [row.score for row in rows], label="with memory")
    scores.plot(times, [row.score_alone for row in rows], label="frame alone", linestyle="--")
    scores.set(title=title, ylabel="score", ylim=(0, 1))
    for name in rows[0].gates if rows else ():
        values = np.array([row.gates[name] for row in rows])
        shown = values / max(float(values.max()), 1e-6) if name == "cell" else values
        gates.plot(times, shown, label="cell (of its maximum)" if name == "cell" else name)
    gates.set(ylabel="mean at the object", ylim=(0, 1.02), xlabel="time in seconds")
    for panel in (scores, gates):
        panel.axvline(at_s, color="grey", linewidth=0.8)
        panel.grid(alpha=0.3)
        panel.legend(fontsize=8)
    names = [str(frames) for frames in reach]
    reaches.bar(names, list(reach.values()))
    reaches.set(
        xlabel="past frames that the state comes from", ylabel=f"score at {at_s:.2f} s", ylim=(0, 1)
    )
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=110)
