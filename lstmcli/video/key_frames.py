"""Where a video can be cut: the times of its key frames, without decoding."""

from __future__ import annotations

from pathlib import Path

import av

from lstmcli.video.container import FFMPEG_ERRORS, open_media, video_stream
from lstmcli.video.times import WITHOUT_TIMES


def key_frame_times(path: str | Path, *, film: int | None = None) -> list[float]:
    """Return the times of the key frames in seconds from the beginning of the file, sorted.

    Empty for containers without presentation times: they cannot be entered in the middle.

    Args:
        path: of the file.
        film: which video stream, from 1; None: the one that players show.

    Raises:
        MediaError: the file cannot be read.
    """
    times: list[float] = []
    with open_media(path) as container:
        stream = video_stream(container, path, film)
        if set(container.format.name.split(",")) & WITHOUT_TIMES:
            return []
        origin_s = (container.start_time or 0) / av.time_base
        try:
            for packet in container.demux(stream):
                if packet.is_keyframe and packet.size and packet.pts is not None:
                    times.append(float(packet.pts * packet.time_base) - origin_s)
        except FFMPEG_ERRORS:
            return []  # a file that breaks off is read from its beginning
    return sorted(times)
