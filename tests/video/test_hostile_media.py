"""A file that names others is no video: it reads no other file and opens no connection."""

from __future__ import annotations

import io
from pathlib import Path

import av
import pytest
from conftest import MakeVideo

from lstmcli.core.errors import MediaError
from lstmcli.video import probe, read_images
from lstmcli.video.container import media_only
from lstmcli.video.live import read_stdin
from lstmcli.video.read_report import ReadReport

SESSION = (
    b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
    b"m=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n"
)
"""With this, FFmpeg listens at a UDP port, in a file of any name."""
PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.mp4\n#EXT-X-ENDLIST\n"
LISTS = {
    "a.mp4": b"ffconcat version 1.0\nfile secret.mp4\n",
    "a.m3u8": PLAYLIST,
    "a.sdp": SESSION,
}


@pytest.mark.parametrize("name", LISTS)
def test_a_list_of_files_is_not_followed(name: str, tmp_path: Path, make_video: MakeVideo) -> None:
    make_video(tmp_path / "secret.mp4")
    (tmp_path / name).write_bytes(LISTS[name])
    with pytest.raises(MediaError, match=r"no video but a list of others") as caught:
        probe(tmp_path / name)
    assert "address of the stream" in caught.value.hint


@pytest.mark.parametrize("data", LISTS.values(), ids=LISTS)
def test_a_picture_or_a_pipe_is_no_list_either(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(data)
    with pytest.raises(MediaError, match="not an image"):
        next(read_images([path]))
    with pytest.raises(MediaError, match=r"standard input: this is"):
        next(read_stdin(ReadReport(), stream=io.BytesIO(data)))


def test_what_ffmpeg_may_read_of_a_file_is_media() -> None:
    with av.open(io.BytesIO(SESSION)) as followed:  # without the options it would listen
        assert followed.format.name == "sdp"
    formats = media_only()["format_whitelist"].split(",")
    assert {"mov", "mp4", "matroska", "mpegts", "avi", "gif", "image2", "h264"} <= set(formats)
    assert not {"concat", "hls", "dash", "sdp", "rtsp", "lavfi"} & set(formats)
