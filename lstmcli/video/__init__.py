"""The only room that knows PyAV: reads, probes and writes video, and scales its pictures."""

from lstmcli.video.frame import Frame, Planes
from lstmcli.video.reading import ReadReport, VideoInfo, probe, read_frames, read_images
from lstmcli.video.writing import CODECS, VideoWriter, partial_path

__all__ = [
    "CODECS",
    "Frame",
    "Planes",
    "ReadReport",
    "VideoInfo",
    "VideoWriter",
    "partial_path",
    "probe",
    "read_frames",
    "read_images",
]
