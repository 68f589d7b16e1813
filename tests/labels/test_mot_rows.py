"""MOT rows there and back: frames and classes from 1 in the file, from 0 here; pixels from 0."""

from __future__ import annotations

from pathlib import Path

import pytest

from lstmcli.core.errors import DataError
from lstmcli.core.names import as_path
from lstmcli.labels.mot_rows import (
    corners,
    frame_of,
    label_of,
    left_top_width_height,
    mot_row,
    sequence_info,
)
from lstmcli.labels.search import read_labels


def test_a_row_comes_back_as_it_was() -> None:
    box = (0.0, 2.5, 10.0, 22.5)
    sides = [f"{side:.2f}" for side in left_top_width_height(box)]
    text = mot_row(0, 7, sides, "0.9000", 2)
    assert text == "1,7,0.00,2.50,10.00,20.00,0.9000,3,1\n"
    row = [float(part) for part in text.split(",")]
    assert (frame_of(row, "gt.txt"), label_of(row), corners(row)) == (0, 2, box)


@pytest.mark.parametrize("frame", [0.0, -1.0, 1.5])
def test_frames_are_whole_numbers_from_1(frame: float) -> None:
    with pytest.raises(DataError, match=f"gt.txt, line 3: frame {frame:g}"):
        frame_of([frame, 1, 0, 0, 1, 1, 1], "gt.txt, line 3")


@pytest.mark.parametrize("cells", [(1, 1, 0, 0, 1, 1, 1), (1, 1, 0, 0, 1, 1, 1, -1, -1, -1)])
def test_a_row_may_name_no_class(cells: tuple[float, ...]) -> None:
    assert label_of(cells) is None


def test_the_sequence_of_the_rows_is_read_as_it_was_written(tmp_path: Path) -> None:
    folder = tmp_path / "walk 50 %"
    (folder / "gt").mkdir(parents=True)
    info = sequence_info(folder.name, frames=12, rate=12.5, size_hw=(48, 64))
    (folder / "seqinfo.ini").write_text(info, encoding="utf-8")
    (folder / "gt" / "labels.txt").write_text("bird\ncat\n", encoding="utf-8")
    row = mot_row(3, 5, ["1", "2", "3", "4"], "1", 1)
    (folder / "gt" / "gt.txt").write_text(row, encoding="utf-8")
    labels = read_labels(folder)
    (video,) = labels.videos
    assert as_path(video.name).name == "walk 50 %"
    assert (video.frame_count, video.rate, video.size_hw) == (12, 12.5, (48, 64))
    assert (video.box_frames.tolist(), video.tracks.tolist()) == ([3], [5])
    assert labels.classes[int(video.labels[0])] == "cat"
    assert video.boxes.tolist() == [[1.0, 2.0, 4.0, 6.0]]
