"""The clock of the labels against the clock of the film.

Label tools count frames by a rate that they assume (24 or 25 a second is a frequent default). Where
labels hold times, boxes go to the frame whose own time stamp is nearest. Where they hold only frame
numbers, the rate and the number of frames that they state are compared with the film's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from lstmcli.core.errors import DataError
from lstmcli.core.types import IntArray, VideoLabels
from lstmcli.labels.warning_collector import WarningCollector

Times = npt.NDArray[np.float64]
LabelRate = float | Literal["film"] | None
"""Clock of the labels: frame rate of their own, "film" (the film's frames), or unknown."""
RATE_SLACK = 0.02
"""Relative difference of rates that is rounding (23.976 and 24, 29.97 and 30)."""
COUNT_SLACK = 2
"""Frames by which tools and containers miscount without a reason."""


def nearest_frames(times: Times, wanted_s: npt.ArrayLike) -> IntArray:
    """Return the frame whose time is nearest, int64 [N]; the earlier one of two equally near.

    Args:
        times: float64 [F], sorted, seconds of each frame.
        wanted_s: float [N], seconds.
    """
    wanted = np.asarray(wanted_s, np.float64)
    after = np.clip(np.searchsorted(times, wanted), 1, max(1, len(times) - 1))
    if len(times) == 1:
        return np.zeros(wanted.shape, np.int64)
    before = after - 1
    nearer = wanted - times[before] <= times[after] - wanted + 1e-9
    return np.where(nearer, before, after).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Film:
    """Rate, frame count and times of the film that labels belong to.

    Args:
        path: the file.
        rate: frames per second on average, None where unknown.
        frame_count: as the container states, exact where it was counted.
    """

    path: Path
    rate: float | None
    frame_count: int | None


def film_of(path: Path) -> Film:
    """Return rate, frame count and times of a film from its container.

    Raises:
        MediaError: it cannot be read.
    """
    from lstmcli.video import probe

    info = probe(path)
    return Film(path, info.rate, info.frame_count)


def align(
    video: VideoLabels, path: Path, label_rate: LabelRate, warnings: WarningCollector
) -> VideoLabels:
    """Return the labels by frames of the film.

    Args:
        video: whose frames count by the labels' clock.
        path: the film.
        label_rate: what the person said of the labels' clock.
        warnings: are added to.

    Raises:
        DataError: the labels state another number of frames, or another rate, than the film, or
            count from 1.
    """
    if video.placed_by_time:
        return video
    if isinstance(label_rate, float | int):
        return _by_time(video, path, float(label_rate), warnings)
    _check_base(video, path)
    if label_rate == "film" or (video.rate is None and video.frame_count is None):
        return replace(video, rate=None, frame_count=None) if label_rate == "film" else video
    if (
        video.frame_count is not None
        and video.annotated_frames.max(initial=-1) >= video.frame_count
    ):
        video = replace(video, frame_count=None)  # the labels contradict themselves
    film = film_of(path)
    claim = f"{video.source or video.name}: the labels of {path.name} state"
    agreed = False
    if video.frame_count is not None and film.frame_count is not None:
        agreed = not _miscounts(video.frame_count, film.frame_count)
        if not agreed:
            from lstmcli.video import frame_times

            counted = len(frame_times(path))
            agreed = not _miscounts(video.frame_count, counted)
            if not agreed:
                raise DataError(
                    f"{claim} {video.frame_count} frames{_at(video.rate)}, "
                    f"the film has {counted}{_at(film.rate)}",
                    hint=_hint(video, film),
                )
    if video.rate is None or film.rate is None:
        return video
    if abs(video.rate - film.rate) <= RATE_SLACK * film.rate:
        return video
    if not agreed:
        raise DataError(
            f"{claim} {video.rate:g} frames a second, the film has {film.rate:.4g}",
            hint=_hint(video, film),
        )
    warnings.add(
        "labels and film have different rates but as many frames; frames are taken by number",
        f"{path.name}, {video.rate:g} and {film.rate:.4g} frames a second",
    )
    return replace(video, rate=None)


def counts_from_1(video: VideoLabels) -> bool:
    """Return whether frames may be counted from 1 where the format counts from 0."""
    return len(video.annotated_frames) > 1 and int(video.annotated_frames[0]) == 1


def _check_base(video: VideoLabels, path: Path) -> None:
    """Refuse labels that begin at frame 1 and end one frame after the film.

    Raises:
        DataError: the labels count from 1.
    """
    if not counts_from_1(video):
        return
    last, stated = int(video.annotated_frames[-1]), film_of(path).frame_count
    if stated is None or abs(last - stated) > COUNT_SLACK:
        return
    from lstmcli.video import frame_times

    count = len(frame_times(path))
    if last == count:
        raise DataError(
            f"{video.source or video.name}: the labels are of frames 1 to {last} of {path.name}, "
            f"which has frames 0 to {count - 1}",
            hint="they count frames from 1 and this format counts from 0: export them from 0",
        )


def _miscounts(claim: int, counted: int) -> bool:
    return abs(claim - counted) > max(COUNT_SLACK, RATE_SLACK * counted)


def _at(rate: float | None) -> str:
    return "" if rate is None else f" at {rate:.4g} a second"


def _hint(video: VideoLabels, film: Film) -> str:
    rate = video.rate
    if rate is None and film.rate and film.frame_count and video.frame_count:
        rate = film.rate * video.frame_count / film.frame_count
    return (
        f"--label-rate {rate or 25:.4g} places labels that count at that rate by time; "
        "--label-rate film takes their numbers for frames of the film"
    )


def _by_time(
    video: VideoLabels, path: Path, rate: float, warnings: WarningCollector
) -> VideoLabels:
    """Return labels that count `rate` frames a second, at the nearest frames of the film.

    Of several frames of the labels that fall on one frame of the film the nearest one counts.
    """
    from lstmcli.video import frame_times

    times = frame_times(path)
    annotated = video.annotated_frames
    moved = nearest_frames(times, annotated / rate)
    last = float(times[-1]) + (float(np.median(np.diff(times))) if len(times) > 1 else 1 / rate)
    inside = annotated / rate < last - 1e-6
    distance = np.abs(times[moved] - annotated / rate)
    chosen: dict[int, int] = {}
    for n in np.flatnonzero(inside).tolist():
        frame = int(moved[n])
        if frame not in chosen or distance[n] < distance[chosen[frame]]:
            chosen[frame] = n
    kept = {int(annotated[n]): frame for frame, n in chosen.items()}
    warnings.add(
        "a frame of the labels after the end of the film; left out", path.name, int((~inside).sum())
    )
    rows = np.array([int(frame) in kept for frame in video.box_frames], np.bool_)
    frames = np.array([kept[int(frame)] for frame in video.box_frames[rows]], np.int64)
    return video.select(
        rows,
        annotated_frames=np.array(sorted(chosen), np.int64),
        box_frames=frames,
        rate=None,
        frame_count=len(times),
    )
