"""The only room that knows PyAV: reads, probes and writes video, and scales its pictures."""

from lstmcli.video.frame import Frame, Planes
from lstmcli.video.reading import ReadReport, VideoInfo, probe, read_frames, read_images

__all__ = [
    "Frame",
    "Planes",
    "ReadReport",
    "VideoInfo",
    "probe",
    "read_frames",
    "read_images",
]
