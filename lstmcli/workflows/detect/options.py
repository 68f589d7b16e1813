"""Options and results of `detect`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lstmcli.core.calibration import USUAL_THRESHOLD
from lstmcli.core.errors import ConfigError
from lstmcli.outputs.draw import DrawStyle
from lstmcli.tracking import GAP_FRAMES


@dataclass(frozen=True, slots=True)
class DetectOptions:
    """Options of `detect`.

    Args:
        model: a checkpoint, a run folder or the name of a shipped model; None: `choose_model`.
        out: folder of the outputs; sources from a folder keep their relative path below it.
        threshold: minimum calibrated score of the output, above 0 and at most 1.
        classes: names of the output classes; empty for all.
        start_s: seconds from the beginning at which to start.
        end_s: seconds from the beginning at which to stop.
        every: process and output every Nth frame. None: all frames are output; on a CPU with
            `track` the network runs at 15 fps or more and boxes in between are interpolated.
        interpolate: with `every`: output all frames and interpolate boxes between the processed
            ones; needs `track`.
        write: names of `outputs.WRITERS`.
        codec: `auto` (NVENC on CUDA if available, else h264) or one of `video.CODECS`.
        quality: of the video, 0 (best, largest) to 51.
        track: track objects, interpolate gaps, drop tracks of a single detection.
        count: a YAML file with lines and zones, see `tracking.load_count_config`; needs `track`.
        events: a file of JSON lines, or the address of a webhook or an MQTT topic, for crossings of
            lines and zones and for tracks that appear and disappear; needs `track`.
        style: of the drawing.
        sound: keep the source's sound.
        image_rate: frames per second of rows of still images and of streams without timestamps;
            None: that of the stream's headers, else 25.
        memory: False resets recurrent state and track memory before every frame (ablation).
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        engine: `auto` or a name of `RUNTIMES`.
        jobs: videos at the same time.
        skip_existing: skip sources whose outputs are complete; process incomplete ones again.
        overwrite: replace existing outputs.
        segment_s: duration of an output file of a live source.
        patience_s: reconnect timeout of a live source.

    Raises:
        ConfigError: a value is out of its range, or two do not fit together.
    """

    model: Path | str | None = None
    out: Path = Path()
    threshold: float = USUAL_THRESHOLD
    classes: tuple[str, ...] = ()
    start_s: float | None = None
    end_s: float | None = None
    every: int | None = None
    interpolate: bool = False
    write: tuple[str, ...] = ("video", "jsonl")
    codec: str = "auto"
    quality: int = 23
    track: bool = True
    count: Path | None = None
    events: str | None = None
    style: DrawStyle = field(default_factory=DrawStyle)
    sound: bool = True
    image_rate: float | None = None
    memory: bool = True
    device: str = "auto"
    engine: str = "auto"
    jobs: int = 1
    skip_existing: bool = False
    overwrite: bool = False
    segment_s: float = 300.0
    patience_s: float = 60.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "write", tuple(dict.fromkeys(self.write)))
        start_s, end_s, every = self.start_s, self.end_s, self.every
        stride = every or 1
        rules = (
            (
                0 < self.threshold <= 1,
                f"--threshold {self.threshold:g}",
                "it lies above 0 and up to 1",
            ),
            (stride >= 1, f"--every {every}", "1 takes all frames, 2 every second one"),
            (every != 0, "--every 0", "1 takes all frames, 2 every second one"),
            (
                0 <= self.quality <= 51,
                f"--quality {self.quality}",
                "it lies in 0 (best) to 51 (smallest)",
            ),
            (self.jobs >= 1, f"--jobs {self.jobs}", "it is 1 or more"),
            (not start_s or start_s >= 0, f"--start {start_s}", "it counts from the beginning"),
            (end_s is None or end_s > (start_s or 0), f"--end {end_s}", "it lies behind --start"),
            (self.count is None or self.track, "--count needs tracks", "leave --no-track out"),
            (self.events is None or self.track, "--events needs tracks", "leave --no-track out"),
            (not self.interpolate or self.track, "--fill needs tracks", "leave --no-track out"),
            (  # the frames between two inferences wait in memory
                not self.interpolate or stride <= GAP_FRAMES,
                f"--fill with --every {every}",
                f"process every {GAP_FRAMES}th frame at least",
            ),
        )
        for holds, problem, hint in rules:
            if not holds:
                raise ConfigError(problem, hint=hint)


@dataclass(frozen=True, slots=True)
class VideoDone:
    """Result of one video.

    Args:
        name: of the source.
        outputs: complete files and folders; text for the address of one elsewhere.
        frames: number of output frames.
        inferences: frames with inference; the others were interpolated.
        detections: number of written detections.
        objects: number of tracks; 0 without tracking.
        seconds: from the first frame to the last file.
        counts: (line or zone, direction, class) -> number of crossings.
        notes: warnings.
    """

    name: str
    outputs: tuple[Path | str, ...]
    frames: int
    inferences: int
    detections: int
    objects: int
    seconds: float
    counts: Mapping[tuple[str, str, str], int]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VideoFailed:
    """A source that failed; the others were processed."""

    name: str
    problem: str
    hint: str


@dataclass(frozen=True, slots=True)
class DetectReport:
    """Result of a run.

    Args:
        model: a sentence on the chosen model; "" where the caller named it.
        done: in the order of the sources.
        failed: in the order of the sources.
        skipped: names of sources whose outputs existed.
        notes: warnings about the whole run.
    """

    model: str
    done: tuple[VideoDone, ...]
    failed: tuple[VideoFailed, ...]
    skipped: tuple[str, ...]
    notes: tuple[str, ...] = ()
