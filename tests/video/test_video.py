"""Reading and writing video: every frame once, in order, at its own time, the right way up."""

from __future__ import annotations

import gc
import io
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import MakeVideo, grey_level

from lstmcli.core.boxes import Letterbox
from lstmcli.core.errors import MediaError, OutputError
from lstmcli.core.files import partial_path
from lstmcli.core.types import pixels_of, planes_of
from lstmcli.video import (
    Frame,
    Planes,
    ReadReport,
    VideoWriter,
    probe,
    read_frames,
    read_images,
    read_stdin,
)

UNEVEN = [0.0, 0.04, 0.1, 0.5, 0.51, 0.6, 0.9, 2.0]
CORNERS = np.full((64, 96, 3), 40, np.uint8)
CORNERS[:16, :24], CORNERS[:16, 72:], CORNERS[48:, :24] = (
    (230, 30, 30),
    (30, 230, 30),
    (30, 30, 230),
)


def greys(frames: list[Frame]) -> list[int]:
    return [round(float(frame.rgb().mean())) for frame in frames]


def expected_greys(count: int) -> list[int]:
    return [grey_level(i) for i in range(count)]


def assert_alike(found: list[int], expected: list[int]) -> None:
    assert len(found) == len(expected)
    assert max(abs(a - b) for a, b in zip(found, expected, strict=True)) <= 5


SOURCES: dict[str, dict[str, object]] = {
    "h264.mp4": {},
    "ten_bit.mkv": {"pix_fmt": "yuv420p10le"},
    "422.mkv": {"pix_fmt": "yuv422p"},
    "444.mp4": {"pix_fmt": "yuv444p"},
    "grey.mkv": {"pix_fmt": "gray", "codec": "ffv1"},
    "full_range.mp4": {"full_range": True},
    "interlaced.mp4": {"interlaced": True},
    "mpeg4.avi": {"codec": "mpeg4", "options": {"qscale": "2"}},
    "vp9.webm": {},
    "transport.ts": {},
    "quicktime.mov": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "palette.gif": {"codec": "gif", "pix_fmt": "rgb8"},
    "odd_sides.mp4": {"size_hw": (63, 97), "pix_fmt": "yuv444p"},
    "b_frames.mp4": {"options": {"preset": "medium"}},
    "uneven.mp4": {"times": UNEVEN},
}


@pytest.mark.parametrize("name", SOURCES)
def test_every_frame_comes_once_in_order_at_its_own_time(
    name: str, tmp_path: Path, make_video: MakeVideo
) -> None:
    path = make_video(tmp_path / name, **SOURCES[name])
    report = ReadReport()
    frames = list(read_frames(path, report=report))
    assert [frame.index for frame in frames] == list(range(8))
    assert_alike(greys(frames), expected_greys(8))
    times = UNEVEN if name.startswith("uneven") else [i / 25 for i in range(8)]
    assert [frame.time_s - frames[0].time_s for frame in frames] == pytest.approx(times, abs=1e-3)
    assert (report.frames, report.broken, report.mended_times) == (8, 0, 0)


