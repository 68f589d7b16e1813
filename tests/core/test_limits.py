"""What is beyond a limit is refused before it costs memory or time, with number and limit."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lstmcli.core.errors import ConfigError, DataError, LstmcliError, MediaError
from lstmcli.core.limits import LIMITS, check_limit, limit
from lstmcli.core.yaml_text import parse_yaml
from lstmcli.labels.search import read_labels
from lstmcli.tracking import load_count_config
from lstmcli.video import probe, read_images
from lstmcli.video.images import image_size
from lstmcli.workflows.convert import convert


def test_an_error_names_value_limit_and_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        DataError, match=r"a\.json: 20,000,001 boxes .*more than 20,000,000"
    ) as caught:
        check_limit("boxes", 20_000_001, "a.json")
    assert caught.value.hint.endswith("LSTMCLI_LIMITS=boxes=20000001")
    monkeypatch.setenv("LSTMCLI_LIMITS", "frames=5e7, boxes=2e7")
    check_limit("frames", 50_000_000, "a.json")
    assert limit("pixels") == LIMITS["pixels"].most


@pytest.mark.parametrize("text", ["pixel=3", "pixels", "pixels=many", "pixels=1e999"])
def test_a_limit_that_cannot_be_read_is_told(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LSTMCLI_LIMITS", text)
    with pytest.raises(ConfigError, match="LSTMCLI_LIMITS"):
        limit("pixels")


def alias_bomb() -> str:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    return "\n".join(rows)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (alias_bomb(), "aliases in a YAML file, more than 100"),
        ("[" * 200, "levels of nesting, more than 50"),
        ("a: " + "{a: " * 200, "levels of nesting, more than 50"),
        ("- x\n" * 510_000, "bytes in a YAML file, more than 2,000,000"),
    ],
    ids=["aliases", "lists", "objects", "bytes"],
)
def test_yaml_that_would_fill_the_memory_is_refused_at_once(text: str, what: str) -> None:
    began = time.monotonic()
    with pytest.raises(ConfigError, match=what):
        parse_yaml(text, "a.yaml")
    assert time.monotonic() - began < 2


def test_yaml_of_usual_files_is_read() -> None:
    text = "base: &base {lr: 1e-3, on: off}\nown: {<<: *base, deep: [[[[1]]]]}"
    assert parse_yaml(text, "a.yaml")["own"] == {"lr": 0.001, "on": "off", "deep": [[[[1]]]]}


@pytest.mark.parametrize(
    ("lines", "problem"),
    [(1100, "1,100 lines and zones, more than 1,000"), (40_000, "bytes in a YAML file")],
)
def test_a_count_file_of_thousands_of_lines_is_refused_in_seconds(
    lines: int, problem: str, tmp_path: Path
) -> None:
    path = tmp_path / "lines.yaml"
    row = "  - {{name: l{n}, from: [0.1, 0.2], to: [0.3, 0.4]}}\n"
    path.write_text("lines:\n" + "".join(row.format(n=n) for n in range(lines)))
    began = time.monotonic()
    with pytest.raises(ConfigError, match=problem):
        load_count_config(path)
    assert time.monotonic() - began < 10


def test_a_small_file_with_a_huge_picture_is_not_decoded(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    Image.fromarray(np.zeros((16000, 16000), np.uint8)).save(path)
    assert path.stat().st_size < 500_000
    for read in (probe, image_size, lambda place: next(read_images([place]))):
        with pytest.raises(MediaError, match=r"16000x16000: 256,000,000 pixels"):
            read(path)


LABEL_STUDIO = """[{"data": {"video": "a.mp4"}, "annotations": [{"result": [{"type":
"videorectangle", "original_width": 100, "original_height": 100, "to_name": "video", "value":
{"framesCount": 9999999, "duration": 400000, "labels": ["a"], "sequence": [{"frame": 1, "enabled":
true, "rotation": 0, "x": 1, "y": 1, "width": 5, "height": 5, "time": 0.04}]}}]}]}]"""
CVAT = """<annotations><meta><task><id>1</id><size>9999999</size><mode>interpolation</mode>
<original_size><width>100</width><height>100</height></original_size><source>a.mp4</source>
</task></meta><track id="0" label="a">
<box frame="0" outside="0" xtl="1" ytl="1" xbr="5" ybr="5" occluded="0" keyframe="1"/>
<box frame="9999998" outside="0" xtl="1" ytl="1" xbr="5" ybr="5" occluded="0" keyframe="1"/>
</track></annotations>"""


@pytest.mark.parametrize(("name", "text"), [("a.json", LABEL_STUDIO), ("a.xml", CVAT)])
def test_a_track_is_not_held_for_ten_million_frames(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(LstmcliError, match=r"boxes interpolated .* more than 3,000,000"):
        read_labels(tmp_path / name)


@pytest.mark.parametrize("to", ["yolo", "coco"])
def test_millions_of_empty_frames_are_not_written_one_by_one(to: str, tmp_path: Path) -> None:
    few = LABEL_STUDIO.replace('{"frame": 1, "enabled":\ntrue', '{"frame": 1, "enabled": false')
    (tmp_path / "a.json").write_text(few)
    began = time.monotonic()
    with pytest.raises(DataError, match=r"9,999,999 frames, each of which would be written"):
        convert(tmp_path / "a.json", to, tmp_path / "out")
    assert time.monotonic() - began < 10
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_an_unreadable_label_file_in_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.json").symlink_to(tmp_path / "gone")
    with pytest.raises(DataError, match=r"a\.json: No such file"):
        read_labels(tmp_path)
