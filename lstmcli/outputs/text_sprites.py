"""Text as small pictures, in a font that has its letters, and the colours of the classes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Plane = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]
"""(red, green, blue), 0..255."""

PALETTE: tuple[Colour, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
    (153, 221, 255),
    (187, 204, 51),
    (255, 170, 187),
    (170, 68, 153),
    (221, 221, 221),
)
"""Okabe and Ito's seven, then five of Paul Tol's: colour-blind people tell them apart."""
BLACK: Colour = (0, 0, 0)
WHITE: Colour = (255, 255, 255)


def class_colour(label: int) -> Colour:
    """Return the colour of a class: the same in every video of a model."""
    return PALETTE[label % len(PALETTE)]


def to_yuv(colour: Colour, *, bt709: bool) -> tuple[int, int, int]:
    """Return a colour in limited-range YUV, ITU-R BT.601 or BT.709."""
    red, blue = (0.2126, 0.0722) if bt709 else (0.299, 0.114)
    r, g, b = (value / 255 for value in colour)
    y = red * r + (1 - red - blue) * g + blue * b
    u, v = (b - y) / (2 - 2 * blue), (r - y) / (2 - 2 * red)
    return round(16 + 219 * y), round(128 + 224 * u), round(128 + 224 * v)


def ink_on(colour: Colour) -> Colour:
    """Return black or white, whichever is read better on a colour."""
    r, g, b = colour
    return BLACK if 0.299 * r + 0.587 * g + 0.114 * b > 110 else WHITE


@dataclass(frozen=True, slots=True)
class Sprite:
    """A label ready to be laid on planes; sides are even.

    Args:
        y: uint8 [h, w].
        u: uint8 [h/2, w/2].
        v: uint8 [h/2, w/2].
    """

    y: Plane
    u: Plane
    v: Plane

    @property
    def size_hw(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.y.shape[0], self.y.shape[1]


@lru_cache(maxsize=1024)
def text_sprite(text: str, colour: Colour, font_px: int, max_width: int, bt709: bool) -> Sprite:
    """Return a text on a ground of the given colour, shortened to `max_width` pixels."""
    font = font_for(text, font_px)
    shown, pad = text, max(2, font_px // 5)
    while len(shown) > 1 and font.getlength(shown) + 2 * pad > max_width:
        shown = shown.removesuffix("…")[:-1] + "…"
    ascent, descent = font.getmetrics()
    left, top, right, bottom = font.getbbox(shown)
    width = int(right - min(left, 0)) + 2 * pad
    # Letters that reach over the font's own lines (stacked accents) widen the label.
    height = int(max(ascent + descent, bottom) - min(top, 0)) + pad
    width, height = min(width + width % 2, max_width - max_width % 2), height + height % 2
    mask = Image.new("L", (max(2, width), height), 0)
    ImageDraw.Draw(mask).text((pad - min(left, 0), pad // 2 - min(top, 0)), shown, 255, font=font)
    whole = np.asarray(mask, np.float32) / 255
    half = whole.reshape(height // 2, 2, -1, 2).mean(axis=(1, 3))
    ground, ink = to_yuv(colour, bt709=bt709), to_yuv(ink_on(colour), bt709=bt709)
    y, u, v = (
        (ground[i] + (ink[i] - ground[i]) * (whole if i == 0 else half)).round().astype(np.uint8)
        for i in range(3)
    )
    return Sprite(y, u, v)


def font_for(text: str, font_px: int) -> ImageFont.FreeTypeFont:
    """Return a font that has all letters of a text; DejaVu Sans where none has."""
    return _font_with("".join(sorted({char for char in text if ord(char) > 127})), font_px)


@lru_cache(maxsize=64)
def _font_with(letters: str, font_px: int) -> ImageFont.FreeTypeFont:
    first = None
    for path in _fonts():
        try:
            font = ImageFont.truetype(path, font_px)
        except OSError:
            continue
        first = first or font
        if has_letters(font, letters):
            return font
    return first or _built_in(font_px)


def can_draw(text: str) -> bool:
    """Return whether some font of this machine has all letters of a text."""
    return has_letters(font_for(text, 16), text)


def _built_in(font_px: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(font_px)
    assert isinstance(font, ImageFont.FreeTypeFont), "Pillow is built without FreeType"
    return font


def has_letters(font: ImageFont.FreeTypeFont, text: str) -> bool:
    """Return whether a font draws each letter otherwise than one that no font has."""
    missing = bytes(font.getmask("\U0010fffe"))
    return all(
        char.isspace() or ord(char) < 128 or bytes(font.getmask(char)) != missing
        for char in set(text)
    )


@lru_cache(maxsize=1)
def _fonts() -> tuple[str, ...]:
    """Return the fonts to try: matplotlib's DejaVu first, then the machine's, fullest first."""
    found: list[str] = []
    matplotlib = find_spec("matplotlib")
    if matplotlib is not None and matplotlib.origin:
        own = Path(matplotlib.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
        found += [str(own)] if own.is_file() else []
    others = sorted(_system_fonts(), key=_preference)
    return (*found, *others[:400])


def _preference(path: str) -> tuple[int, str]:
    name = Path(path).name.lower()
    full = ("cjk", "fallback", "unicode", "unifont", "wqy", "notosans-regular", "msyh", "gothic")
    rank = next((i for i, part in enumerate(full) if part in name), len(full))
    is_plain = not any(word in name for word in ("bold", "italic", "oblique", "mono", "light"))
    return (rank * 2 + (not is_plain), path)


def _system_fonts() -> Iterator[str]:
    folders = {
        "win32": [Path(os.environ.get("WINDIR", "C:/Windows")) / "Fonts"],
        "darwin": [Path("/System/Library/Fonts"), Path("/Library/Fonts")],
    }.get(sys.platform, [Path("/usr/share/fonts"), Path("/usr/local/share/fonts")])
    home = Path.home()
    for folder in (*folders, home / ".fonts", home / ".local/share/fonts", home / "Library/Fonts"):
        if folder.is_dir():
            for path in folder.rglob("*"):
                if path.suffix.lower() in {".ttf", ".otf", ".ttc"}:
                    yield str(path)
