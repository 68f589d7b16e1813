"""Situations from public reports, rebuilt in `../shared/data/cases`: each gives what it should.

A case is a folder with `cmd` and `expected`. `CHECKS` holds a function for each; it runs the
commands of the case in a copy and looks at what came out.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmcli.cli.app import main
from lstmcli.dataset.manifest import Dataset

pytestmark = pytest.mark.real


@dataclass
class Said:
    """What a command returned and printed; `text` is both streams in one line of small letters."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", f"{self.out} {self.err}").lower()


@dataclass
class Case:
    """A copy of a case, in which the process stands."""

    folder: Path
    capture: pytest.CaptureFixture[str]
    said: list[Said] = field(default_factory=list)

    def lstmcli(self, *arguments: str) -> Said:
        """Run one command in this process."""
        self.capture.readouterr()
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        code = stop.value.code
        printed = self.capture.readouterr()
        self.said.append(Said(code if isinstance(code, int) else 0, printed.out, printed.err))
        return self.said[-1]

    def run(self) -> Said:
        """Run every lstmcli command of `cmd` and return what the last one said."""
        for text in re.split(r";|&&", (self.folder / "cmd").read_text(encoding="utf-8")):
            words = shlex.split(text)
            if words[:1] == ["lstmcli"]:
                self.lstmcli(*words[1:])
        return self.said[-1]

    def done(self) -> Said:
        """Run the commands; all of them must succeed."""
        said = self.run()
        assert all(each.code == 0 for each in self.said), said.err
        return said

    def coco(self, name: str = "o.json") -> dict[str, Any]:
        return json.loads((self.folder / name).read_text(encoding="utf-8"))

    def boxes(self, frame: int, name: str = "o.json") -> list[list[float]]:
        """Return x1, y1, x2, y2 of the boxes of a frame of the only film."""
        top = self.coco(name)
        ids = {row["id"] for row in top["images"] if row.get("frame_id") == frame}
        found = [row["bbox"] for row in top["annotations"] if row["image_id"] in ids]
        return [[x, y, x + w, y + h] for x, y, w, h in found]

    def dataset(self, name: str = "dataset") -> Dataset:
        return Dataset.load(self.folder / name)

    def frames(self, name: str = "dataset") -> dict[int, int]:
        """Return how many counted boxes each annotated frame of all videos holds."""
        counts: dict[int, int] = {}
        for video in self.dataset(name).videos:
            for frame in video.labels.annotated_frames.tolist():
                found = video.labels.at(frame)
                assert found is not None
                counts[frame] = counts.get(frame, 0) + int((~found.ignore).sum())
        return counts

    def splits(self, name: str = "dataset") -> dict[str, int]:
        parts = [video.split for video in self.dataset(name).videos]
        return {part: parts.count(part) for part in ("train", "val", "test")}

    def count(self, name: str = "dataset") -> int:
        """Return how many boxes count."""
        return sum(int((~video.labels.ignore).sum()) for video in self.dataset(name).videos)

    def stills(self, name: str = "dataset") -> dict[str, list[list[float]]]:
        """Return the counted boxes of each picture by its name."""
        return {
            Path(video.name).name: video.labels.boxes[~video.labels.ignore].tolist()
            for video in self.dataset(name).videos
        }


Check = Callable[[Case], None]


def square(frame: int, side: float = 24) -> list[float]:
    """Where the red square of the cases lies in a frame: x1, y1, x2, y2."""
    x, y = (10 + 4 * frame) % 136, (20 + 2 * frame) % 96
    return [x, y, x + side, y + side]


def cvat_rotated(case: Case) -> None:
    case.done()
    assert case.boxes(3) == [[55, 15, 65, 95]]


def label_studio_rotated(case: Case) -> None:
    case.done()
    assert case.boxes(3) == [[40, 24, 64, 72]]


def yolo_polygons(case: Case) -> None:
    case.done()
    assert case.count() == 8


def yolo_polygons_split(case: Case) -> None:
    case.done()
    names = {Path(v.name).name: v.split for v in case.dataset().videos}
    assert (names["p6"], names["p7"], names["p2"]) == ("val", "val", "train")
    assert case.splits() == {"train": 6, "val": 2, "test": 0}


def duplicate_image_id(case: Case) -> None:
    said = case.run()
    assert said.code == 1
    assert "image id 1 is used twice" in said.text
    assert "p0.jpg" in said.text
    assert "p5.jpg" in said.text
    assert not (case.folder / "o.json").exists()


def duplicate_video_id(case: Case) -> None:
    said = case.run()
    assert said.code == 1
    assert "id 1 is used twice" in said.text
    assert ("a.mp4" in said.text and "b.mp4" in said.text) or "wasp" in said.text


def four_boxes(case: Case) -> None:
    case.done()
    assert case.count("ds") == 4


def wrong_size(case: Case) -> None:
    said = case.run()
    assert said.code == 1
    assert "320x240" in said.text
    assert "160x120" in said.text


def sizes_for_corners(case: Case) -> None:
    said = case.run()
    assert said.code == 1
    assert "of 4 boxes end before they begin" in said.text


