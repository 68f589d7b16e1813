"""Track memory: averages, raised scores and coasting follow the tracks."""

from __future__ import annotations

import numpy as np
import pytest

from lstmcli.core.metadata import FOREIGN_TRACK_MEMORY, ModelMetadata, TrackMemoryConfig
from lstmcli.core.types import Picture
from lstmcli.inference.predictor import Predictor
from lstmcli.inference.runtime import Step
from lstmcli.inference.track_memory import OBJECTNESS_SHARE, TrackMemory
from lstmcli.tracking.association import PATIENCE_S


def boxes_at(*corners: tuple[float, float], side: float = 20) -> np.ndarray:
    return np.array([(x, y, x + side, y + side) for x, y in corners], np.float32)


def class_scores(*rows: tuple[float, float]) -> np.ndarray:
    return np.array(rows, np.float32)


def classes_of(
    memory: TrackMemory,
    boxes: np.ndarray,
    objectness: np.ndarray,
    classes: np.ndarray,
    time_s: float,
) -> np.ndarray:
    return memory.step(boxes, objectness, classes, time_s)[2]


SURE = np.array([0.9], np.float32)
NOTHING = (np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 2), np.float32))
LIFTING = TrackMemoryConfig(score_memory=0.5, coast_s=0.5)


def test_class_scores_are_averaged_along_a_moving_object() -> None:
    memory = TrackMemory(TrackMemoryConfig(class_memory_s=1e9))
    first = classes_of(memory, boxes_at((0, 0)), SURE, class_scores((0.8, 0.2)), 0.0)
    second = classes_of(memory, boxes_at((12, 0)), SURE, class_scores((0.4, 0.6)), 0.1)
    third = classes_of(memory, boxes_at((24, 0)), SURE, class_scores((0.3, 0.7)), 0.2)
    np.testing.assert_allclose(first, [(0.8, 0.2)], rtol=1e-6)
    np.testing.assert_allclose(second, [(0.6, 0.4)], rtol=1e-6)
    np.testing.assert_allclose(third, [(0.5, 0.5)], rtol=1e-6)


def test_frames_with_high_objectness_weigh_more() -> None:
    memory = TrackMemory(TrackMemoryConfig(class_memory_s=1e9))
    memory.step(boxes_at((0, 0)), np.array([0.9], np.float32), class_scores((1.0, 0.0)), 0.0)
    mixed = classes_of(
        memory, boxes_at((0, 0)), np.array([0.3], np.float32), class_scores((0.0, 1.0)), 0.1
    )
    np.testing.assert_allclose(mixed, [(0.75, 0.25)], rtol=1e-5)


def test_old_frames_decay() -> None:
    memory = TrackMemory(TrackMemoryConfig(class_memory_s=0.1))
    memory.step(boxes_at((0, 0)), SURE, class_scores((1.0, 0.0)), 0.0)
    late = classes_of(memory, boxes_at((0, 0)), SURE, class_scores((0.0, 1.0)), 1.0)
    assert late[0, 1] > 0.999


def test_two_objects_do_not_share_class_scores() -> None:
    memory = TrackMemory(TrackMemoryConfig(class_memory_s=1e9))
    both = np.array([0.9, 0.9], np.float32)
    memory.step(boxes_at((0, 0), (200, 0)), both, class_scores((1.0, 0.0), (0.0, 1.0)), 0.0)
    swapped = classes_of(
        memory, boxes_at((201, 0), (1, 0)), both, class_scores((0.5, 0.5), (0.5, 0.5)), 0.1
    )
    np.testing.assert_allclose(swapped, [(0.25, 0.75), (0.75, 0.25)], rtol=1e-5)


def test_an_object_that_was_gone_too_long_begins_anew() -> None:
    memory = TrackMemory(TrackMemoryConfig(class_memory_s=1e9))
    for time_s in (0.0, 0.1, 0.2):
        memory.step(boxes_at((0, 0)), SURE, class_scores((1.0, 0.0)), time_s)
    memory.step(*NOTHING, 0.3)
    back = classes_of(
        memory, boxes_at((0, 0)), SURE, class_scores((0.0, 1.0)), 0.3 + PATIENCE_S[-1]
    )
    np.testing.assert_allclose(back, [(0.0, 1.0)])


def test_a_time_that_goes_back_resets_the_memory() -> None:
    memory = TrackMemory(TrackMemoryConfig(class_memory_s=1e9))
    memory.step(boxes_at((0, 0)), SURE, class_scores((1.0, 0.0)), 5.0)
    back = classes_of(memory, boxes_at((0, 0)), SURE, class_scores((0.0, 1.0)), 1.0)
    np.testing.assert_allclose(back, [(0.0, 1.0)])


