"""Frames of films in a YOLO set that `convert` wrote: `data.yaml` names them under `videos`.

YOLO itself knows only pictures; numbered pictures may count from 0 or from 1. Where the films are
named, `labels/VIDEO/frame_000012.txt` is frame 12 and nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lstmcli.labels.builder import LabelSetBuilder, VideoLabelsBuilder

_FRAME = re.compile(r"frame_(\d{6,8})")


def film_of(entry: object, columns: LabelSetBuilder, name: str) -> VideoLabelsBuilder:
    """Return the video of a film by its row in `data.yaml`: media, frames, rate and size."""
    row: Mapping[str, Any] = entry if isinstance(entry, dict) else {}
    video = columns.video(f"film {name}", name)
    video.media = str(row.get("media") or "")
    frames, rate, size = row.get("frames"), row.get("rate"), row.get("size")
    if isinstance(frames, int) and frames > 0:
        video.frame_count = video.check_frame(frames - 1) + 1
    if isinstance(rate, int | float) and rate > 0:
        video.rate = float(rate)
    if isinstance(size, list) and len(size) == 2:
        video.set_size(float(size[0]), float(size[1]))
    return video


def film_frame(path: Path, films: Mapping[str, object]) -> tuple[str, int] | None:
    """Return the film and the frame of a label file, None where it is of no film."""
    found = _FRAME.fullmatch(path.stem)
    if found is None or not films:
        return None
    parts = path.parent.parts
    for n in range(len(parts)):
        name = "/".join(parts[n:])
        if name in films:
            return name, int(found.group(1))
    return None
