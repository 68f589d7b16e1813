"""Random sets through every pair of a writer and its reader, and from each format to each other.

`held` says what a format can hold; what it cannot must be counted in the writer's warnings.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections import defaultdict
from dataclasses import dataclass, replace
from itertools import pairwise
from math import gcd
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from label_files import WRITE

from lstmcli.core.errors import DataError
from lstmcli.core.types import LabelSet, VideoLabels
from lstmcli.labels.search import read_labels
from lstmcli.labels.warning_collector import WarningCollector
from lstmcli.labels.writers import LABEL_WRITERS

SIZE_HW = (48, 64)
WRITERS = sorted(LABEL_WRITERS)
Row = tuple[int, str, bool, tuple[float, ...]]
"""frame, class, ignore, box."""


@dataclass(frozen=True)
class Held:
    """A video as a format holds it.

    Args:
        split: its part.
        annotated: frames.
        rows: sorted.
        tracks: for each row, the rows of its track (alone: no track).
    """

    split: str | None
    annotated: frozenset[int]
    rows: tuple[Row, ...]
    tracks: frozenset[frozenset[Row]]


@st.composite
def label_sets(draw: st.DrawFn) -> LabelSet:
    """Films and stills of 64x48 pixels, divided or not, with tracks, regions and empty frames."""
    classes = draw(st.lists(st.text("abcäß é1", min_size=1, max_size=5), min_size=1, max_size=3))
    classes = list(dict.fromkeys(name.strip() or "x" for name in classes))
    count = draw(st.integers(2, 4))
    parts: list[str | None] = [None] * count
    if draw(st.booleans()):
        parts = ["train", *draw(st.sampled_from(["val test", "test val", "val train"])).split()]
        parts = [parts[n % 3] for n in range(count)]
    sides = st.floats(0, 1, width=32)
    videos = []
    for n in range(count):
        still = draw(st.booleans())
        frames = 1 if still else draw(st.integers(2, 7))
        rows: dict[tuple[int, int, float], tuple[object, ...]] = {}
        for _ in range(draw(st.integers(1, 8))):
            x, y = round(draw(sides) * 50, 2), round(draw(sides) * 40, 2)
            # hundredths of a pixel, as every format writes them: equal text is a repeated box
            right, bottom = x + 1 + draw(sides) * 10, y + 1 + draw(sides) * 6
            box = (x, y, round(right, 2), round(bottom, 2))
            frame, track = (
                draw(st.integers(0, frames - 1)),
                -1 if still else draw(st.integers(-1, 4)),
            )
            label = draw(st.integers(0, len(classes) - 1))
            rows[frame, track if track >= 0 else 9 + len(rows), 0] = (
                frame,
                box,
                label,
                track,
                draw(st.booleans()),
            )
        listed = sorted(rows.values(), key=lambda row: row[0])  # type: ignore[arg-type, return-value]
        listed[0] = (*listed[0][:4], False)
        listed = list({row[:3]: row for row in listed}.values())  # a box written again is kept once
        some = draw(st.sets(st.integers(0, frames - 1)))
        videos.append(_video(n, listed, frames, some, still=still, split=parts[n]))
    return LabelSet(tuple(classes), tuple(videos))


def _video(
    n: int,
    rows: list[tuple[object, ...]],
    frames: int,
    some: set[int],
    *,
    still: bool,
    split: str | None,
) -> VideoLabels:
    box_frames = np.array([row[0] for row in rows], np.int64)
    return VideoLabels(
        name=f"pics/p {n}" if still else f"clips/a film {n}",
        media=None if still else f"clips/a film {n}.mp4",
        images=(f"pics/p {n}.jpg",) if still else (),
        annotated_frames=np.array(sorted({*box_frames.tolist(), *some}), np.int64),
        box_frames=box_frames,
        boxes=np.array([row[1] for row in rows], np.float32).reshape(-1, 4),
        labels=np.array([row[2] for row in rows], np.int64),
        tracks=np.array([row[3] for row in rows], np.int64),
        ignore=np.array([row[4] for row in rows], np.bool_),
        size_hw=SIZE_HW,
        rate=None if still else 25.0,
        frame_count=1 if still else frames,
        split=split,
    )


def canonical(labels: LabelSet) -> dict[str, Held]:
    """Return the videos by the last part of their names."""
    found = {}
    for video in labels.videos:
        groups: dict[tuple[int, int], list[Row]] = defaultdict(list)
        rows: list[Row] = []
        for n in range(len(video.boxes)):
            box = tuple(round(float(side), 1) for side in video.boxes[n])
            name = labels.classes[int(video.labels[n])]
            row = (int(video.box_frames[n]), name, bool(video.ignore[n]), box)
            rows.append(row)
            track = int(video.tracks[n])
            groups[(track, int(video.labels[n])) if track >= 0 else (-1, n)].append(row)
        annotated = frozenset(video.annotated_frames.tolist())
        tracks = frozenset(frozenset(group) for group in groups.values())
        found[video.name.rpartition("/")[2]] = Held(
            video.split, annotated, tuple(sorted(rows)), tracks
        )
    return found


def alone(rows: tuple[Row, ...]) -> frozenset[frozenset[Row]]:
    return frozenset(frozenset([row]) for row in rows)


def without_regions(held: Held) -> Held:
    rows = tuple(row for row in held.rows if not row[2])
    tracks = frozenset(
        group for whole in held.tracks if (group := frozenset(row for row in whole if not row[2]))
    )
    return replace(held, rows=rows, tracks=tracks)


def held(name: str, labels: dict[str, Held]) -> dict[str, Held]:
    """Return what a format holds of a set; lengths of films are those of `frame_count`."""
    kept = {}
    for key, video in labels.items():
        still = key.startswith("p ")
        regions_alone = {row[0] for row in video.rows} - {r[0] for r in video.rows if not r[2]}
        if name == "coco":
            kept[key] = video
        elif name == "mot":
            kept[key] = video  # unannotated frames: see `same`
        elif name == "yolo":
            bare = without_regions(video)
            kept[key] = replace(
                bare, annotated=video.annotated - regions_alone, tracks=alone(bare.rows)
            )
        elif not (still and regions_alone):
            bare = without_regions(video)
            kept[key] = interpolated(bare) if name == "label_studio" else bare
    return kept


def interpolated(held: Held) -> Held:
    """Return what Label Studio shows where every second or nth frame is annotated: no gaps.

    A track is interpolated where it has a box in both of two such frames, and nowhere else.
    """
    frames = sorted(held.annotated)
    step = gcd(*(later - earlier for earlier, later in pairwise(frames)))
    if step < 2:
        return held
    groups = []
    for group in held.tracks:
        rows = sorted(group)
        for first, second in pairwise(sorted(group)):
            if second[0] - first[0] == step:
                for n in range(1, step):
                    share = n / step
                    box = tuple(
                        round((1 - share) * a + share * b, 1)
                        for a, b in zip(first[3], second[3], strict=True)
                    )
                    rows.append((first[0] + n, first[1], first[2], box))
        groups.append(frozenset(rows))
    every = tuple(sorted(row for group in groups for row in group))
    return replace(held, rows=every, tracks=frozenset(groups))


FILLS = {"mot", "cvat", "label_studio"}
"""Formats that show unannotated frames of a film as empty, or interpolate; warnings count them."""


def same(found: dict[str, Held], wanted: dict[str, Held], *, fills: bool) -> None:
    assert sorted(found) == sorted(wanted)
    for key, want in wanted.items():
        got = found[key]
        assert got.split == want.split
        assert [row[:3] for row in got.rows] == [row[:3] for row in want.rows]
        boxes = [np.array([row[3] for row in video.rows]).reshape(-1, 4) for video in (got, want)]
        np.testing.assert_allclose(*boxes, atol=0.11)
        assert sorted(map(len, got.tracks)) == sorted(map(len, want.tracks))
        if fills:
            assert got.annotated >= want.annotated
        else:
            assert got.annotated == want.annotated


def written(labels: LabelSet, to: str, folder: Path) -> tuple[Path, WarningCollector]:
    folder.mkdir()
    out = folder if LABEL_WRITERS[to].FOLDER else folder / "labels.json"
    warnings = WarningCollector()
    LABEL_WRITERS[to].write(labels, out, warnings)
    return out, warnings


def read_back(out: Path, name: str) -> LabelSet:
    """Read what a writer wrote; YOLO needs the size of pictures that are not there."""
    return read_labels(out, size_hw=SIZE_HW if name == "yolo" else None)


SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]


@pytest.mark.parametrize("to", WRITERS)
@settings(max_examples=25, deadline=None, suppress_health_check=SLOW)
@given(labels=label_sets())
def test_a_format_keeps_what_it_can_hold_and_counts_the_rest(to: str, labels: LabelSet) -> None:
    with tempfile.TemporaryDirectory() as name:
        out, warnings = written(labels, to, Path(name) / "out")
        again = read_back(out, to)
    before = canonical(labels)
    same(canonical(again), held(to, before), fills=to in FILLS)
    unused = set(labels.classes) - {r[1] for v in held(to, before).values() for r in v.rows}
    assert set(again.classes) == set(labels.classes) - (unused if to == "label_studio" else set())
    said = {warning.text: warning.count for warning in warnings.collected()}
    ignored = sum(int(video.ignore.sum()) for video in labels.videos)
    tracked = sum(int((video.tracks >= 0).sum()) for video in labels.videos)
    counts = {text.partition(";")[0]: count for text, count in said.items()}
    if to == "label_studio":
        assert counts.get("a class without boxes", 0) == len(unused)
    if to not in {"coco", "mot"}:
        assert counts.get("an ignored region", 0) == ignored
    if to == "yolo":
        assert counts.get("a track of a box", 0) == tracked
    if to in FILLS:
        empty = sum(
            len(canonical(again)[key].annotated - v.annotated)
            for key, v in before.items()
            if key in canonical(again)
        )
        stated = [text for text in counts if "annotat" in text and "frame" in text]
        assert bool(stated) or not empty
    if to == "coco":
        assert not said


@pytest.mark.parametrize("second", WRITERS)
@pytest.mark.parametrize("first", WRITERS)
@settings(max_examples=4, deadline=None, suppress_health_check=SLOW)
@given(labels=label_sets())
def test_labels_go_from_each_format_to_each_other(
    first: str, second: str, labels: LabelSet
) -> None:
    with tempfile.TemporaryDirectory() as name:
        once = read_back(written(labels, first, Path(name) / "once")[0], first)
        again = read_back(written(once, second, Path(name) / "again")[0], second)
    wanted = held(second, canonical(once))
    same(canonical(again), wanted, fills=second in FILLS)


@settings(max_examples=40, deadline=None)
@given(
    uses=st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from(["a.jpg", "b.jpg", "c.jpg"])),
        min_size=1,
        max_size=5,
    ),
    forms=st.lists(st.sampled_from([int, str, float]), min_size=5, max_size=5),
)
def test_image_ids_of_any_form_stand_for_one_image(
    uses: list[tuple[int, str]], forms: list[type]
) -> None:
    """An id used again for another image is an error; equal ids in any form are one."""
    images = [
        {"id": form(number), "file_name": name}
        for (number, name), form in zip(uses, forms, strict=False)
    ]
    rows = [
        {"id": n, "image_id": float(number), "category_id": "1", "bbox": [5 + n, 5, 9, 9]}
        for n, (number, _) in enumerate(uses)
    ]
    top = {"images": images, "categories": [{"id": 1, "name": "x"}], "annotations": rows}
    meaning: dict[int, str] = {}
    clash = any(meaning.setdefault(number, name) != name for number, name in uses)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.json"
        path.write_text(json.dumps(top), encoding="utf-8")
        if clash:
            with pytest.raises(DataError, match="used twice"):
                read_labels(path)
            return
        labels = read_labels(path)
    found = {video.images[0]: len(video.boxes) for video in labels.videos}
    wanted: dict[str, int] = defaultdict(int)
    for number, _ in uses:
        wanted[meaning[number]] += 1
    assert found == wanted


def _corners(cx: float, cy: float, w: float, h: float, degrees: float) -> tuple[float, ...]:
    """Return the hull of a box turned clockwise about its centre, by its corners."""
    turn = math.radians(degrees)
    x = [a * w / 2 * math.cos(turn) - b * h / 2 * math.sin(turn) for a in (1, -1) for b in (1, -1)]
    y = [a * w / 2 * math.sin(turn) + b * h / 2 * math.cos(turn) for a in (1, -1) for b in (1, -1)]
    return cx + min(x), cy + min(y), cx + max(x), cy + max(y)


def _turned(name: str, cx: float, cy: float, w: float, h: float, degrees: float) -> tuple[str, str]:
    """Return a file of a format with one turned box of a picture of 640x360."""
    left, top, right, lower = cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2
    if name == "cvat":
        file, text = WRITE["cvat"]([(left, top, right, lower)])
        return file, text.replace("/></image>", f' rotation="{degrees}"/></image>')
    if name == "datumaro":
        file, text = WRITE["datumaro"]([(left, top, right, lower)])
        return file, text.replace('"type"', f'"attributes": {{"rotation": {degrees}}}, "type"')
    if name == "voc":
        item = (
            f"<robndbox><cx>{cx}</cx><cy>{cy}</cy><w>{w}</w><h>{h}</h>"
            f"<angle>{math.radians(degrees)}</angle></robndbox>"
        )
        size = "<size><width>640</width><height>360</height></size>"
        whole = f"<object><name>bee</name>{item}</object>"
        return "p.xml", f"<annotation><filename>p.jpg</filename>{size}{whole}</annotation>"
    if name == "openlabel":
        row = {"name": "r", "val": [cx, cy, w, h, math.radians(degrees)]}
        item = {"name": "x", "type": "bee", "object_data": {"rbbox": [row]}}
        return "a.json", json.dumps({"openlabel": {"metadata": {}, "objects": {"1": item}}})
    turn = math.radians(degrees)  # Label Studio turns about the upper left corner
    x = cx - w / 2 * math.cos(turn) + h / 2 * math.sin(turn)
    y = cy - w / 2 * math.sin(turn) - h / 2 * math.cos(turn)
    value = {"x": x / 6.4, "y": y / 3.6, "width": w / 6.4, "height": h / 3.6}
    value |= {"rotation": degrees, "rectanglelabels": ["bee"]}
    result = {"type": "rectanglelabels", "original_width": 640, "original_height": 360}
    task = {"data": {"image": "p.jpg"}, "annotations": [{"result": [result | {"value": value}]}]}
    return "a.json", json.dumps([task])


@pytest.mark.parametrize("name", ["cvat", "datumaro", "label_studio", "openlabel", "voc"])
@settings(max_examples=20, deadline=None)
@given(
    centre=st.tuples(st.floats(200, 400), st.floats(120, 240)),
    sides=st.tuples(st.floats(5, 100), st.floats(5, 100)),
    degrees=st.floats(-360, 360),
)
def test_a_turned_box_gives_its_hull_in_every_format_that_has_them(
    name: str, centre: tuple[float, float], sides: tuple[float, float], degrees: float
) -> None:
    file, text = _turned(name, *centre, *sides, degrees)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / file).write_text(text, encoding="utf-8")
        (video,) = read_labels(Path(folder)).videos
    np.testing.assert_allclose(video.boxes, [_corners(*centre, *sides, degrees)], atol=0.02)