def exif_shown(case: Case) -> None:
    case.done()
    assert np.allclose(case.stills("ds")["p0"], [[76, 10, 100, 34]], atol=0.1)


def cvat_polygon_track(case: Case) -> None:
    said = case.done()
    frames = case.frames()
    assert all(frames[n] == 1 for n in range(19))
    assert "polygon" in said.text


def label_studio_rate(case: Case) -> None:
    case.done()
    (train,) = (video for video in case.dataset().videos if video.split == "train")
    found = train.labels.at(30)
    assert found is not None
    assert np.allclose(found.boxes, [square(30)], atol=1.5)


def mot_ten_columns(case: Case) -> None:
    said = case.done()
    assert len(case.coco()["categories"]) == 2
    assert "class" in said.text


def mot_without_ids(case: Case) -> None:
    case.done()
    rows = case.coco()["annotations"]
    assert len(rows) == 20
    assert all("instance_id" not in row for row in rows)


def mot_float_frames(case: Case) -> None:
    case.done()
    assert len(case.coco()["annotations"]) == 20
    case.lstmcli("convert", "s", "--to", "coco", "--format", "mot", "--out", "p.json")
    assert case.said[-1].code == 0
    assert len(case.coco("p.json")["annotations"]) == 20


def six_rows(case: Case) -> None:
    case.done()
    assert len(case.coco()["annotations"]) == 6


def six_boxes(case: Case, name: str = "dataset") -> None:
    case.done()
    assert case.count(name) == 6


def polygons_prepared(case: Case) -> None:
    said = case.done()
    assert case.count("ds") == len(list(case.folder.glob("p*.json")))
    assert "polygon" in said.text


def windows_path(case: Case) -> None:
    case.done()
    assert len(case.dataset("ds").videos) == 4


def german_excel(case: Case) -> None:
    said = case.done()
    assert "decimal commas" in said.text
    assert case.coco()["annotations"][0]["bbox"] == [10.5, 20.25, 23.5, 24.5]


def own_division(case: Case) -> None:
    said = case.done()
    name = "dataset" if (case.folder / "dataset").exists() else "ds"
    assert case.splits(name) == {"train": 6, "val": 2, "test": 2}
    assert "19c" in case.folder.name or "the set's own: train" in said.text


def class_beyond_names(case: Case) -> None:
    said = case.run()
    assert said.code == 1
    assert re.search(r"\.txt, line \d+: class 2", said.text)


def names_as_written(case: Case) -> None:
    case.done()
    assert case.dataset().classes == ("no", "yes", "1", "None")


def names_with_text_keys(case: Case) -> None:
    case.done()
    assert case.dataset().classes == ("bee", "wasp")


def odd_lines(case: Case) -> None:
    said = case.run()
    assert said.code == 1
    assert re.search(r"p\d\.txt, line 1", said.text)


def mostly_background(case: Case) -> None:
    said = case.done()
    assert case.count() == 1
    assert sum(len(video.frames) for video in case.dataset().videos) == 8
    assert [v.split for v in case.dataset().videos if len(v.labels.boxes)] == ["train"]
    assert "without boxes to train on" not in said.text


def clear_error(case: Case) -> None:
    said = case.run()
    assert said.code == 1
    assert "error:" in said.text
    assert "traceback" not in said.text


def picture_gone(case: Case) -> None:
    said = case.done()
    assert case.count() == 5
    assert "a label file whose image is not there" in said.text


def beyond_the_end(case: Case) -> None:
    said = case.run()
    assert said.code == 1
    assert re.search(r"\b4[45]\b", said.text)
    assert re.search(r"\b(40|39)\b", said.text)


def brackets(case: Case) -> None:
    case.done()
    assert case.count("out [2]") == case.count("o2") == 6


def text_of_another_code(case: Case) -> None:
    said = case.run()
    assert said.code == 1
    assert "save the file as utf-8" in said.text
    assert "classes.txt" in said.text


def without_boxes_to_train(case: Case) -> None:
    case.lstmcli("prepare", "data.yaml", "--out", "d1")
    assert [v.split for v in case.dataset("d1").videos if len(v.labels.boxes)] == ["train"]


def bdd_without_category(case: Case) -> None:
    said = case.run()
    assert said.code == 1
    assert "bdd.json[" in said.text


def deepstream(case: Case) -> None:
    said = case.done()
    top = case.coco()
    assert [row["name"] for row in top["categories"]] == ["car"]
    assert len(top["annotations"]) == 6
    assert {row["instance_id"] for row in top["annotations"]} == {3, 4}
    assert "track id" in said.text


def coco_odd_boxes(case: Case) -> None:
    said = case.done()
    assert case.dataset().classes == ("bee",)
    boxes = case.stills()
    assert len(boxes["p2"]) == 1
    assert len(boxes["p5"]) == 1
    assert "not listed" not in said.text
    assert "without area" in said.text
    assert "outside the picture" in said.text


