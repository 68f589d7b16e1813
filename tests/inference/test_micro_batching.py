"""Micro-batching of several streams: each gets its own output without long waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from test_runtimes import CANVAS_HW, in_full_precision, lively

from lstmcli.core.metadata import ModelMetadata
from lstmcli.core.types import FloatArray, Picture
from lstmcli.inference.autotune import moving_frames
from lstmcli.inference.batching import MicroBatcher, _Request, micro_batch
from lstmcli.inference.exportable import ExportableStep
from lstmcli.inference.predictor import Runtime
from lstmcli.inference.runtimes import pytorch as torch_engine
from lstmcli.models.temporal import TEMPORAL_CORES

STREAMS, FRAMES = 3, 12


def follow(network: Runtime, frames: Sequence[Picture]) -> list[tuple[FloatArray, FloatArray]]:
    state, outputs = None, []
    for frame, previous_frames in zip(frames[1:], frames, strict=False):
        boxes, scores, state = network.step(frame, previous_frames, state)
        outputs.append((boxes, scores))
    return outputs


@pytest.mark.parametrize("core", TEMPORAL_CORES)
def test_a_stream_in_a_batch_gets_its_own_output(core: str) -> None:
    model = lively(core)
    engine = torch_engine.make(ExportableStep(model), model.metadata)
    engine._mixed = False
    pictures = moving_frames(CANVAS_HW, FRAMES + STREAMS)
    videos = [pictures[stream : stream + FRAMES] for stream in range(STREAMS)]
    joined = MicroBatcher(engine, STREAMS)
    with ThreadPoolExecutor(STREAMS) as pool:
        together = list(pool.map(lambda video: follow(joined, video), videos))
    alone = in_full_precision(model)
    for video, outputs in zip(videos, together, strict=True):
        for (boxes, scores), (own_boxes, own_scores) in zip(
            outputs, follow(alone, video), strict=True
        ):
            np.testing.assert_allclose(scores, own_scores, atol=2e-4)
            np.testing.assert_allclose(boxes, own_boxes, atol=2e-2)


class Counting:
    """Outputs the number in the corner of the frame and records the batch sizes."""

    metadata, engine, device = ModelMetadata(("bird",), (8, 8)), "torch", "cuda"

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.is_busy = threading.Lock()

    def step(self, frame: Picture, previous_frame: Picture, state: Any) -> Any:
        raise AssertionError("one at a time")

    def step_many(self, frames: Any, previous_frames: Any, states: Any) -> list[Any]:
        assert self.is_busy.acquire(blocking=False), "two batches at once"
        self.sizes.append(len(frames))
        time.sleep(0.001)
        self.is_busy.release()
        none = np.zeros((0, 4), np.float32)
        return [
            (none, np.full((0, 1), frame[0, 0, 0], np.float32), (state or 0) + int(frame[0, 0, 0]))
            for frame, state in zip(frames, states, strict=True)
        ]


def picture(value: int) -> Picture:
    return np.full((8, 8, 3), value, np.uint8)


def test_many_threads_are_served_in_full_batches_and_no_state_goes_astray() -> None:
    network = Counting()
    joined = MicroBatcher(network, 4)

    def stream(value: int) -> int:
        state = None
        for _ in range(50):
            _, _, state = joined.step(picture(value), picture(value), state)
        assert state is not None
        return int(state)

    with ThreadPoolExecutor(6) as pool:  # more threads than a batch has room
        assert list(pool.map(stream, range(1, 7))) == [50 * value for value in range(1, 7)]
    assert max(network.sizes) <= 4
    assert np.mean(network.sizes) > 2


def test_a_leader_outside_its_batch_gets_its_output_too() -> None:
    network = Counting()
    joined = MicroBatcher(network, 2)
    older = [_Request(picture(value), picture(value), None) for value in (1, 2, 3)]
    joined._waiting += older
    _, _, state = joined.step(picture(9), picture(9), None)
    assert state == 9
    assert all(one.is_done for one in older)


def test_a_single_stream_does_not_wait_for_idle_ones() -> None:
    joined = MicroBatcher(Counting(), 8)
    began = time.monotonic()
    for _ in range(20):
        joined.step(picture(1), picture(1), None)
    assert time.monotonic() - began < 5


def test_a_failure_reaches_all_waiting_threads() -> None:
    class Failing(Counting):
        def step_many(self, frames: Any, previous_frames: Any, states: Any) -> list[Any]:
            raise RuntimeError("the device is gone")

    joined = MicroBatcher(Failing(), 3)

    def ask(value: int) -> str:
        with pytest.raises(RuntimeError, match="gone") as caught:
            joined.step(picture(value), picture(value), None)
        return str(caught.value)

    with ThreadPoolExecutor(3) as pool:
        assert len(list(pool.map(ask, range(6)))) == 6


def test_steps_are_batched_on_cuda_only() -> None:
    network: Any = Counting()
    assert isinstance(micro_batch(network, 4), MicroBatcher)
    assert micro_batch(network, 1) is network
    on_cpu: Any = SimpleNamespace(step_many=network.step_many, device="cpu")
    assert micro_batch(on_cpu, 4) is on_cpu
    no_batches: Any = SimpleNamespace(device="cuda")
    assert micro_batch(no_batches, 4) is no_batches
