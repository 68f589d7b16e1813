"""Annotated video through a model and counted; the network is a fake whose answers are known."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmcli.core.boxes import Letterbox
from lstmcli.core.errors import ConfigError, DataError, OutputError
from lstmcli.core.metadata import ModelMetadata
from lstmcli.core.types import FloatArray, Picture, VideoLabels
from lstmcli.dataset.frame_store import FrameStoreWriter
from lstmcli.dataset.manifest import Dataset, PreparedVideo
from lstmcli.inference.predictor import Predictor
from lstmcli.workflows.evaluate import EvaluateOptions, Evaluation, UnwrittenEvaluation
from lstmcli.workflows.evaluate import evaluate as evaluate_pipeline

SIZE_HW = (64, 96)
CANVAS_HW = (32, 48)
BOX = (10.0, 20.0, 40.0, 50.0)


def evaluate(
    model: Any, data: Path, options: EvaluateOptions | None = None, **rest: Any
) -> Evaluation:
    """Score the network's own detections; what the pipeline adds has tests of its own."""
    return evaluate_pipeline(
        model, data, replace(options or EvaluateOptions(), frames_alone=True), **rest
    )


class FakeNetwork:
    """Finds the box from the second frame since the state was empty on, and notes what it saw."""

    metadata = ModelMetadata(("bird", "drone"), CANVAS_HW, nms_iou=0.6)
    engine = "fake"
    device = "cpu"

    def __init__(self, scores: tuple[float, float] = (0.9, 0.4)) -> None:
        self.answer = scores
        self.states: list[int] = []
        self.levels: list[int] = []

    def step(
        self, frame: Picture, previous_frame: Picture, state: Any
    ) -> tuple[FloatArray, FloatArray, Any]:
        assert frame.shape == (*CANVAS_HW, 3)
        seen = state or 0
        self.states.append(seen)
        self.levels.append(int(frame.mean()))
        boxes = Letterbox(SIZE_HW, CANVAS_HW).to_canvas(np.array([BOX], np.float32))
        scores = np.array([self.answer if seen else (0.0, 0.0)], np.float32)
        return boxes, scores, seen + 1


