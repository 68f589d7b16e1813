"""The walk through folders and the one list of media endings."""

from __future__ import annotations

from pathlib import Path

from lstmcli.core.media_files import IMAGE_SUFFIXES, VIDEO_SUFFIXES, files_below
from lstmcli.core.names import is_video
from lstmcli.labels.media_finder import media_files
from lstmcli.video import find_sources


def test_links_are_followed_and_a_ring_of_links_ends(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    (disk / "cam1").mkdir(parents=True)
    (disk / "cam1" / "a.mp4").write_bytes(b"")
    footage = tmp_path / "footage"
    footage.mkdir()
    (footage / "b.mp4").write_bytes(b"")
    (footage / "cam1").symlink_to("../disk/cam1")
    (disk / "cam1" / "up").symlink_to(footage)
    assert [path.name for path in files_below(footage)] == ["b.mp4", "a.mp4"]
    assert [path.name for path in media_files(footage)] == ["b.mp4", "a.mp4"]
    assert {source.name for source in find_sources([str(footage)])} == {"b.mp4", "cam1/a.mp4"}


def test_labels_and_footage_know_the_same_endings() -> None:
    assert all(is_video(f"cam{suffix}") for suffix in VIDEO_SUFFIXES)
    assert {".avif", ".jfif", ".webp"} <= IMAGE_SUFFIXES
    assert ".asf" in VIDEO_SUFFIXES
    assert not VIDEO_SUFFIXES & IMAGE_SUFFIXES
