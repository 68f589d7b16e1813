"""Output writers: an axis of variants that all take the same annotated frames.

A writer works under a `*.partial*` name. `close` completes the file and gives it its name;
`abandon` leaves what there is under the partial name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lstmcli.outputs.coco import CocoOutput
from lstmcli.outputs.contract import AnnotatedFrame, Output, OutputSpec
from lstmcli.outputs.images import CropsOutput, FramesOutput
from lstmcli.outputs.mot import MotOutput
from lstmcli.outputs.records import CsvOutput, JsonLinesOutput
from lstmcli.outputs.video import VideoOutput


@dataclass(frozen=True, slots=True)
class WriterSpec:
    """A row of the table of writers.

    Args:
        suffix: what is added to the video's name.
        make: opens the writer.
        is_folder: whether it leaves a folder.
    """

    suffix: str
    make: Callable[[OutputSpec], Output]
    is_folder: bool = False


WRITERS: Mapping[str, WriterSpec] = {
    "video": WriterSpec(VideoOutput.SUFFIX, VideoOutput),
    "jsonl": WriterSpec(JsonLinesOutput.SUFFIX, JsonLinesOutput),
    "csv": WriterSpec(CsvOutput.SUFFIX, CsvOutput),
    "mot": WriterSpec(MotOutput.SUFFIX, MotOutput, is_folder=True),
    "coco": WriterSpec(CocoOutput.SUFFIX, CocoOutput),
    "crops": WriterSpec(CropsOutput.SUFFIX, CropsOutput, is_folder=True),
    "frames": WriterSpec(FramesOutput.SUFFIX, FramesOutput, is_folder=True),
}
"""Values of `--write`."""

__all__ = ["WRITERS", "AnnotatedFrame", "Output", "OutputSpec", "WriterSpec"]