class Listener:
    """Keeps the states."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.labels: list[tuple[str, int | None]] = []

    def track(self, items: Any, *, total: int | None = None, label: str = "") -> Any:
        self.labels.append((label, total))
        yield from items

    def note(self, text: str) -> None:
        self.notes.append(text)


def labels_of(
    frames: int, *, annotated_frames: list[int] | None = None, label: int = 0, name: str = "clip"
) -> VideoLabels:
    annotated = list(range(frames)) if annotated_frames is None else annotated_frames
    n = len(annotated)
    return VideoLabels(
        name=name,
        media="clip.mp4",
        annotated_frames=np.array(annotated, np.int64),
        box_frames=np.array(annotated, np.int64),
        boxes=np.tile(np.array([BOX], np.float32), (n, 1)),
        labels=np.full(n, label, np.int64),
        tracks=np.zeros(n, np.int64),
        ignore=np.zeros(n, np.bool_),
        size_hw=SIZE_HW,
        rate=25.0,
        frame_count=frames,
    )


def prepare_by_hand(
    folder: Path,
    *,
    videos: int = 1,
    classes: tuple[str, ...] = ("bird", "drone"),
    canvas_hw: tuple[int, int] = CANVAS_HW,
    annotated_frames: list[int] | None = None,
    path: str = "clip.mp4",
) -> Path:
    prepared = []
    for place in range(videos):
        store = f"{place}.frames"
        with FrameStoreWriter(folder / store, form="raw", canvas_hw=canvas_hw) as writer:
            for frame in range(6):
                writer.add(np.full((*canvas_hw, 3), 20 + 40 * frame, np.uint8))
        prepared.append(
            PreparedVideo(
                name=f"clip{place}",
                split="val",
                path=path,
                size_hw=SIZE_HW,
                rate=25.0,
                frames=np.arange(6),
                times=np.arange(6) / 25,
                store=store,
                labels=labels_of(6, annotated_frames=annotated_frames, name=f"clip{place}"),
            )
        )
    Dataset(folder, classes, canvas_hw, 8, 32, 1, tuple(prepared)).save()
    return folder


def write_coco(path: Path, *, video: str = "clip.mp4", frames: int = 6, name: str = "bird") -> Path:
    x1, y1, x2, y2 = BOX
    images = [
        {
            "id": frame + 1,
            "video_id": 1,
            "frame_id": frame,
            "width": SIZE_HW[1],
            "height": SIZE_HW[0],
            "file_name": f"{frame}.jpg",
        }
        for frame in range(frames)
    ]
    boxes = [
        {
            "id": frame + 1,
            "image_id": frame + 1,
            "video_id": 1,
            "category_id": 1,
            "instance_id": 1,
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": (x2 - x1) * (y2 - y1),
            "iscrowd": 0,
        }
        for frame in range(frames)
    ]
    values = {
        "videos": [{"id": 1, "name": Path(video).stem, "file_name": video}],
        "images": images,
        "annotations": boxes,
        "categories": [{"id": 1, "name": name}],
    }
    path.write_text(json.dumps(values))
    return path


def test_a_prepared_split_is_streamed_in_order_with_its_state(tmp_path: Path) -> None:
    """Two videos of 6 frames: the first of each is missed, 10 of 12 are found."""
    network = FakeNetwork()
    done = evaluate(network, prepare_by_hand(tmp_path, videos=2))
    assert network.states == [0, 1, 2, 3, 4, 5] * 2, "a video begins with an empty state"
    assert (done.scores.videos, done.scores.frames, done.scores.boxes) == (2, 12, 12)
    assert done.scores.recall == pytest.approx(10 / 12)
    assert done.scores.precision == 1.0
    assert done.scores.parts["stability"]["delay_frames"] == 1
    # right up to recall 10/12: 84 of the 101 recalls
    assert done.scores.map50 == pytest.approx(84 / 101)


def test_without_memory_the_state_is_empty_at_every_frame(tmp_path: Path) -> None:
    network = FakeNetwork()
    done = evaluate(network, prepare_by_hand(tmp_path), EvaluateOptions(memory=False))
    assert network.states == [0] * 6
    assert done.scores.recall == 0.0
    assert done.as_json()["memory"] is False


def test_an_unannotated_frame_is_processed_but_not_scored(tmp_path: Path) -> None:
    network = FakeNetwork()
    done = evaluate(network, prepare_by_hand(tmp_path, annotated_frames=[3, 4]))
    assert len(network.states) == 6
    assert (done.scores.frames, done.scores.recall, done.scores.f1) == (2, 1.0, 1.0)


def test_the_second_class_of_a_box_counts_for_average_precision_only(tmp_path: Path) -> None:
    """Each box is answered as bird 0.9 and drone 0.4; a person is shown the bird."""
    done = evaluate(FakeNetwork(), prepare_by_hand(tmp_path), EvaluateOptions(threshold=0.3))
    assert done.scores.precision == 1.0
    swapped = evaluate(
        FakeNetwork((0.4, 0.9)), prepare_by_hand(tmp_path), EvaluateOptions(threshold=0.3)
    )
    assert swapped.scores.precision == 0.0
    assert swapped.scores.map50 == pytest.approx(done.scores.map50 or 0)
    assert swapped.scores.map50_any_class == pytest.approx(84 / 101)


class ConfusedNetwork(FakeNetwork):
    """Answers with heaps of overlapping boxes of doubtful class."""

    def __init__(self) -> None:
        super().__init__()
        self.random = np.random.default_rng(1)

    def step(
        self, frame: Picture, previous_frame: Picture, state: Any
    ) -> tuple[FloatArray, FloatArray, Any]:
        boxes = np.repeat(self.random.uniform((0, 0, 24, 16), (20, 12, 44, 30), (4, 4)), 8, axis=0)
        scores = self.random.uniform(0, 1, (32, 2))
        return (
            (boxes + self.random.normal(0, 1.5, boxes.shape)).astype(np.float32),
            scores.astype(np.float32),
            None,
        )


def test_shown_detections_are_those_of_detect(tmp_path: Path) -> None:
    done = evaluate(ConfusedNetwork(), prepare_by_hand(tmp_path), EvaluateOptions(threshold=0.4))
    predictor = Predictor(ConfusedNetwork(), threshold=0.4)
    predictor.start(SIZE_HW)
    canvas = np.zeros((*CANVAS_HW, 3), np.uint8)
    shown = sum(len(predictor.step(canvas, frame / 25)) for frame in range(6))
    counted = sum(row["detections"] for row in done.as_json()["per_class"].values())
    assert counted == shown > 6


def test_a_source_that_prepare_reads_is_evaluated_whole(
    tmp_path: Path, make_video: Callable[..., Path]
) -> None:
    make_video(tmp_path / "clip.mp4", frames=6, size_hw=SIZE_HW)
    network = FakeNetwork()
    done = evaluate(network, write_coco(tmp_path / "labels.json"))
    assert (done.split, done.scores.frames, done.scores.recall) == ("all", 6, 5 / 6)
    assert network.levels == pytest.approx([20, 60, 100, 140, 180, 220], abs=5)


def test_a_dataset_of_another_canvas_is_read_from_its_videos(
    tmp_path: Path, make_video: Callable[..., Path]
) -> None:
    video = make_video(tmp_path / "clip.mp4", frames=6, size_hw=SIZE_HW)
    data = prepare_by_hand(tmp_path, canvas_hw=(64, 64), path=str(video))
    assert evaluate(FakeNetwork(), data).scores.recall == pytest.approx(5 / 6)


def test_a_dataset_of_another_canvas_without_its_videos_is_an_error(tmp_path: Path) -> None:
    data = prepare_by_hand(tmp_path, canvas_hw=(64, 64), path="gone.mp4")
    with pytest.raises(DataError, match="64x64") as caught:
        evaluate(FakeNetwork(), data)
    assert "--size 48,32" in caught.value.hint


def test_labels_beyond_the_end_of_a_video_are_reported(
    tmp_path: Path, make_video: Callable[..., Path]
) -> None:
    make_video(tmp_path / "clip.mp4", frames=4, size_hw=SIZE_HW)
    listener = Listener()
    done = evaluate(FakeNetwork(), write_coco(tmp_path / "labels.json"), progress=listener)
    assert done.scores.frames == 4
    assert "2 annotated frames are not in their videos; not counted" in listener.notes


def test_labels_of_another_size_than_the_video_are_an_error(
    tmp_path: Path, make_video: Callable[..., Path]
) -> None:
    make_video(tmp_path / "clip.mp4", frames=4, size_hw=(32, 48))
    with pytest.raises(DataError, match="96x64 pixels, the frames have 48x32"):
        evaluate(FakeNetwork(), write_coco(tmp_path / "labels.json"))


def test_classes_are_joined_by_their_names(tmp_path: Path) -> None:
    """The data's first class is the model's second; its other class nobody can find."""
    listener = Listener()
    data = prepare_by_hand(tmp_path, classes=("drone", "kite"))
    done = evaluate(FakeNetwork((0.1, 0.9)), data, progress=listener)
    assert done.classes == ("bird", "drone", "kite")
    assert done.scores.recall == pytest.approx(5 / 6)
    assert "the model has no class kite; such boxes are counted as missed" in listener.notes


def test_classes_that_the_data_does_not_label_are_not_scored(tmp_path: Path) -> None:
    listener = Listener()
    done = evaluate(
        FakeNetwork((0.4, 0.9)), prepare_by_hand(tmp_path, classes=("bird",)), progress=listener
    )
    assert "the data has no labels of drone; such detections are not scored" in listener.notes
    assert done.scores.recall == 0  # nothing but drones is shown
    assert done.scores.map50 == pytest.approx(5 / 6, abs=0.01)  # of its second class


def test_data_that_shares_no_class_with_the_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="fish"):
        evaluate(FakeNetwork(), prepare_by_hand(tmp_path, classes=("fish", "crab")))


def test_a_limit_takes_the_beginning_of_each_video(tmp_path: Path) -> None:
    listener = Listener()
    done = evaluate(
        FakeNetwork(),
        prepare_by_hand(tmp_path, videos=2),
        EvaluateOptions(limit=3),
        progress=listener,
    )
    assert done.scores.frames == 6
    assert listener.labels == [("clip0", 3), ("clip1", 3)]
    assert listener.notes == []


def test_ground_truth_outside_the_frame_is_clipped_or_reported(tmp_path: Path) -> None:
    data = prepare_by_hand(tmp_path)
    values = json.loads((data / "dataset.json").read_text())
    gt = values["videos"][0]["annotations"]
    gt["boxes"][4] = [-500, 20, -300, 50]
    (data / "dataset.json").write_text(json.dumps(values))
    listener = Listener()
    done = evaluate(FakeNetwork(), data, progress=listener)
    assert done.scores.boxes == 5
    assert "1 ground-truth boxes lie outside their frame; not counted" in listener.notes


def test_a_split_without_ground_truth_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no annotated frame in split 'val'"):
        evaluate(FakeNetwork(), prepare_by_hand(tmp_path, annotated_frames=[]))


def test_missing_data_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such dataset") as caught:
        evaluate(FakeNetwork(), tmp_path / "dataset")
    assert "lstmcli prepare" in caught.value.hint


def test_a_missing_split_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="test"):
        evaluate(FakeNetwork(), prepare_by_hand(tmp_path), EvaluateOptions(split="test"))


@pytest.mark.parametrize(
    "option", [{"threshold": 1.5}, {"iou": 0.0}, {"limit": -1}], ids=["threshold", "iou", "limit"]
)
def test_a_number_out_of_range_is_an_error(tmp_path: Path, option: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        evaluate(FakeNetwork(), tmp_path, EvaluateOptions(**option))


def test_the_json_has_the_fields_of_the_contract_in_order(tmp_path: Path) -> None:
    target = tmp_path / "scores.json"
    evaluate(FakeNetwork(), prepare_by_hand(tmp_path), json_file=target)
    values = json.loads(target.read_text(encoding="utf-8"))
    assert list(values)[:5] == ["split", "videos", "frames", "boxes", "threshold"]
    assert {
        *("map", "map50", "map50_any_class", "precision", "recall", "f1", "per_class"),
        *("by_size", "by_motion", "stability", "speed"),
    } <= set(values)
    assert set(values["speed"]) == {"ms_per_frame", "frames_per_second", "device", "engine"}
    assert values["speed"]["ms_per_frame"] > 0
    assert not list(tmp_path.glob("*.part"))


def test_existing_files_are_kept_without_overwrite(tmp_path: Path) -> None:
    data, target = prepare_by_hand(tmp_path), tmp_path / "scores.json"
    target.write_text("mine")
    network = FakeNetwork()
    with pytest.raises(OutputError, match="exists"):
        evaluate(network, data, json_file=target)
    assert (target.read_text(), network.states) == ("mine", []), "refused before the long work"
    evaluate(network, data, json_file=target, overwrite=True)
    assert json.loads(target.read_text())["frames"] == 6


def test_a_missing_folder_is_an_error_before_the_work(tmp_path: Path) -> None:
    network = FakeNetwork()
    with pytest.raises(OutputError, match=r"scores\.json"):
        evaluate(network, prepare_by_hand(tmp_path), json_file=tmp_path / "no" / "scores.json")
    assert network.states == []


@pytest.mark.parametrize("place", ["taken", "taken/report"])
def test_an_unwritable_report_is_an_error_before_the_work(tmp_path: Path, place: str) -> None:
    (tmp_path / "taken").touch()
    network = FakeNetwork()
    with pytest.raises(OutputError, match="taken is no folder"):
        evaluate(network, prepare_by_hand(tmp_path), report=tmp_path / place)
    assert network.states == []


def test_metrics_are_shown_though_a_file_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **options: object) -> None:
        raise OutputError("scores.json: No space left on device", hint="free some space")

    monkeypatch.setattr("lstmcli.workflows.evaluate.run._write", full)
    with pytest.raises(UnwrittenEvaluation, match="No space left") as caught:
        evaluate(FakeNetwork(), prepare_by_hand(tmp_path), json_file=tmp_path / "scores.json")
    assert caught.value.hint == "free some space"
    assert caught.value.evaluation.as_json()["frames"] > 0


def test_the_report_shows_frames_with_errors(tmp_path: Path) -> None:
    folder = tmp_path / "report"
    done = evaluate(FakeNetwork(), prepare_by_hand(tmp_path), report=folder)
    assert isinstance(done, Evaluation)
    assert done.report == folder / "index.html"
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert "clip0, frame 0, 0.00 s" in page
    assert "missed: 1 bird" in page


@pytest.mark.real
@pytest.mark.parametrize(
    ("source", "classes", "videos"),
    [
        ("sky/val/annotations.json", ("airplane", "bird", "drone", "helicopter"), 35),
        ("people", ("pedestrian",), 3),
        ("flies", ("object",), 1),
    ],
)
def test_a_silent_model_detects_nothing_in_real_footage(
    shared: Path, source: str, classes: tuple[str, ...], videos: int
) -> None:
    network = FakeNetwork((0.0, 0.0))
    network.metadata = ModelMetadata(classes, CANVAS_HW)
    done = evaluate(network, shared / "data" / source, EvaluateOptions(limit=2))
    assert (done.scores.videos, done.scores.frames) == (videos, 2 * videos)
    assert done.scores.boxes > 0
    assert (done.scores.map50, done.scores.precision, done.scores.f1) == (0.0, 0.0, 0.0)
