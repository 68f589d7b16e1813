"""The review of a data set as one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import contextlib
import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lstmcli.core.errors import OutputError
from lstmcli.dataset.label_checks import Histogram, Review, Table

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --bar: #2a78c4; --warn: #b3540033; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem;
  padding: 0 1rem; }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; }
th, td { border-bottom: 1px solid var(--line); padding: .25rem .75rem; text-align: right; }
th:first-child, td:first-child { text-align: left; }
td.bar { background: linear-gradient(to right, var(--bar) var(--share), transparent 0) left bottom
  / calc(100% - 1rem) 4px no-repeat; }
.wide { overflow-x: auto; }
.warning { background: var(--warn); border-left: 4px solid #c46a2a; margin: .5rem 0;
  padding: .4rem .8rem; }
.warning small { display: block; overflow-wrap: anywhere; }
.pictures { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(19rem, 1fr)); }
figure { margin: 0; } img { max-width: 100%; height: auto; display: block; }
figcaption { overflow-wrap: anywhere; font-size: 85%; }
"""


@dataclass(frozen=True, slots=True)
class PagePicture:
    """A picture of the page.

    Args:
        caption: what it shows.
        data: the bytes of a PNG or JPEG file.
    """

    caption: str
    data: bytes


def write_page(
    path: Path, review: Review, pictures: Sequence[PagePicture] = (), *, title: str = "Data set"
) -> None:
    """Write the page; it appears under its name when it is complete.

    Raises:
        OutputError: it cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text("\n".join(_page(review, pictures, title)), encoding="utf-8")
        part.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise OutputError(
            f"{path}: {error.strerror}", hint="name another folder with --out"
        ) from None


def _page(review: Review, pictures: Sequence[PagePicture], title: str) -> Iterator[str]:
    name = html.escape(title)
    yield f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{name}</title>'
    yield '<meta name="viewport" content="width=device-width">'
    yield f"<style>{_STYLE}</style></head><body><h1>{name}</h1>"
    if review.warnings:
        yield "<h2>Worth a look</h2>"
    for warning in review.warnings:
        times = f" <b>&times; {warning.count}</b>" if warning.count > 1 else ""
        where = f"<small>{html.escape(warning.where)}</small>" if warning.where else ""
        yield f'<div class="warning">{html.escape(warning.text)}{times}{where}</div>'
    counts, classes = review.tables()[:2]
    yield from _table(counts)
    yield from _table(classes)
    yield from _histogram(review.sizes)
    yield from _histogram(review.motion)
    if pictures:
        yield '<h2>What the network sees</h2><div class="pictures">'
        for picture in pictures:
            yield _figure(picture)
        yield "</div>"
    yield "</body></html>"


def _table(table: Table) -> Iterator[str]:
    yield f'<h2>{html.escape(table.title)}</h2><div class="wide"><table><tr>'
    yield "".join(f"<th>{html.escape(column)}</th>" for column in table.columns) + "</tr>"
    for row in table.rows:
        yield "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
    yield "</table></div>"


def _histogram(histogram: Histogram) -> Iterator[str]:
    most = max((max(counts, default=0) for _, counts in histogram.rows), default=0)
    if most == 0:
        return
    yield f'<h2>{html.escape(histogram.title)}</h2><div class="wide"><table><tr><th>class</th>'
    yield "".join(f"<th>{html.escape(name)}</th>" for name in histogram.bins) + "</tr>"
    for name, counts in histogram.rows:
        cells = "".join(
            f'<td class="bar" style="--share:{100 * count / most:.1f}%">{count or ""}</td>'
            for count in counts
        )
        yield f"<tr><td>{html.escape(name)}</td>{cells}</tr>"
    yield "</table></div>"


def _figure(picture: PagePicture) -> str:
    kind = "png" if picture.data.startswith(b"\x89PNG") else "jpeg"
    caption = html.escape(picture.caption)
    data = base64.b64encode(picture.data).decode("ascii")
    return (
        f'<figure><img alt="{caption}" src="data:image/{kind};base64,{data}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )
