"""The time of every frame of a video, without decoding where the container has timestamps."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from lstmcli.core.errors import MediaError
from lstmcli.video.container import FFMPEG_ERRORS, open_media, reason_of, video_stream
from lstmcli.video.reader import read_frames

WITHOUT_TIMES = {"avi", "h264", "hevc", "m4v", "mpegvideo", "mjpeg", "ivf"}
"""Containers whose packets hold no presentation times, or not those of the shown frames."""


def frame_times(path: str | Path) -> npt.NDArray[np.float64]:
    """Return the time of each shown frame in seconds from the beginning of the file, sorted.

    Times are those of the packets, so that a damaged frame keeps its index; only containers without
    presentation times are decoded.

    Raises:
        MediaError: the file cannot be read, or holds no frame.
    """
    with open_media(path) as container:
        stream = video_stream(container, path)
        origin_s = (container.start_time or 0) / av.time_base
        stamps: list[float] = []
        is_told = not set(container.format.name.split(",")) & WITHOUT_TIMES
        try:
            for packet in container.demux(stream) if is_told else ():
                if packet.size == 0 or packet.is_discard:
                    continue
                if packet.pts is None:
                    is_told = False
                    break
                stamps.append(float(packet.pts * packet.time_base) - origin_s)
        except FFMPEG_ERRORS as error:
            if not stamps:
                raise MediaError(f"{path}: {reason_of(error)}", hint="does it play?") from error
    if not is_told:
        stamps = [frame.time_s - origin_s for frame in read_frames(path)]
    if not stamps:
        raise MediaError(f"{path}: there is no frame", hint="does it play?")
    return np.sort(np.array(stamps, np.float64))
