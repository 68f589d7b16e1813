"""What `prepare` makes of doubtful labels: axes, division, rare classes, two files of one film."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import write_video
from PIL import Image

from lstmcli.core.errors import DataError
from lstmcli.workflows.prepare import PrepareOptions, TimeSplit, prepare

EVERY = PrepareOptions(every=1)


def csv(path: Path, rows: list[str]) -> Path:
    path.write_text("image,class,x1,y1,x2,y2\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def pictures(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for n, name in enumerate(names):
        Image.new("RGB", (120, 40), (40 * n % 255, 90, 10)).save(folder / f"{name}.jpg")


def test_swapped_axes_are_an_error_before_boxes_are_clipped(tmp_path: Path) -> None:
    pictures(tmp_path, "a", "b", "c", "d")
    rows = [f"{name}.jpg,bee,5,60,25,90" for name in "abcd"]  # y before x: 120 wide, 40 high
    with pytest.raises(DataError, match="only with x and y exchanged"):
        prepare([csv(tmp_path / "a.csv", rows)], out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_one_box_outside_is_reported_and_clipped(tmp_path: Path) -> None:
    pictures(tmp_path, "a", "b", "c", "d")
    rows = ["a.jpg,bee,100,5,140,25", *(f"{name}.jpg,bee,60,5,90,25" for name in "bcd")]
    prepared = prepare([csv(tmp_path / "a.csv", rows)], out=tmp_path / "out")
    texts = {warning.text for warning in prepared.warnings}
    assert "a box leaves the picture" in texts  # seen before it was cut
    assert "boxes that reach beyond the picture were cut to it" in texts


@pytest.mark.parametrize("seed", range(4))
def test_the_only_video_of_a_class_trains(seed: int, tmp_path: Path) -> None:
    names = "abcdefgh"
    pictures(tmp_path, *names)
    kinds = ["wasp", *["bee"] * 7]
    rows = [f"{n}.jpg,{kind},60,5,90,25" for n, kind in zip(names, kinds, strict=True)]
    options = PrepareOptions(seed=seed)
    made = prepare([csv(tmp_path / "a.csv", rows)], out=tmp_path / "out", options=options)
    splits = {video.name: video.split for video in made.dataset.videos}
    assert splits["a"] == "train"
    assert "val" in splits.values()


def test_two_label_files_of_one_film_stay_in_one_split(tmp_path: Path) -> None:
    for name in ("film", "other", "third"):
        write_video(tmp_path / f"{name}.mp4", 8)
    head = "video,frame,class,x1,y1,x2,y2\n"
    for n, frame in enumerate((0, 5)):
        row = f"film.mp4,{frame},bee,5,6,30,40\n"
        (tmp_path / f"{n}.csv").write_text(head + row, encoding="utf-8")
    rows = "".join(f"{name}.mp4,1,bee,5,6,30,40\n" for name in ("other", "third"))
    (tmp_path / "2.csv").write_text(head + rows, encoding="utf-8")
    sources = [tmp_path / f"{n}.csv" for n in range(3)]
    for seed in range(3):
        options = PrepareOptions(every=1, seed=seed)
        made = prepare(sources, out=tmp_path / f"out{seed}", options=options)
        parts = {v.split for v in made.dataset.videos if v.path.endswith("film.mp4")}
        assert len(parts) == 1


def test_the_splits_of_a_set_are_kept_and_reported_and_can_be_drawn_anew(tmp_path: Path) -> None:
    for part, names in (("train", "abcd"), ("valid", "ef"), ("test", "g")):
        pictures(tmp_path / "set" / part / "images", *names)
        for name in names:
            label = tmp_path / "set" / part / "labels" / f"{name}.txt"
            label.parent.mkdir(exist_ok=True)
            label.write_text("0 0.5 0.5 0.2 0.2\n")
    kept = prepare([tmp_path / "set"], out=tmp_path / "kept")
    assert [v.split for v in kept.dataset.videos].count("val") == 2
    assert kept.division.startswith("the set's own: train 4, val 2, test 1")
    drawn = prepare([tmp_path / "set"], out=tmp_path / "drawn", options=PrepareOptions(split=0.5))
    assert {v.split for v in drawn.dataset.videos} == {"train", "val"}
    assert "not kept" in drawn.division


def test_labels_of_another_clock_are_refused_or_placed_by_time(tmp_path: Path) -> None:
    folder = tmp_path / "seq"
    (folder / "gt").mkdir(parents=True)
    write_video(folder / "seq.mp4", 30, rate=30)
    (folder / "seqinfo.ini").write_text("[Sequence]\nname=seq\nframeRate=15\nseqLength=15\n")
    (folder / "gt" / "gt.txt").write_text("".join(f"{n},1,5,6,20,20,1\n" for n in range(1, 16)))
    cut = TimeSplit(0.5, 0.0)
    with pytest.raises(DataError, match="15 frames at 15 a second, the film has 30 at 30"):
        prepare([folder], out=tmp_path / "out", options=PrepareOptions(split_time=cut))
    options = PrepareOptions(split_time=cut, every=1, label_rate=15.0)
    made = prepare([folder], out=tmp_path / "out", options=options)
    frames = sorted(n for v in made.dataset.videos for n in v.labels.annotated_frames.tolist())
    assert frames == list(range(0, 30, 2))
