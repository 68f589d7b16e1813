"""Class evidence follows objects."""

from __future__ import annotations

import numpy as np

from lstmcli.models.evidence import LOST_AFTER_S, Evidence


def boxes_at(*corners: tuple[float, float], side: float = 20) -> np.ndarray:
    return np.array([(x, y, x + side, y + side) for x, y in corners], np.float32)


def told(*rows: tuple[float, float]) -> np.ndarray:
    return np.array(rows, np.float32)


SURE = np.array([0.9], np.float32)


def test_a_moving_object_keeps_the_mean_of_what_it_was_taken_for() -> None:
    evidence = Evidence(memory_s=1e9)
    first = evidence.step(boxes_at((0, 0)), SURE, told((0.8, 0.2)), 0.0)
    second = evidence.step(boxes_at((12, 0)), SURE, told((0.4, 0.6)), 0.1)
    third = evidence.step(boxes_at((24, 0)), SURE, told((0.3, 0.7)), 0.2)
    np.testing.assert_allclose(first, [(0.8, 0.2)], rtol=1e-6)
    np.testing.assert_allclose(second, [(0.6, 0.4)], rtol=1e-6)
    np.testing.assert_allclose(third, [(0.5, 0.5)], rtol=1e-6)


def test_surer_frames_count_more() -> None:
    evidence = Evidence(memory_s=1e9)
    evidence.step(boxes_at((0, 0)), np.array([0.9], np.float32), told((1.0, 0.0)), 0.0)
    mixed = evidence.step(boxes_at((0, 0)), np.array([0.3], np.float32), told((0.0, 1.0)), 0.1)
    np.testing.assert_allclose(mixed, [(0.75, 0.25)], rtol=1e-5)


def test_old_frames_fade() -> None:
    evidence = Evidence(memory_s=0.1)
    evidence.step(boxes_at((0, 0)), SURE, told((1.0, 0.0)), 0.0)
    late = evidence.step(boxes_at((0, 0)), SURE, told((0.0, 1.0)), 1.0)
    assert late[0, 1] > 0.999


def test_two_objects_do_not_share_what_they_are() -> None:
    evidence = Evidence(memory_s=1e9)
    both = np.array([0.9, 0.9], np.float32)
    evidence.step(boxes_at((0, 0), (200, 0)), both, told((1.0, 0.0), (0.0, 1.0)), 0.0)
    swapped = evidence.step(boxes_at((201, 0), (1, 0)), both, told((0.5, 0.5), (0.5, 0.5)), 0.1)
    np.testing.assert_allclose(swapped, [(0.25, 0.75), (0.75, 0.25)], rtol=1e-5)


def test_an_object_that_was_gone_too_long_begins_anew() -> None:
    evidence = Evidence(memory_s=1e9)
    evidence.step(boxes_at((0, 0)), SURE, told((1.0, 0.0)), 0.0)
    back = evidence.step(boxes_at((0, 0)), SURE, told((0.0, 1.0)), LOST_AFTER_S + 0.1)
    np.testing.assert_allclose(back, [(0.0, 1.0)])


def test_a_clock_that_goes_back_forgets() -> None:
    evidence = Evidence(memory_s=1e9)
    evidence.step(boxes_at((0, 0)), SURE, told((1.0, 0.0)), 5.0)
    back = evidence.step(boxes_at((0, 0)), SURE, told((0.0, 1.0)), 1.0)
    np.testing.assert_allclose(back, [(0.0, 1.0)])


def test_a_frame_without_answers_is_nothing_special() -> None:
    evidence = Evidence(memory_s=1.0)
    empty = evidence.step(
        np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 2), np.float32), 0.0
    )
    assert empty.shape == (0, 2)
