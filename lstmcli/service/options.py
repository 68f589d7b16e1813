"""What a service is started with."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from lstmcli.core.calibration import USUAL_THRESHOLD
from lstmcli.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class CameraSpec:
    """A camera of the service.

    Args:
        name: unique; stands in addresses.
        source: `camera:0`, a stream address, or a file that is played in real time.
    """

    name: str
    source: str


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """How a service is run, and its limits.

    Args:
        model: as for `detect`; None: what `detect` takes.
        cameras: that are watched.
        host: address to listen at; anything but loopback needs a token.
        port: to listen at; 0: a free one.
        token: that every request brings; None: none is needed.
        threshold: smallest calibrated score that is output.
        classes: names of the classes that are kept; empty for all.
        count: a YAML file with lines and zones of the cameras.
        events: where events of the cameras go, as for `detect`.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        engine: `auto` or a name of `RUNTIMES`.
        out: folder of uploaded videos and their outputs; None: a temporary one.
        max_sessions: streams of frames at once.
        max_viewers: live views at once.
        max_videos: uploaded videos that wait or are uploaded at once.
        max_upload: bytes of a video.
        max_frame: bytes of a frame of a session.
        max_pixels: of a frame of a session.
        video_s: seconds of work on a video.
        idle_s: seconds after which a session without frames ends.
        keep_s: seconds after which an uploaded video and its outputs are removed.

    Raises:
        ConfigError: a value is out of its range, or a token is missing.
    """

    model: str | None = None
    cameras: tuple[CameraSpec, ...] = ()
    host: str = "127.0.0.1"
    port: int = 8765
    token: str | None = None
    threshold: float = USUAL_THRESHOLD
    classes: tuple[str, ...] = ()
    count: Path | None = None
    events: str | None = None
    device: str = "auto"
    engine: str = "auto"
    out: Path | None = None
    max_sessions: int = 32
    max_viewers: int = 32
    max_videos: int = 8
    max_upload: int = 2 << 30
    max_frame: int = 8 << 20
    max_pixels: int = 40_000_000
    video_s: float = 6 * 3600.0
    idle_s: float = 60.0
    keep_s: float = 24 * 3600.0

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise ConfigError(f"--threshold {self.threshold:g}", hint="it lies above 0 and up to 1")
        if not self.is_loopback and not self.token:
            raise ConfigError(
                f"--host {self.host} opens the service to the network without a token",
                hint="give --token SECRET, or set LSTMCLI_TOKEN",
            )
        if self.token is not None and len(self.token) < 8:
            raise ConfigError("--token is too short", hint="give it 8 characters or more")
        names = [camera.name for camera in self.cameras]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ConfigError(f"two cameras are named {twice!r}", hint="write --camera NAME=SOURCE")

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the service."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False