def test_a_frame_without_detections_is_allowed() -> None:
    memory = TrackMemory(TrackMemoryConfig(class_memory_s=1.0))
    empty = classes_of(
        memory,
        np.zeros((0, 4), np.float32),
        np.zeros(0, np.float32),
        np.zeros((0, 2), np.float32),
        0.0,
    )
    assert empty.shape == (0, 2)


def test_temperature_softens_class_scores() -> None:
    """By hand: square roots of 0.9 and 0.1 are as 3 to 1."""
    memory = TrackMemory(TrackMemoryConfig(class_memory_s=1e9, temperature=2.0))
    softened = classes_of(memory, boxes_at((0, 0)), SURE, class_scores((0.9, 0.1)), 0.0)
    np.testing.assert_allclose(softened, [(0.75, 0.25)], rtol=1e-5)


def test_sides_are_averaged_and_centres_are_not() -> None:
    """By hand: the geometric mean of 20 and 40, around the present centre."""
    memory = TrackMemory(TrackMemoryConfig(box_smoothing_s=1e9))
    memory.step(boxes_at((0, 0), side=20), SURE, class_scores((1.0, 0.0)), 0.0)
    boxes, _, classes = memory.step(boxes_at((5, 0), side=40), SURE, class_scores((0.0, 1.0)), 0.1)
    side = (20 * 40) ** 0.5
    expected = [(25 - side / 2, 20 - side / 2, 25 + side / 2, 20 + side / 2)]
    np.testing.assert_allclose(boxes, expected, rtol=1e-5)
    np.testing.assert_allclose(classes, [(0.0, 1.0)], err_msg="the class is not averaged")


def test_objectness_changes_slowly() -> None:
    memory = TrackMemory(TrackMemoryConfig(box_smoothing_s=1e9))
    memory.step(boxes_at((0, 0)), SURE, class_scores((1.0, 0.0)), 0.0)
    weak = np.array([0.1], np.float32)
    _, objectness, _ = memory.step(boxes_at((0, 0)), weak, class_scores((1.0, 0.0)), 0.1)
    past = (0.9 + 0.1) / 2
    np.testing.assert_allclose(objectness, [0.1 + OBJECTNESS_SHARE * (past - 0.1)], rtol=1e-5)


def test_a_new_object_keeps_its_detection() -> None:
    memory = TrackMemory(TrackMemoryConfig(class_memory_s=10, box_smoothing_s=0.5))
    boxes, objectness, classes = memory.step(boxes_at((3, 4)), SURE, class_scores((0.7, 0.3)), 0.0)
    np.testing.assert_array_equal(boxes, boxes_at((3, 4)))
    np.testing.assert_array_equal(objectness, SURE)
    np.testing.assert_allclose(classes, [(0.7, 0.3)], rtol=1e-6)


def test_no_memory_by_default() -> None:
    assert not TrackMemoryConfig(temperature=2.0).is_on
    assert TrackMemoryConfig(class_memory_s=1).is_on
    assert TrackMemoryConfig(box_smoothing_s=1).is_on
    assert LIFTING.is_on


def test_a_weak_score_is_raised_halfway_to_the_decaying_best_score() -> None:
    """By hand: 0.9 fades to 0.9 exp(-0.1); 0.2 is lifted half the way."""
    memory = TrackMemory(LIFTING)
    memory.step(boxes_at((0, 0)), SURE, class_scores((1.0, 0.0)), 0.0)
    _, weak, _ = memory.step(boxes_at((1, 0)), SURE / 4.5, class_scores((1.0, 0.0)), 0.1)
    np.testing.assert_allclose(weak, [0.2 + 0.5 * (0.9 * np.exp(-0.1) - 0.2)], rtol=1e-5)


def test_a_detection_as_strong_as_ever_keeps_its_score_and_box() -> None:
    memory = TrackMemory(LIFTING)
    memory.step(boxes_at((0, 0)), SURE / 2, class_scores((1.0, 0.0)), 0.0)
    boxes, strong, _ = memory.step(boxes_at((1, 0)), SURE, class_scores((1.0, 0.0)), 0.1)
    np.testing.assert_array_equal(boxes, boxes_at((1, 0)))
    np.testing.assert_array_equal(strong, SURE)


def walk(memory: TrackMemory, frames: int) -> None:
    """Two pixels to the right at every tenth of a second, from 0.0 on."""
    for frame in range(frames):
        memory.step(boxes_at((2 * frame, 0)), SURE, class_scores((1.0, 0.0)), frame / 10)


