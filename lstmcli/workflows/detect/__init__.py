"""`detect`: annotated videos and machine-readable detections of any source."""

from lstmcli.outputs.draw import DrawStyle
from lstmcli.workflows.detect.api import Detector
from lstmcli.workflows.detect.options import DetectOptions, DetectReport, VideoDone, VideoFailed
from lstmcli.workflows.detect.run import detect
from lstmcli.workflows.detect.sources import choose_model

__all__ = [
    "DetectOptions",
    "DetectReport",
    "Detector",
    "DrawStyle",
    "VideoDone",
    "VideoFailed",
    "choose_model",
    "detect",
]