def coco_crowd(case: Case) -> None:
    said = case.done()
    assert sum(int(video.labels.ignore.sum()) for video in case.dataset().videos) == 1
    assert "not listed" in said.text


def label_studio_wild(case: Case) -> None:
    said = case.done()
    boxes = case.stills()
    assert len(boxes) == 4
    assert all(len(found) == 1 for found in boxes.values())
    assert "--annotator" in said.text
    case.lstmcli("prepare", "ls.json", "--media", "media", "--annotator", "nobody", "--out", "none")
    assert case.said[-1].code == 1


def vott_seconds(case: Case) -> None:
    case.done()
    found = sorted(n for n, count in case.frames().items() if count)
    assert found == [0, 10, 20, 40, 50]


def linked_set(case: Case) -> None:
    case.done()
    assert case.count("o1") == case.count("o2") == 6


def beside_images(case: Case) -> None:
    case.lstmcli("prepare", ".", "--out", "x94")
    assert case.said[-1].code == 0
    assert len(case.dataset("x94").videos) == 6


def asf(case: Case) -> None:
    case.lstmcli("prepare", "annotations.xml", "--split-time", "0.6", "--gap", "0")
    assert case.said[-1].code == 0, case.said[-1].err
    assert sum(case.frames().values()) == 20


def names_differ(case: Case) -> None:
    said = case.done()
    assert "nc is 3, but names lists 1" in said.text


CHECKS: dict[str, Check] = {
    "01-cvat-rotated-90": cvat_rotated,
    "02b-labelstudio-video-rotated": label_studio_rotated,
    "03-yolo-polygons-mixed": yolo_polygons,
    "03b-yolo-polygons-split": yolo_polygons_split,
    "05-coco-duplicate-image-id": duplicate_image_id,
    "05c-coco-video-category-ids": duplicate_video_id,
    "06-voc-size-zero": four_boxes,
    "07-voc-wrong-size": wrong_size,
    "08-voc-width-as-xmax": sizes_for_corners,
    "09b-exif-yolo-shown": exif_shown,
    "10-cvat-polygon-track": cvat_polygon_track,
    "101-csv-names-without-ending": six_boxes,
    "102-coco-text-ids": six_rows,
    "107-nc-names-differ": names_differ,
    "11-ls-video-other-rate": label_studio_rate,
    "12-mot-10-columns-classes": mot_ten_columns,
    "13-mot-no-ids": mot_without_ids,
    "14-mot-float-frames": mot_float_frames,
    "15-labelme-capital-Rectangle": six_rows,
    "15b-labelme-all-polygons": polygons_prepared,
    "16-labelme-windows-path": windows_path,
    "17-coco-backslash": six_boxes,
    "18-csv-german-excel": german_excel,
    "19-roboflow-split": own_division,
    "19b-roboflow-split-yaml": own_division,
    "19c-roboflow-val-given": own_division,
    "21-yolo-classes-from-1": class_beyond_names,
    "22-yaml-names-no-yes": names_as_written,
    "23-yaml-names-string-keys": names_with_text_keys,
    "24-yolo-odd-lines": odd_lines,
    "54-mostly-background": mostly_background,
    "55-all-background": clear_error,
    "56-one-image": clear_error,
    "57-label-without-picture": picture_gone,
    "60-labels-beyond-end": beyond_the_end,
    "61b-brackets-dataset": brackets,
    "67-gbk-classes": text_of_another_code,
    "67b-cp1252": text_of_another_code,
    "72-train-without-boxes": without_boxes_to_train,
    "75-bdd-no-category": bdd_without_category,
    "76-kitti-deepstream-tracks": deepstream,
    "78-coco-odd-boxes": coco_odd_boxes,
    "79-coco-crowd-rle": coco_crowd,
    "80-labelstudio-wild": label_studio_wild,
    "81-vott-seconds-vfr": vott_seconds,
    "90-symlinked-set": linked_set,
    "94-labels-beside-images": beside_images,
    "95-images-symlink": six_boxes,
    "97-yolo-pose-no-kpt-shape": six_boxes,
    "98-asf-labels": asf,
}


def copy_of(source: Path, target: Path) -> None:
    """Copy a case; a tiny file that holds only the path of a folder beside it becomes a link."""
    shutil.copytree(source, target)
    target.chmod(0o755)
    for path in sorted(target.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
        if path.is_file() and 0 < path.stat().st_size < 60 and not path.suffix:
            text = path.read_text(encoding="utf-8", errors="replace")
            if text.startswith("../") and (path.parent / text).is_dir():
                path.unlink()
                path.symlink_to(text)


@pytest.mark.parametrize("name", CHECKS)
def test_a_case_gives_what_it_should(
    name: str,
    shared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = shared / "data" / "cases" / name
    copy_of(source, tmp_path / name)
    monkeypatch.chdir(tmp_path / name)
    monkeypatch.setenv("COLUMNS", "200")
    CHECKS[name](Case(tmp_path / name, capsys))
    left = [path.name for path in Path().iterdir() if path.name.startswith(".")]
    assert not left, "nothing hidden is left behind"