def test_a_missed_object_coasts_at_its_predicted_box() -> None:
    memory = TrackMemory(LIFTING)
    walk(memory, 10)
    boxes, scores, classes = memory.step(*NOTHING, 1.0)
    np.testing.assert_allclose(boxes, boxes_at((20, 0)), atol=1.0)
    np.testing.assert_allclose(scores, [0.5 * 0.9 * np.exp(-0.1)], rtol=1e-5)
    np.testing.assert_allclose(classes, [(1.0, 0.0)], rtol=1e-6)
    assert len(memory.step(*NOTHING, 1.5)[0]) == 0, "0.6 s without a detection"


@pytest.mark.parametrize(("fps", "boxes"), [(5, 0), (10, 1), (25, 1)])
def test_foreign_detectors_coast_over_a_blink_and_not_over_a_fifth_of_a_second(
    fps: float, boxes: int
) -> None:
    """At five frames a second a predicted box is a guess, and cost two points of mAP50."""
    memory = TrackMemory(FOREIGN_TRACK_MEMORY)
    for frame in range(10):
        memory.step(boxes_at((2 * frame, 0)), SURE, class_scores((1.0, 0.0)), frame / fps)
    assert len(memory.step(*NOTHING, 10 / fps)[0]) == boxes


def test_a_single_detection_does_not_coast() -> None:
    memory = TrackMemory(LIFTING)
    walk(memory, 1)
    assert len(memory.step(*NOTHING, 0.1)[0]) == 0


def test_no_predicted_box_lies_on_a_detection() -> None:
    """A much larger box at the same position begins a track of its own."""
    memory = TrackMemory(LIFTING)
    walk(memory, 5)
    two = boxes_at((8, 0), (9, 1))
    both = np.array([0.9, 0.8], np.float32)
    memory.step(two, both, class_scores((1.0, 0.0), (1.0, 0.0)), 0.5)
    memory.step(two, both, class_scores((1.0, 0.0), (1.0, 0.0)), 0.6)
    boxes, _, _ = memory.step(two[:1], both[:1], class_scores((1.0, 0.0)), 0.7)
    assert len(boxes) == 1


def test_streams_do_not_share_tracks_and_a_new_memory_is_empty() -> None:
    one, two = TrackMemory(LIFTING), TrackMemory(LIFTING)
    walk(one, 5)
    weak = SURE / 9
    fresh = two.step(boxes_at((10, 0)), weak, class_scores((0.4, 0.6)), 0.5)
    np.testing.assert_array_equal(fresh[1], weak)
    np.testing.assert_allclose(fresh[2], [(0.4, 0.6)], rtol=1e-6)


class _Weak:
    """A runtime with two near boxes of one object, whose scores are given frame by frame."""

    engine, device = "test", "cpu"

    def __init__(self, config: TrackMemoryConfig, scores: list[float]) -> None:
        self.metadata = ModelMetadata(("bird", "plane"), (100, 100), track_memory=config)
        self.scores = iter(scores)

    def step(self, frame: Picture, previous_frame: Picture, state: object) -> Step:
        score = next(self.scores)
        rows = [(score, 0.0), (score / 2, 0.0), (0.0, score / 2)]
        return boxes_at((10, 10), (11, 10), (10, 11)), class_scores(*rows), None


def scores_of(config: TrackMemoryConfig, scores: list[float], *, memory: bool) -> list[list[float]]:
    """Return the scores of every frame."""
    predictor = Predictor(_Weak(config, scores), memory=memory, multi_label=True)
    predictor.start((100, 100))
    frame = np.zeros((100, 100, 3), np.uint8)
    found = [predictor.step(frame, index / 10) for index in range(len(scores))]
    return [one.scores.tolist() for one in found]


def test_raising_scores_changes_nothing_else() -> None:
    """The second class of the box stays; only the weak moment is lifted."""
    config = TrackMemoryConfig(score_memory=0.5, coast_s=0.5, objectness="max")
    with_memory = scores_of(config, [0.8, 0.2, 0.8], memory=True)
    np.testing.assert_allclose(with_memory[0], [0.8, 0.4], rtol=1e-6)
    np.testing.assert_allclose(
        with_memory[1], [0.2 + 0.5 * (0.8 * np.exp(-0.1) - 0.2), 0.1], rtol=1e-5
    )
    np.testing.assert_allclose(with_memory[2], [0.8, 0.4], rtol=1e-6)


def test_without_memory_nothing_is_raised_coasted_or_averaged() -> None:
    plain = scores_of(TrackMemoryConfig(), [0.8, 0.2, 0.0, 0.8], memory=True)
    for config in (LIFTING, TrackMemoryConfig(class_memory_s=10, box_smoothing_s=0.5)):
        assert scores_of(config, [0.8, 0.2, 0.0, 0.8], memory=False) == plain
