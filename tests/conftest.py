"""Videos made on the spot, and the way to the real data where it is there."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import numpy as np
import pytest

from lstmcli.core.types import VideoLabels
from lstmcli.dataset.frame_store import FrameStoreWriter
from lstmcli.dataset.manifest import Dataset, PreparedVideo


@pytest.fixture(autouse=True, scope="session")
def _without_trials() -> Iterator[None]:
    """Let `--engine auto` mean torch: a trial converts the network, which takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LSTMCLI_ENGINE", "torch")
        yield


MakeVideo = Callable[..., Path]
MakeDataset = Callable[..., Dataset]
COLOURS = ((250, 30, 30), (40, 40, 250))
"""Of the squares that `make_dataset` draws, by class."""


def grey_level(frame: int) -> int:
    """The brightness of a frame of `make_video`: neighbours are 40 levels apart."""
    return 20 + 40 * (frame % 6)


def write_video(
    path: Path,
    frames: int | Iterable[np.ndarray] = 8,
    *,
    size_hw: tuple[int, int] = (64, 96),
    rate: float | Fraction = 25,
    codec: str = "",
    pix_fmt: str = "yuv420p",
    times: Sequence[float] | None = None,
    turn: int = 0,
    sound: str = "",
    sound_s: float | None = None,
    full_range: bool = False,
    interlaced: bool = False,
    options: dict[str, str] | None = None,
    metadata: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Write a video of flat grey frames (`grey_level`) or of the given RGB pictures.

    Args:
        path: the suffix chooses the container.
        frames: how many grey frames, or RGB pictures, uint8 [H, W, 3].
        size_hw: size of the grey frames as stored.
        rate: frames per second.
        codec: FFmpeg's name of the encoder; by default H.264, and VP9 in webm.
        pix_fmt: FFmpeg's pixel format.
        times: the time of every frame in seconds; by default frame / rate.
        turn: degrees clockwise by which a player has to turn the picture (0, 90, 180, 270).
        sound: an audio encoder ("aac", "pcm_s16le", ...); "" for none.
        sound_s: seconds of sound; by default as long as the pictures.
        full_range: use the levels 0..255 and say so.
        interlaced: code the frames as two fields (H.264).
        options: of the encoder.
        metadata: of the container.
        container_options: of the muxer.
    """
    pictures = (
        [np.full((*size_hw, 3), grey_level(i), np.uint8) for i in range(frames)]
        if isinstance(frames, int)
        else list(frames)
    )
    if not codec:
        codec = "libvpx-vp9" if path.suffix == ".webm" else "libx264"
    interpolate_gaps = Fraction(rate).limit_denominator(100000)
    if times is None:
        times = [float(i / interpolate_gaps) for i in range(len(pictures))]
    time_base = Fraction(1, 90000) if path.suffix != ".avi" else 1 / interpolate_gaps
    height, width = pictures[0].shape[:2] if pictures else size_hw
    extra = dict(options or {})
    if codec == "libx264":
        extra = {"preset": "ultrafast", "crf": "10"} | extra
        if interlaced:
            extra["x264-params"] = "tff=1"
    with av.open(str(path), "w", container_options=container_options or {}) as out:
        out.metadata.update(metadata or {})
        video = out.add_stream(codec, rate=interpolate_gaps, options=extra, time_base=time_base)
        video.width, video.height, video.pix_fmt = width, height, pix_fmt
        video.codec_context.time_base = time_base
        if full_range:
            video.codec_context.color_range = 2
        if turn:
            video.set_display_rotation(-turn)
        track = out.add_stream(sound, rate=48000) if sound else None
        for picture, time_s in zip(pictures, times, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(
                format=pix_fmt, dst_colorspace=5, dst_color_range=2 if full_range else 1
            )
            frame.pts, frame.time_base = round(time_s / time_base), time_base
            out.mux(video.encode(frame))
        if track is not None:
            length_s = sound_s if sound_s is not None else len(pictures) / float(rate)
            _write_tone(out, track, length_s)
        out.mux(video.encode(None))
    return path


def _write_tone(out: av.container.OutputContainer, track: av.AudioStream, length_s: float) -> None:
    total, block = int(length_s * 48000), 1024
    for start in range(0, total, block):
        n = min(block, total - start)
        wave = np.sin(2 * math.pi * 440 * (start + np.arange(n)) / 48000) * 8000
        both = np.repeat(wave.astype(np.int16)[None, :], 2, axis=0).T.reshape(1, -1)
        sound = av.AudioFrame.from_ndarray(np.ascontiguousarray(both), "s16", "stereo")
        sound.sample_rate, sound.pts, sound.time_base = 48000, start, Fraction(1, 48000)
        out.mux(track.encode(sound))
    out.mux(track.encode(None))


@pytest.fixture
def make_video() -> MakeVideo:
    """Give `write_video`: `make_video(path, frames=8, size_hw=(64, 96), rate=25, ...)`."""
    return write_video


def square_box(frame: int, video: int = 0) -> tuple[int, int, int, int]:
    """Where the square of `make_dataset` lies in a frame of a video, in pixels of the canvas."""
    left, top = 8 + 2 * frame % 56, 8 + (6 * video + frame) % 28
    return left, top, left + 20, top + 16


def write_dataset(
    folder: Path,
    *,
    videos: Sequence[str] = ("train", "train", "val"),
    frames: int = 12,
    canvas_hw: tuple[int, int] = (64, 96),
    scale: int = 1,
    annotated_frames: Callable[[int], bool] = lambda frame: True,
    form: str = "raw",
    crop: int = 64,
) -> Dataset:
    """Write a prepared dataset in which a square of its class's colour wanders over grey.

    Args:
        folder: is made.
        videos: the split of each; the square of video v is of class v % 2.
        frames: in each, 25 a second.
        canvas_hw: (height, width) of the canvas.
        scale: how many pixels of the source a pixel of the canvas is.
        annotated: whether a frame is annotated.
        form: of the frame store.
        crop: side of the training crops.
    """
    (folder / "frames").mkdir(parents=True)
    made = []
    for number, split in enumerate(videos):
        store = f"frames/{number:05d}.{form}"
        boxes = [square_box(frame, number) for frame in range(frames)]
        with FrameStoreWriter(folder / store, form=form, canvas_hw=canvas_hw) as writer:
            for left, top, right, bottom in boxes:
                picture = np.full((*canvas_hw, 3), 114, np.uint8)
                picture[top:bottom, left:right] = COLOURS[number % 2]
                writer.add(picture)
        seen = np.array([f for f in range(frames) if annotated_frames(f)], np.int64)
        size_hw = (canvas_hw[0] * scale, canvas_hw[1] * scale)
        labels = VideoLabels(
            name=f"video {number}",
            media=f"{number}.mp4",
            annotated_frames=seen,
            box_frames=seen,
            boxes=np.array([boxes[f] for f in seen], np.float32).reshape(-1, 4) * scale,
            labels=np.full(len(seen), number % 2, np.int64),
            tracks=np.ones(len(seen), np.int64),
            ignore=np.zeros(len(seen), np.bool_),
            size_hw=size_hw,
            rate=25.0,
            frame_count=frames,
        )
        made.append(
            PreparedVideo(
                name=labels.name,
                split=split,
                path=f"{number}.mp4",
                size_hw=size_hw,
                rate=25.0,
                frames=np.arange(frames, dtype=np.int64),
                times=np.arange(frames) / 25.0,
                store=store,
                labels=labels,
            )
        )
    dataset = Dataset(folder, ("red", "blue"), canvas_hw, 8, crop, 1, tuple(made))
    dataset.save()
    return dataset


@pytest.fixture
def make_dataset() -> MakeDataset:
    """Give `write_dataset`: `make_dataset(folder, videos=("train", "val"), frames=12, ...)`."""
    return write_dataset


@pytest.fixture(scope="session")
def shared() -> Path:
    """Give the folder of real data beside the repository; skip where it is absent."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not (folder / "data").is_dir():
        pytest.skip("the real data is not here: ../shared/data is absent")
    return folder


class StreamServer:
    """Serves the beginning of a transport stream over HTTP, some times; afterwards it is gone.

    Args:
        data: the stream.
        connections: how many are answered; every later one gets 404.
        length: bytes that each is given; None: all.
        pause_s: between the pieces, for a slow network; 0 sends all at once.
    """

    def __init__(
        self,
        data: bytes,
        *,
        connections: int = 1,
        length: int | None = None,
        pause_s: float = 0.0,
    ) -> None:
        self.connections = 0
        outer, shown = self, data[:length]
        step = max(188, len(shown) // 40) if pause_s else len(shown)

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.connections += 1
                if outer.connections > connections:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Type", "video/mp2t")
                self.end_headers()
                with suppress(ConnectionError):  # the reader may have closed
                    for start in range(0, len(shown), step):
                        self.wfile.write(shown[start : start + step])
                        time.sleep(pause_s)

            def log_message(self, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_address[1]}/live.ts"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self) -> None:
        """End it; nothing listens afterwards."""
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()
