"""Files that are cut off, broken or hold more than one film: the rest is read, and reported."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from conftest import MakeVideo, grey_level

from lstmcli.core.errors import MediaError
from lstmcli.video import ReadReport, find_sources, output_names, probe, read_frames
from lstmcli.video.read_report import ranges_text

FRAGMENTS = {"movflags": "+empty_moov+default_base_moof+frag_keyframe"}
CUT: dict[str, dict[str, object]] = {
    "a.mkv": {},
    "a.webm": {"options": {"deadline": "realtime"}},
    "a.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "front.mp4": {"container_options": {"movflags": "+faststart"}},
    "fragments.mp4": {"container_options": FRAGMENTS, "options": {"g": "10"}},
    "a.flv": {},
    "a.ts": {},
}


@pytest.mark.parametrize("name", CUT)
def test_a_truncated_file_is_reported(name: str, tmp_path: Path, make_video: MakeVideo) -> None:
    path = make_video(tmp_path / name, 50, **CUT[name])
    report = ReadReport()
    assert len(list(read_frames(path, report=report))) == 50
    assert report.sentences() == []
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10 // 188 * 188 + 70])
    frames = list(read_frames(path, report=report))
    assert 5 < len(frames) < 50
    assert sum("cut off" in sentence for sentence in report.sentences()) == 1


def test_a_recording_without_a_length_is_no_damage(tmp_path: Path, make_video: MakeVideo) -> None:
    path = tmp_path / "a.webm"
    with path.open("wb") as file:
        made = make_video(tmp_path / "b.webm", 10)
        with av.open(str(made)) as source, av.open(_Pipe(file), "w", format="webm") as out:
            stream = out.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(video=0):
                if packet.size:
                    packet.stream = stream
                    out.mux(packet)
    report = ReadReport()
    assert len(list(read_frames(path, report=report))) == 10
    assert report.sentences() == []


class _Pipe:
    """A file that cannot be sought, as a browser's recorder writes one."""

    def __init__(self, file: object) -> None:
        self.write = file.write  # type: ignore[attr-defined]


def test_lost_frames_are_named_and_leave_their_positions(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    path = make_video(tmp_path / "a.mp4", 40, options={"g": "5", "bf": "0"})
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(video=0) if p.size]
        places = [(p.pos, p.size) for p in packets if p.pos is not None]
    data = bytearray(path.read_bytes())
    for number in range(15, 20):
        place, size = places[number]
        data[place + 4 : place + size] = bytes(size - 4)
    path.write_bytes(data)
    report = ReadReport()
    frames = list(read_frames(path, report=report))
    assert len(frames) == 35
    assert [frame.index for frame in frames] == list(range(35))
    assert [frame.position for frame in frames] == [*range(15), *range(20, 40)]
    for frame in frames:
        assert abs(float(frame.rgb().mean()) - grey_level(frame.position)) <= 5
    assert report.lost == [15, 16, 17, 18, 19]
    assert "5 could not be decoded (frames 15-19)" in report.sentences()[0]


def test_numbers_are_told_in_short() -> None:
    assert ranges_text([4]) == "frame 4"
    assert ranges_text([9, 3, 4, 5]) == "frames 3-5, 9"
    assert ranges_text(range(0, 20, 2)).endswith(", …")


def two_films(path: Path) -> Path:
    """Write a front film, grey 60, and a smaller rear one, grey 180."""
    with av.open(str(path), "w") as out:
        streams = []
        for width, height in ((96, 64), (48, 32)):
            stream = out.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            streams.append(stream)
        for stream, level in zip(streams, (60, 180), strict=True):
            for i in range(5):
                picture = np.full((stream.height, stream.width, 3), level, np.uint8)
                frame = av.VideoFrame.from_ndarray(picture, "rgb24")
                frame.pts = i
                out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
    return path


def test_a_second_film_in_a_file_is_told_and_can_be_read(tmp_path: Path) -> None:
    path = two_films(tmp_path / "dash.mp4")
    report = ReadReport()
    assert next(iter(read_frames(path, report=report))).size_hw == (64, 96)
    assert "#2 (48x32)" in report.sentences()[0]
    first, second = find_sources([str(path), f"{path}#2"])
    assert output_names([first, second]) == ["dash", "dash#2"]
    report = ReadReport()
    frame = next(iter(read_frames(second.address, film=second.film, report=report)))
    assert frame.size_hw == (32, 48) == probe(path, film=2).size_hw
    assert float(frame.rgb().mean()) == pytest.approx(180, abs=5)
    assert report.sentences() == []
    with pytest.raises(MediaError, match="no video stream 3"):
        next(iter(read_frames(path, film=3)))


def test_a_change_of_size_is_letterboxed(tmp_path: Path, make_video: MakeVideo) -> None:
    first = make_video(tmp_path / "a.ts", [np.full((64, 96, 3), 200, np.uint8)] * 4)
    second = make_video(tmp_path / "b.ts", [np.full((64, 48, 3), 200, np.uint8)] * 4)
    both = tmp_path / "both.ts"
    both.write_bytes(first.read_bytes() + second.read_bytes())
    report = ReadReport()
    last = list(read_frames(both, report=report))[-1].rgb()
    assert last.shape == (64, 96, 3)
    assert last[:, :22].max() < 10
    assert last[:, 26:70].mean() == pytest.approx(200, abs=5)
    assert any("letterboxed" in sentence for sentence in report.sentences())


def test_hdr_is_converted_and_tagged_as_what_it_then_is(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    options = {"x264-params": "colorprim=bt2020:transfer=arib-std-b67:colormatrix=bt2020nc"}
    path = make_video(tmp_path / "a.mp4", 3, pix_fmt="yuv420p10le", options=options)
    report = ReadReport()
    planes = next(iter(read_frames(path, report=report))).planes()
    assert (planes.matrix, planes.primaries, planes.transfer) == (1, 1, 1)
    assert "HDR" in report.sentences()[0]


def test_what_was_not_closed_says_so(tmp_path: Path, make_video: MakeVideo) -> None:
    path = make_video(tmp_path / "a.mp4", 10)
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"moov") - 4])
    with pytest.raises(MediaError) as caught:
        list(read_frames(path))
    assert "closed" in caught.value.hint


def test_frames_after_a_lost_one_are_dependent_up_to_the_next_key_frame(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    path = make_video(tmp_path / "a.mp4", 30, options={"g": "10", "bf": "0"})
    with av.open(str(path)) as container:
        packets = [p for p in container.demux(video=0) if p.size]
        offset, size = next((p.pos, p.size) for n, p in enumerate(packets) if n == 13)
    data = bytearray(path.read_bytes())
    data[offset + 4 : offset + size] = bytes(size - 4)
    path.write_bytes(data)
    frames = list(read_frames(path))
    assert [frame.position for frame in frames if frame.is_dependent] == list(range(14, 20))
    assert [frame.position for frame in frames] == [n for n in range(30) if n != 13]
