"""The same weights with memory, without, frozen and shuffled; the network is a fake."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from test_evaluate import CANVAS_HW, FakeNetwork, Listener, prepare_by_hand, write_coco

from lstmcli.core.errors import OutputError
from lstmcli.core.types import FloatArray, Picture
from lstmcli.report.crop import CROP_PX, crop_window
from lstmcli.workflows.ablate import CHOSEN_VARIANTS, ablate
from lstmcli.workflows.evaluate import EvaluateOptions
from lstmcli.workflows.evaluate.ablation_stream import FrozenRuntime


class Stateless(FakeNetwork):
    """Finds the box in every frame, and carries no state."""

    def step(
        self, frame: Picture, previous_frame: Picture, state: Any
    ) -> tuple[FloatArray, FloatArray, Any]:
        boxes, scores, _ = super().step(frame, previous_frame, 1)
        return boxes, scores, None


def made(folder: Path, **rest: Any) -> Path:
    folder.mkdir()
    return prepare_by_hand(folder, **rest)


def test_what_memory_recovers_is_measured_and_listed(tmp_path: Path) -> None:
    """The fake finds the box of 6 frames from its second frame with state on, so 5 with memory."""
    data = made(tmp_path / "set", videos=2)
    out = tmp_path / "ablation.json"
    done = ablate({"fake": FakeNetwork()}, {"set": data}, draws=50, json_file=out)
    rows = {row.name: row for row in done.table.domains["set"]}
    assert list(rows) == ["frame", "+memory", "+tracker", "+both", "frozen", "shuffled"]
    assert rows["frame"].values["recall"].value == 0.0
    assert rows["+memory"].values["recall"].value == pytest.approx(5 / 6)
    assert rows["+memory"].difference["recall"].low == pytest.approx(5 / 6)
    gain = done.gains["set"]["fake"]["network"]
    assert gain.by_condition["all"]["all"].gain.value == pytest.approx(5 / 6)
    assert [(one.video, one.first, one.last, one.frames) for one in gain.recovered] == [
        ("clip0", 1, 5, 5),
        ("clip1", 1, 5, 5),
    ]
    assert gain.lost == ()
    values = json.loads(out.read_text())
    assert values["memory_gain"]["set"]["fake"]["network"]["recovered_frames"] == 10
    assert "NaN" not in out.read_text()


def test_a_frozen_state_takes_up_no_more_frames() -> None:
    network = FakeNetwork()
    frozen, state = FrozenRuntime(network, warm_up=2), None
    frame = np.zeros((*CANVAS_HW, 3), np.uint8)
    for _ in range(5):
        state = frozen.step(frame, frame, state)[2]
    assert network.states == [0, 1, 2, 2, 2]


def test_a_network_without_state_runs_once_a_frame_for_all_but_the_shuffled(
    tmp_path: Path,
) -> None:
    network = Stateless()
    ablate({"fake": network}, {"set": prepare_by_hand(tmp_path)}, variants=CHOSEN_VARIANTS)
    # both readings of the first frame, one try whether there is a state, then once a frame
    assert len(network.states) == 2 + 1 + 5


def test_a_domain_whose_classes_a_model_does_not_know_counts_without_class(tmp_path: Path) -> None:
    data = {
        "known": made(tmp_path / "known"),
        "strange": made(tmp_path / "strange", classes=("fly", "moth")),
    }
    done = ablate({"fake": Stateless()}, data, variants=CHOSEN_VARIANTS, draws=20)
    strange = done.table.domains["strange"][0]
    assert strange.values["map50"].value == 0.0
    assert strange.values["map50_any_class"].value == pytest.approx(1.0)


def test_shuffled_frames_are_scored_against_their_own_ground_truth(tmp_path: Path) -> None:
    data = prepare_by_hand(tmp_path, annotated_frames=[3])
    listener = Listener()
    done = ablate({"fake": Stateless()}, {"set": data}, EvaluateOptions(limit=4), progress=listener)
    shuffled = next(row for row in done.table.domains["set"] if row.name == "shuffled")
    assert [result.frame for result in shuffled.comparison.results] == [3]
    assert listener.labels == [("clip0", 4)]


def test_an_ablation_does_not_replace_a_file(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    out.write_text("{}")
    with pytest.raises(OutputError):
        ablate({"fake": Stateless()}, {"set": tmp_path}, json_file=out)


def test_the_page_shows_what_only_memory_finds_as_pictures(
    tmp_path: Path, make_video: Callable[..., Path]
) -> None:
    """The fake finds the box of 6 frames from its second frame with state on; nothing is lost."""
    make_video(tmp_path / "clip.mp4", frames=6)
    data = write_coco(tmp_path / "labels.json")
    report = tmp_path / "report"
    ablate({"fake": FakeNetwork()}, {"set": data}, draws=20, report=report)
    page = (report / "index.html").read_text(encoding="utf-8")
    part = page.split("What memory is worth: network of fake")[1].split("<h3")[0]
    with_memory, without = part.split("Found only without memory")
    assert "All of them, each in the middle" in with_memory
    assert "clip, track 1, 0.04 to 0.20 s, score 0.90" in with_memory
    assert "None." in without
    (encoded,) = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', with_memory)
    assert "src=" not in without
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGB"))
    # the whole frame of 96x64 pixels, since it is smaller than the surroundings of the box
    assert picture.shape[:2] == (round(CROP_PX * 64 / 90), CROP_PX)
    green = (np.abs(picture.astype(int) - (0, 192, 139)).sum(axis=2) < 60).sum()
    assert green > 100, "the detection is drawn"


def test_pictures_that_cannot_be_made_leave_a_page_that_says_so(tmp_path: Path) -> None:
    listener = Listener()
    report = tmp_path / "report"
    data = prepare_by_hand(tmp_path)
    ablate({"fake": FakeNetwork()}, {"set": data}, draws=20, report=report, progress=listener)
    page = (report / "index.html").read_text(encoding="utf-8")
    assert "1, without pictures: their video cannot be read." in page
    assert any("no pictures of what memory recovers" in note for note in listener.notes)


@pytest.mark.parametrize(
    ("box", "window"),
    [
        ((100, 100, 110, 120), (73, 78, 137, 142)),  # 64 pixels at least
        ((100, 100, 200, 150), (0, 0, 300, 300)),  # three sides of it, moved into the frame
        ((0, 0, 4, 4), (0, 0, 64, 64)),
        ((500, 300, 640, 480), (100, 0, 640, 480)),  # as far as the frame goes
    ],
)
def test_a_crop_shows_the_surroundings_inside_the_frame(
    box: tuple[float, ...], window: tuple[int, ...]
) -> None:
    found = crop_window(np.array(box, np.float32), (480, 640))
    assert found == window
