"""The page of an evaluation, and its pictures."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from lstmcli.core.errors import OutputError
from lstmcli.core.tables import Histogram, Table
from lstmcli.core.types import DataWarning
from lstmcli.report.charts import precision_recall_chart
from lstmcli.report.dataset_page import write_dataset_page
from lstmcli.report.evaluation_page import render, write_report
from lstmcli.report.gallery import MOST_PICTURES, Gallery, Mark, draw_marks
from lstmcli.report.page import PagePicture, number, write_page

NAME = "<bird & drone>"


def some_scores(value: float | None = 0.5) -> dict[str, Any]:
    row = {"boxes": 3, "map50": value, "recall": value}
    bins = [] if value is None else [{"confidence": 0.35, "accuracy": value, "count": 7}]
    counts = {"ap": value, "ap50": value, "precision": value, "recall": value, "f1": value}
    return {
        "model": "runs/birds",
        "data": "dataset",
        "split": "val",
        "memory": False,
        "videos": 1,
        "frames": 1234,
        "boxes": 3,
        "threshold": 0.3,
        "iou": 0.5,
        "map": value,
        "map50": value,
        "map50_any_class": value,
        **dict.fromkeys(("precision", "recall", "f1"), value),
        "per_class": {NAME: counts | {"boxes": 3}},
        "by_size": {"small": row},
        "by_motion": {"fast": row},
        "by_step": {"0-4": row},
        "by_video": {"clip": counts | row | {"frames": 5}},
        "stability": {"flicker_per_minute": value, "tracks": 0, "tracks_never_found": 0}
        | dict.fromkeys(("flicker_per_minute_any_class", "fragment_error"), value)
        | dict.fromkeys(("centre_error", "scale_error", "delay_frames"), value),
        "calibration": {"error": value, "bins": bins},
        "confusion": {
            "ground_truth": [NAME, "background"],
            "predicted": [NAME, "missed"],
            "counts": [[2, 1], [4, 0]],
        },
        "speed": {"ms_per_frame": value, "engine": "torch", "device": "cpu"},
    }


def mark(outcome: Any = "fn") -> Mark:
    return Mark(outcome, np.array([(2, 2, 8, 8)], np.float32), np.zeros(1, np.int64))


def test_the_page_loads_nothing_from_elsewhere() -> None:
    picture = PagePicture("clip, frame 3", b"\xff\xd8jpeg", "missed: 1 bird")
    page = render(some_scores(), {NAME: np.linspace(1, 0, 101, dtype=np.float32)}, [picture])
    assert "data:image/jpeg;base64,/9hqcGVn" in page
    assert not re.findall(r"(?:src|href)=\"(?!data:)", page)
    assert "http" not in page


def test_names_of_people_are_text_and_no_markup() -> None:
    page = render(some_scores(), {NAME: np.ones(101, np.float32)}, [])
    assert "&lt;bird &amp; drone&gt;" in page
    assert NAME not in page


def test_what_is_not_known_is_a_dash() -> None:
    page = render(some_scores(None), {}, [])
    assert "None" not in page
    assert "nan" not in page.lower().replace("nance", "")
    assert number(None) == "\u2013"
    assert number(1234) == "1,234"
    assert number(0.12345) == "0.123"


def test_the_page_says_that_the_memory_was_off() -> None:
    assert "state was reset before every frame" in render(some_scores(), {}, [])
    assert "state was reset before every frame" not in render(
        some_scores() | {"memory": True}, {}, []
    )


def test_a_chart_is_a_picture_with_a_line_for_every_class() -> None:
    curves = {str(i): [1.0, 0.5, 0.0] for i in range(10)}
    root = ElementTree.fromstring(precision_recall_chart(curves))
    lines = root.findall("polyline")
    assert len(lines) == 10
    assert len(lines[0].get("points", "").split()) == 2, "the line ends where recall is not reached"


def test_the_gallery_shows_the_worst_first_and_not_the_same_moment_twice() -> None:
    gallery = Gallery(["bird"])
    picture = np.zeros((20, 30, 3), np.uint8)
    for frame, badness in enumerate((1.0, 5.0, 3.0, 2.0)):
        gallery.offer(badness, "a", frame, frame / 25, picture, [mark()])
    gallery.offer(4.0, "a", 100, 4.0, picture, [mark("fp")])
    titles = [shown.title for shown in gallery.pictures()]
    assert titles == ["a, frame 1, 0.04 s", "a, frame 100, 4.00 s"]
    assert [shown.caption for shown in gallery.pictures()] == ["missed: 1 bird", "false: 1 bird"]


def test_the_gallery_does_not_grow_with_the_run() -> None:
    gallery = Gallery(["bird"])
    picture = np.zeros((20, 30, 3), np.uint8)
    for second in range(200):
        gallery.offer(second, f"v{second % 40}", second, float(second), picture, [mark()])
    pictures = gallery.pictures()
    assert len(pictures) == MOST_PICTURES
    assert pictures[0].title.startswith("v39, frame 199")


def test_one_video_does_not_fill_the_gallery() -> None:
    gallery = Gallery(["bird"])
    picture = np.zeros((20, 30, 3), np.uint8)
    for second in range(10):
        gallery.offer(9.0 - second, "a", second, float(second), picture, [mark()])
    assert [shown.title.split(",")[1] for shown in gallery.pictures()] == [
        " frame 0",
        " frame 1",
        " frame 2",
    ]


def test_a_small_picture_is_enlarged_and_the_line_lies_around_the_object() -> None:
    jpeg = draw_marks(np.full((40, 60, 3), 128, np.uint8), [mark()])
    image = np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB")).astype(int)
    assert image.shape == (480, 720, 3)
    assert abs(image[60, 60] - 128).max() < 16, "inside the box nothing is drawn"
    assert image[60, 22][0] > image[60, 22][2] + 60, "its left side is orange"


def test_a_report_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"index\.html"):
        write_report(tmp_path / "file", some_scores(), {}, [])


def test_a_report_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    path = write_report(tmp_path / "new" / "report", some_scores(), {}, [])
    assert path.read_text(encoding="utf-8").rstrip().endswith("</html>")
    assert [entry.name for entry in path.parent.iterdir()] == ["index.html"]


def test_eighty_classes_do_not_break_the_page() -> None:
    """The chart has a line for as many classes as it has colours; the table has all of them."""
    names = [f"class {number}" for number in range(80)]
    scores = some_scores()
    row = scores["per_class"][NAME]
    scores["per_class"] = {name: row | {"boxes": n} for n, name in enumerate(names)}
    page = render(scores, dict.fromkeys(names, np.ones(101, np.float32)), [])
    assert page.count("<polyline") - 1 <= 8  # one line is the calibration's
    assert "and 72 classes with fewer boxes" in page
    assert all(f"<th>{name}</th>" in page for name in names)


def test_the_page_of_a_dataset_shows_plain_tables(tmp_path: Path) -> None:
    path = tmp_path / "preview" / "index.html"
    write_dataset_page(
        path,
        title="birds & drones",
        warnings=[DataWarning("a box outside <the picture>", "a.json, line 3", 7)],
        tables=[Table("Splits", ("split", "videos"), (("train", "12"),))],
        histograms=[
            Histogram("Size", ("small", "large"), (("<b>cat</b>", (3, 0)),)),
            Histogram("Motion", ("slow",), (("cat", (0,)),)),
        ],
        pictures=[PagePicture("frame 3", b"\x89PNG\r\n")],
    )
    page = path.read_text(encoding="utf-8")
    assert "birds &amp; drones" in page
    assert "&lt;the picture&gt; <b>&times; 7</b>" in page
    assert "&lt;b&gt;cat" in page
    assert "--share:100.0%" in page
    assert "Motion" not in page, "an empty histogram is left out"
    assert 'src="data:image/png;base64,' in page
    assert not re.search(r'(?:src|href)="(?!data:)', page)
    assert [item.name for item in path.parent.iterdir()] == ["index.html"]


def test_a_dataset_page_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"index\.html"):
        write_dataset_page(tmp_path / "file" / "index.html", title="x")


def test_a_page_on_a_full_disk_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Path.write_bytes

    def half(path: Path, data: bytes) -> None:
        write(path, data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(OutputError, match=r"index\.html: .*No space left"):
        write_page(tmp_path / "report" / "index.html", "<html></html>", option="--report")
    assert list((tmp_path / "report").iterdir()) == []
