"""The only room that knows PyAV: reads, probes and writes video, and scales its pictures."""

from lstmcli.video.frame import Frame, Planes
from lstmcli.video.images import ImageSize, check_image, image_size, read_images, to_shown_boxes
from lstmcli.video.live import latest, read_live, read_stdin
from lstmcli.video.open import describe, expected_frames, open_frames
from lstmcli.video.probe import VideoInfo, count_packets, probe
from lstmcli.video.read_report import ReadReport
from lstmcli.video.reader import ASSUMED_RATE, read_frames
from lstmcli.video.sources import Source, find_sources, output_names
from lstmcli.video.times import frame_times
from lstmcli.video.writer import CODECS, VideoWriter, has_nvenc

__all__ = [
    "ASSUMED_RATE",
    "CODECS",
    "Frame",
    "ImageSize",
    "Planes",
    "ReadReport",
    "Source",
    "VideoInfo",
    "VideoWriter",
    "check_image",
    "count_packets",
    "describe",
    "expected_frames",
    "find_sources",
    "frame_times",
    "has_nvenc",
    "image_size",
    "latest",
    "open_frames",
    "output_names",
    "probe",
    "read_frames",
    "read_images",
    "read_live",
    "read_stdin",
    "to_shown_boxes",
]
