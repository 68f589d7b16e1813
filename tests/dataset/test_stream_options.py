"""Labels of other clocks and of several annotators are evaluated as `prepare` reads them."""

from __future__ import annotations

import json
from pathlib import Path

from conftest import MakeVideo
from PIL import Image

from lstmcli.dataset.stream import open_source


def task(annotator: str, x: float) -> dict[str, object]:
    value = {"x": x, "y": 10, "width": 20, "height": 20, "rectanglelabels": ["bee"]}
    return {
        "completed_by": annotator,
        "result": [
            {
                "type": "rectanglelabels",
                "to_name": "image",
                "original_width": 100,
                "original_height": 100,
                "value": value,
            }
        ],
    }


def write_tasks(folder: Path) -> Path:
    Image.new("RGB", (100, 100)).save(folder / "p.png")
    tasks = [{"data": {"image": "p.png"}, "annotations": [task("anna", 10), task("ben", 50)]}]
    path = folder / "tasks.json"
    path.write_text(json.dumps(tasks), encoding="utf-8")
    return path


def test_the_boxes_of_the_chosen_annotator_are_ground_truth(tmp_path: Path) -> None:
    path = write_tasks(tmp_path)
    for annotator, left in (("anna", 10), ("ben", 50)):
        source = open_source(path, split="val", annotator=annotator)
        (video,) = source.videos
        assert video.labels.boxes[:, 0].tolist() == [left]


def test_a_label_rate_places_frames_by_time(tmp_path: Path, make_video: MakeVideo) -> None:
    make_video(tmp_path / "a.mp4", 30, rate=30)
    tracks = "".join(
        f'<box frame="{n}" keyframe="1" outside="0" occluded="0" xtl="1" ytl="1" xbr="9" ybr="9"/>'
        for n in range(15)
    )
    path = tmp_path / "annotations.xml"
    path.write_text(
        "<annotations><version>1.1</version><meta><task><name>a.mp4</name><size>15</size>"
        "<start_frame>0</start_frame><stop_frame>14</stop_frame>"
        "<original_size><width>96</width><height>64</height></original_size>"
        "<source>a.mp4</source></task></meta>"
        f'<track id="0" label="bee">{tracks}</track></annotations>',
        encoding="utf-8",
    )
    film = open_source(path, split="val", label_rate="film")
    by_time = open_source(path, split="val", label_rate=15.0)
    assert film.videos[0].labels.annotated_frames.tolist() == list(range(15))
    assert by_time.videos[0].labels.annotated_frames.max() >= 27
