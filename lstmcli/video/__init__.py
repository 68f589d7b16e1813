"""The only room that knows PyAV: reads, probes and writes video, and scales its pictures."""

from lstmcli.video.frame import Frame, Planes
from lstmcli.video.live import latest, read_live, read_stdin
from lstmcli.video.open import describe, expected_frames, open_frames
from lstmcli.video.probe import VideoInfo, probe
from lstmcli.video.reader import ReadReport, read_frames, read_images
from lstmcli.video.sources import Source, find_sources, output_names
from lstmcli.video.writer import CODECS, VideoWriter, has_nvenc, partial_path

__all__ = [
    "CODECS",
    "Frame",
    "Planes",
    "ReadReport",
    "Source",
    "VideoInfo",
    "VideoWriter",
    "describe",
    "expected_frames",
    "find_sources",
    "has_nvenc",
    "latest",
    "open_frames",
    "output_names",
    "partial_path",
    "probe",
    "read_frames",
    "read_images",
    "read_live",
    "read_stdin",
]