@pytest.mark.parametrize("name", SOURCES)
def test_planes_hold_the_same_picture_in_limited_range(
    name: str, tmp_path: Path, make_video: MakeVideo
) -> None:
    frame = next(read_frames(make_video(tmp_path / name, **SOURCES[name])))
    planes = frame.planes()
    height, width = frame.size_hw
    assert planes.y.shape == (height, width)
    assert planes.u.shape == planes.v.shape == ((height + 1) // 2, (width + 1) // 2)
    assert float(planes.y.mean()) == pytest.approx(16 + grey_level(0) * 219 / 255, abs=5)
    assert planes.rgb().shape == (height, width, 3)
    assert float(planes.rgb().mean()) == pytest.approx(grey_level(0), abs=5)


@pytest.mark.parametrize("name", SOURCES)
def test_a_start_in_the_middle_keeps_numbers_and_times(
    name: str, tmp_path: Path, make_video: MakeVideo
) -> None:
    path = make_video(tmp_path / name, **SOURCES[name])
    whole = list(read_frames(path))
    begin = whole[0].time_s if name.endswith(".ts") else 0.0
    part = list(read_frames(path, start_s=0.1, end_s=0.25))
    expected = [f for f in whole if 0.0999 <= f.time_s - begin < 0.2499]
    assert [frame.index for frame in part] == [frame.index for frame in expected]
    assert [frame.time_s for frame in part] == pytest.approx([f.time_s for f in expected])
    assert_alike(greys(part), greys(expected))


def test_a_start_behind_several_key_frames_keeps_numbers(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    path = make_video(tmp_path / "a.mp4", 60, options={"g": "10", "preset": "medium"})
    assert [f.index for f in read_frames(path, start_s=1.5, end_s=1.6)] == [38, 39]
    assert_alike(greys(list(read_frames(path, start_s=1.5, end_s=1.6))), expected_greys(40)[38:])


OPEN_GOPS = {"bf": "3", "preset": "medium", "x264-params": "open-gop=1:keyint=12:b-adapt=0"}


def test_a_start_keeps_numbers_where_the_first_packets_tell_no_decoding_time(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    path = make_video(tmp_path / "a.mkv", 60, options=OPEN_GOPS)
    for start_s, first in ((0.4, 10), (0.52, 13), (1.5, 38)):
        assert next(read_frames(path, start_s=start_s)).index == first


def test_a_start_keeps_numbers_where_an_edit_list_cuts_the_beginning(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    whole, cut = make_video(tmp_path / "a.mp4", 30, options={"bf": "0"}), tmp_path / "cut.mp4"
    with av.open(str(whole)) as source, av.open(str(cut), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.pts = packet.dts = packet.pts - round(0.4 / packet.time_base)
                packet.stream = stream
                out.mux(packet)
    assert len(list(read_frames(cut))) == 20
    assert [f.index for f in read_frames(cut, start_s=0.4)] == list(range(10, 20))


def test_a_start_within_open_groups_of_pictures_is_no_damage(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    options = {"x265-params": "keyint=12:min-keyint=12:log-level=none:bframes=4"}
    pictures = [np.roll(CORNERS, 2 * i, axis=1) for i in range(60)]
    path = make_video(tmp_path / "a.mp4", pictures, codec="libx265", options=options)
    report = ReadReport()
    assert next(iter(frames := read_frames(path, start_s=1.5, report=report))).index == 38
    assert len(list(frames)) == 21
    assert report.broken == 0


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_a_turned_video_stands_upright_in_every_form(
    turn: int, tmp_path: Path, make_video: MakeVideo
) -> None:
    path = make_video(tmp_path / "a.mp4", [CORNERS] * 2, turn=turn)
    upright = np.rot90(CORNERS, -turn // 90)
    info = probe(path)
    frame = next(read_frames(path))
    assert (info.rotation, info.size_hw, frame.size_hw) == (turn, *[upright.shape[:2]] * 2)
    away = np.abs(frame.rgb().astype(int) - upright)
    assert away.mean() < 6  # colour edges blur in 4:2:0
    assert np.abs(frame.planes().rgb().astype(int) - upright).mean() < 6
    height, width = upright.shape[0] // 2, upright.shape[1] // 2
    canvas = frame.canvas(Letterbox(frame.size_hw, (height, width)))
    assert np.abs(canvas.astype(int) - upright[::2, ::2]).mean() < 8


def test_a_canvas_is_the_scaled_picture_on_grey_bars(tmp_path: Path, make_video: MakeVideo) -> None:
    frame = next(read_frames(make_video(tmp_path / "a.mp4", size_hw=(64, 128))))
    canvas = frame.canvas(Letterbox((64, 128), (64, 64)))
    assert canvas.shape == (64, 64, 3)
    assert (canvas[:16] == 114).all()
    assert (canvas[48:] == 114).all()
    assert np.abs(canvas[16:48].astype(int) - grey_level(0)).max() <= 5


def test_a_canvas_lies_as_planes_and_has_the_pixels_of_the_picture(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    frame = next(read_frames(make_video(tmp_path / "a.mp4", [CORNERS])))
    canvas = frame.canvas(Letterbox(frame.size_hw, frame.size_hw))
    np.testing.assert_array_equal(canvas, frame.rgb())
    assert planes_of(canvas).base is canvas.base  # nothing was copied
    np.testing.assert_array_equal(pixels_of(canvas), canvas)
    assert pixels_of(canvas).flags.c_contiguous


def test_shrinking_averages_so_that_small_things_do_not_vanish(tmp_path: Path) -> None:
    """Dots of one pixel every eight pixels keep their mean when eight pixels become one."""
    picture = np.zeros((128, 128, 3), np.uint8)
    picture[::8, ::8] = 255
    path = tmp_path / "a.png"
    av.VideoFrame.from_ndarray(picture, "rgb24").to_image().save(path)
    canvas = next(read_images([path])).canvas(Letterbox((128, 128), (16, 16)))
    assert float(canvas[2:-2, 2:-2].mean()) == pytest.approx(255 / 64, abs=1.5)


def test_probe_tells_what_is_known(tmp_path: Path, make_video: MakeVideo) -> None:
    info = probe(make_video(tmp_path / "a.mp4", sound="aac", rate=Fraction(30000, 1001)))
    assert (info.size_hw, info.frame_count, info.has_audio) == ((64, 96), 8, True)
    assert info.rate == pytest.approx(29.97, abs=0.01)
    assert info.duration_s == pytest.approx(8 / 29.97, abs=0.01)
    assert info.codec == "h264"


def test_broken_packets_are_counted_and_survived(tmp_path: Path, make_video: MakeVideo) -> None:
    path = make_video(tmp_path / "a.ts", 60, options={"g": "10"})
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(0)
    for _ in range(12):  # spoil what lies behind the head of some transport packets
        start = 188 * int(rng.integers(len(data) // 188 // 4, len(data) // 188 - 4)) + 60
        data[start : start + 100] = rng.bytes(100)
    path.write_bytes(data)
    report = ReadReport()
    times = [frame.time_s for frame in read_frames(path, report=report)]
    assert 30 <= len(times) <= 60
    assert times == sorted(times)
    assert report.broken > 0
    assert any("broken" in sentence for sentence in report.sentences())


def test_a_file_that_breaks_off_gives_what_it_has(tmp_path: Path, make_video: MakeVideo) -> None:
    whole = make_video(tmp_path / "a.mkv", 60, options={"g": "10"})
    short = tmp_path / "short.mkv"
    short.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    frames = list(read_frames(short))
    assert 5 < len(frames) < 60
    assert_alike(greys(frames), expected_greys(len(frames)))


@pytest.mark.parametrize("interlaced", [False, True])
def test_frames_of_another_size_are_scaled_to_the_first(
    interlaced: bool, tmp_path: Path, make_video: MakeVideo
) -> None:
    first = make_video(tmp_path / "a.ts", 8, interlaced=interlaced)
    second = make_video(tmp_path / "b.ts", 8, size_hw=(32, 48), interlaced=interlaced)
    both = tmp_path / "both.ts"
    both.write_bytes(first.read_bytes() + second.read_bytes())
    report = ReadReport()
    frames = list(read_frames(both, report=report))
    assert {frame.size_hw for frame in frames} == {(64, 96)}
    assert report.resized > 0
    times = [frame.time_s for frame in frames]
    assert all(a < b for a, b in pairwise(times))


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "damaged"), (b"no video at all" * 50, "damaged"), (None, "no such file")],
)
def test_what_is_no_video_is_an_error_that_names_it(
    content: bytes | None, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.mp4"
    if content is not None:
        path.write_bytes(content)
    for work in (lambda: probe(path), lambda: list(read_frames(path))):
        with pytest.raises(MediaError) as caught:
            work()
        assert str(path) in caught.value.problem
        assert words in caught.value.problem
        assert caught.value.hint


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "a.m4a"
    with av.open(str(path), "w", format="mp4") as out:
        track = out.add_stream("aac", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), "fltp", "stereo")
        frame.sample_rate = 48000
        out.mux(track.encode(frame))
        out.mux(track.encode(None))
    with pytest.raises(MediaError, match="no video"):
        probe(path)


def test_a_start_behind_the_end_is_an_error(tmp_path: Path, make_video: MakeVideo) -> None:
    path = make_video(tmp_path / "a.mp4")
    with pytest.raises(MediaError, match="no frame from 60 s on"):
        list(read_frames(path, start_s=60))


def test_a_name_with_a_colon_or_a_percent_sign_is_only_a_name(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    for name in ("rec 12:30:05.mkv", "100%03d.mp4", "Überführung.mp4"):
        assert len(list(read_frames(make_video(tmp_path / name)))) == 8


def test_images_are_the_frames_of_a_steady_video(tmp_path: Path) -> None:
    from PIL import Image

    paths = []
    for i, name in enumerate(("a.png", "b.jpg", "c.bmp")):
        paths.append(tmp_path / name)
        Image.new("RGB", (96, 64), (grey_level(i),) * 3).save(paths[-1])
    frames = list(read_images(paths, rate=10))
    assert [frame.time_s for frame in frames] == pytest.approx([0, 0.1, 0.2])
    assert_alike(greys(frames), expected_greys(3))


def test_a_phone_photo_stands_upright(tmp_path: Path) -> None:
    from PIL import Image

    exif = Image.Exif()
    exif[0x112] = 6  # turn by 90 degrees clockwise to show
    Image.fromarray(CORNERS).save(tmp_path / "a.jpg", exif=exif, quality=95)
    frame = next(read_images([tmp_path / "a.jpg"]))
    assert frame.size_hw == (96, 64)
    assert np.abs(frame.rgb().astype(int) - np.rot90(CORNERS, -1)).mean() < 6


def test_what_is_no_image_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"nothing")
    with pytest.raises(MediaError, match=r"a\.png"):
        list(read_images([path]))
    with pytest.raises(MediaError, match="no such file"):
        list(read_images([tmp_path / "absent.png"]))


def test_a_piped_video_is_read(tmp_path: Path, make_video: MakeVideo) -> None:
    class Pipe(io.RawIOBase):
        """Bytes that come once and cannot be sought."""

        def __init__(self, data: bytes) -> None:
            self._data = io.BytesIO(data)

        def readable(self) -> bool:
            return True

        def read(self, size: int = -1) -> bytes:
            return self._data.read(size)

    data = make_video(tmp_path / "a.ts").read_bytes()
    frames = list(read_stdin(ReadReport(), stream=Pipe(data)))
    assert_alike(greys(frames), expected_greys(8))
    with pytest.raises(MediaError, match="standard input"):
        list(read_stdin(ReadReport(), stream=Pipe(b"nothing")))


def write_greys(path: Path, times: list[float], **options: object) -> VideoWriter:
    writer = VideoWriter(path, **options)
    with writer:
        for i, time_s in enumerate(times):
            writer.write(np.full((64, 96, 3), grey_level(i), np.uint8), time_s)
    return writer


def boxes_of(path: Path) -> list[bytes]:
    data, at, names = path.read_bytes(), 0, []
    while at < len(data):
        names.append(data[at + 4 : at + 8])
        at += int.from_bytes(data[at : at + 4], "big")
    return names


def test_a_written_video_keeps_uneven_times_and_has_its_index_in_front(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_greys(path, UNEVEN)
    frames = list(read_frames(path))
    assert [frame.time_s for frame in frames] == pytest.approx(UNEVEN, abs=1e-4)
    assert_alike(greys(frames), expected_greys(8))
    names = boxes_of(path)
    assert names.index(b"moov") < names.index(b"mdat")
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


def test_an_error_while_writing_leaves_a_partial_video_that_plays(tmp_path: Path) -> None:
    def interrupted(path: Path) -> None:
        with VideoWriter(path) as writer:
            for i in range(20):
                writer.write(np.full((64, 96, 3), grey_level(i), np.uint8), i / 25)
            raise KeyboardInterrupt

    path = tmp_path / "a.mp4"
    with pytest.raises(KeyboardInterrupt):
        interrupted(path)
    assert not path.exists()
    frames = list(read_frames(partial_path(path)))
    assert_alike(greys(frames), expected_greys(20))


def test_an_empty_video_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no frame"), VideoWriter(tmp_path / "a.mp4"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        write_greys(tmp_path / "absent" / "a.mp4", [0.0])


def test_frames_of_two_sizes_do_not_fit_one_video(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "a.mp4")
    writer.write(np.zeros((64, 96, 3), np.uint8), 0.0)
    with pytest.raises(OutputError, match="after frames of"):
        writer.write(np.zeros((32, 96, 3), np.uint8), 0.1)
    writer.abandon()


def test_an_encoder_that_is_not_there_is_replaced_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lstmcli.video import writer as writing

    broken = writing.Encoder("h264_nvenc", "cq", {"preset": "no such preset"})
    monkeypatch.setitem(writing.CODECS, "nvenc", broken)
    writer = write_greys(tmp_path / "a.mp4", [0.0, 0.1], codec="nvenc")
    assert writer.notes == ["there is no NVENC encoder here; libx264 encodes instead"]
    assert len(list(read_frames(tmp_path / "a.mp4"))) == 2


@pytest.mark.parametrize("sound", ["aac", "libmp3lame", "libopus", "flac", "pcm_s16le", "ac3"])
def test_sound_is_copied_where_browsers_play_it_and_else_encoded(
    sound: str, tmp_path: Path, make_video: MakeVideo
) -> None:
    source = make_video(tmp_path / "a.mkv", 25, sound=sound)
    path = tmp_path / "b.mp4"
    with VideoWriter(path, sound_from=source) as writer:
        for frame in read_frames(source):
            writer.write(frame.planes(), frame.time_s)
    assert writer.notes == []
    with av.open(str(path)) as container:
        track = container.streams.audio[0]
        copied = {"aac": "aac", "libmp3lame": "mp3", "libopus": "opus", "flac": "flac"}
        assert track.codec_context.codec.canonical_name == copied.get(sound, "aac")
        samples = sum(f.samples for f in container.decode(track)) / track.codec_context.sample_rate
    assert samples == pytest.approx(1.0, abs=0.08)  # codecs pad to whole blocks


def test_sound_that_cannot_be_read_costs_the_sound_only(
    tmp_path: Path, make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lstmcli.video import writer as writing

    def fail(*args: object, **kwargs: object) -> None:
        raise av.error.InvalidDataError(1, "bad sound")

    source = make_video(tmp_path / "a.mp4", 25, sound="aac")
    monkeypatch.setattr(writing, "sound_packets", fail)
    with VideoWriter(tmp_path / "b.mp4", sound_from=source) as writer:
        for frame in read_frames(source):
            writer.write(frame.planes(), frame.time_s)
    assert "sound" in writer.notes[0]
    assert len(list(read_frames(tmp_path / "b.mp4"))) == 25


def test_metadata_and_pixel_shape_are_kept(tmp_path: Path, make_video: MakeVideo) -> None:
    tags = {"title": "A walk", "creation_time": "2024-01-02T03:04:05.000000Z"}
    source = make_video(tmp_path / "a.mp4", metadata=tags, sound="aac")
    path = tmp_path / "b.mp4"
    write_greys(path, [0.0, 0.1], sound_from=source, pixel_aspect=Fraction(4, 3))
    with av.open(str(path)) as container:
        assert container.metadata.items() >= tags.items()
    assert probe(path).pixel_aspect == Fraction(4, 3)


def test_a_pixel_shape_that_only_the_container_tells_is_known(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libvpx-vp9", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        out.mux(stream.encode(av.VideoFrame(96, 64, "yuv420p")))
        out.mux(stream.encode(None))
    assert probe(path).pixel_aspect == Fraction(4, 3)


def test_a_picture_fits_into_another_size_on_black() -> None:
    fitted = Planes.from_rgb(np.full((40, 20, 3), 255, np.uint8)).fit((20, 40))
    assert fitted.size_hw == (20, 40)
    middle, sides = fitted.y[:, 15:24], np.hstack([fitted.y[:, :14], fitted.y[:, 25:]])
    assert middle.min() > 225
    assert sides.max() < 20


def test_planes_of_odd_sides_repeat_their_last_row_and_column() -> None:
    planes = Planes((3, 5))
    planes.y[:] = np.arange(15, dtype=np.uint8).reshape(3, 5)
    store = planes.pad()
    whole = np.frombuffer(memoryview(store.planes[0]), np.uint8).reshape(
        -1, store.planes[0].line_size
    )[:4, :6]
    assert whole[3].tolist() == [10, 11, 12, 13, 14, 14]
    assert whole[:3, 5].tolist() == [4, 9, 14]


def test_a_frame_that_nobody_needs_is_freed_at_once(tmp_path: Path, make_video: MakeVideo) -> None:
    """What only the garbage collector frees holds all buffers of its decoder until then."""
    path = tmp_path / "turned.mp4"
    make_video(path, frames=5, turn=90)
    gc.collect()
    gc.disable()
    try:
        assert sum(frame.size_hw == (96, 64) for frame in read_frames(path)) == 5
        frames = [o for o in gc.get_objects() if type(o) is av.VideoFrame]
        large = [frame for frame in frames if frame.width > 16]
        assert large == []
    finally:
        gc.enable()


def test_a_writer_whose_disk_is_full_writes_no_more(tmp_path: Path) -> None:
    """FFmpeg ends a process that writes on after it could not write the header."""

    class Full:
        attempts = closed = 0

        def mux(self, packets: object) -> None:
            self.attempts += 1
            raise OSError(28, "No space left on device")

        def close(self) -> None:
            self.closed += 1

    def write_frames() -> None:
        with VideoWriter(tmp_path / "a.mp4", rate=25) as writer:
            for n in range(3):
                writer.write(np.full((64, 96, 3), grey_level(n), np.uint8), n / 25)
                writer._container = full  # type: ignore[assignment]

    full = Full()
    with pytest.raises(OutputError, match="No space left"):
        write_frames()
    assert (full.attempts, full.closed) == (1, 1)
    assert not (tmp_path / "a.mp4").exists()
