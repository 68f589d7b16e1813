"""The part of a page with clips, lists of mistakes, scores over time and what to label next."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from lstmcli.report.charts import line_colour, score_chart


@dataclass(frozen=True, slots=True)
class PageClip:
    """A playable clip of a page.

    Args:
        title: what happens.
        data: the bytes of an mp4 file (H.264).
        caption: where it is from.
    """

    title: str
    data: bytes = field(repr=False)
    caption: str = ""

    @property
    def uri(self) -> str:
        """The clip as the address of a `video`."""
        return "data:video/mp4;base64," + base64.b64encode(self.data).decode("ascii")


@dataclass(frozen=True, slots=True)
class PageMoments:
    """What a page shows of the mistakes of one or two detectors.

    Args:
        clips: of the worst moments.
        misses, false_positives: rows with `model`, `class`, `video`, `begin_s`, `end_s`, `score`.
        timelines: rows with `video`, `class`, `times`, `scores` and `thresholds` by model.
        label_next: sentences.
    """

    clips: Sequence[PageClip] = ()
    misses: Sequence[Mapping[str, Any]] = ()
    false_positives: Sequence[Mapping[str, Any]] = ()
    timelines: Sequence[Mapping[str, Any]] = ()
    label_next: Sequence[str] = ()

    @property
    def charts(self) -> list[tuple[str, Markup]]:
        """A title and a chart for each timeline."""
        return [
            (
                f"{row['class']}, track {row['track']} in {row['video']}",
                Markup(score_chart(row["times"], row["scores"], row["thresholds"])),
            )
            for row in self.timelines
        ]

    @property
    def chart_legend(self) -> list[tuple[str, str]]:
        """Names and colours of the lines of the charts."""
        names = list(self.timelines[0]["scores"]) if self.timelines else []
        return [(name, line_colour(number)) for number, name in enumerate(names)]
