"""A network for each shape of pictures: the same output without bars."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmcli.core.boxes import Letterbox
from lstmcli.core.config_file import load_config
from lstmcli.inference.autotune import moving_frames
from lstmcli.inference.exporting import write_export
from lstmcli.inference.installed import is_installed
from lstmcli.inference.loading import load_runtime
from lstmcli.inference.predictor import Predictor
from lstmcli.inference.runtime_pool import MAX_SHAPES, RuntimePool
from lstmcli.inference.runtimes import RUNTIMES
from lstmcli.models.checkpoint import save_checkpoint
from lstmcli.models.detector import DetectorNet

INSTALLED = [
    pytest.param(name, marks=pytest.mark.skipif(not there, reason=f"no {name} here"))
    for name, there in ((name, is_installed(name)) for name in RUNTIMES)
]
WIDE_HW = (32, 96)  # on a canvas of 64x96: half of it would be bars


def small(*settings: str) -> DetectorNet:
    config = load_config(
        "small", ["backbone.name=tiny", "backbone.width=0.5", "neck.channels=16", *settings]
    )
    return DetectorNet(config, ("bird", "drone"), canvas_hw=(64, 96), grid=16).eval()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = small()
    path = tmp_path_factory.mktemp("shapes") / "best.pt"
    save_checkpoint(path, model, model.state_dict(), metrics={})
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("os.getloadavg", lambda: (0.0, 0.0, 0.0), raising=False)
    return tmp_path / "lstmcli"


@pytest.mark.parametrize(
    ("source_hw", "canvas_hw", "multiple", "snug_hw"),
    [
        ((720, 1280), (512, 640), 8, (360, 640)),
        ((720, 1280), (512, 640), 32, (384, 640)),
        ((1280, 720), (512, 640), 8, (512, 288)),
        ((512, 640), (512, 640), 8, (512, 640)),
        ((1, 5000), (512, 640), 8, (8, 640)),
        ((100, 100), (60, 90), 32, (60, 64)),  # never larger than the canvas was
    ],
)
def test_a_minimal_canvas_keeps_the_scale_of_the_picture(
    source_hw: tuple[int, int],
    canvas_hw: tuple[int, int],
    multiple: int,
    snug_hw: tuple[int, int],
) -> None:
    wide = Letterbox(source_hw, canvas_hw)
    minimal_canvas = wide.minimal_canvas(multiple)
    assert minimal_canvas.canvas_hw == snug_hw
    assert minimal_canvas.inner_hw == wide.inner_hw


@pytest.mark.parametrize("name", INSTALLED)
def test_a_checkpoint_is_given_a_canvas_for_its_pictures(name: str, checkpoint: Path) -> None:
    assert load_runtime(checkpoint, device="cpu", engine=name).metadata.input_hw == (64, 96)
    network = load_runtime(checkpoint, device="cpu", engine=name, picture_hw=(720, 2160))
    assert network.metadata.input_hw == WIDE_HW
    state = None
    for frame in moving_frames(WIDE_HW, 3):
        boxes, scores, state = network.step(frame, frame, state)
    assert boxes.shape == (2 * 6, 4)
    assert np.isfinite(scores).all()


def test_upright_pictures_get_an_upright_canvas_of_a_model_for_all_sizes() -> None:
    hw = load_runtime("general", device="cpu", engine="torch", picture_hw=(1920, 1080))
    assert hw.metadata.input_hw == (640, 384)
    sky = load_runtime("sky", device="cpu", engine="torch", picture_hw=(1920, 1080))
    assert sky.metadata.input_hw[0] == 512


def test_a_turned_canvas_never_shows_the_picture_smaller() -> None:
    for source_hw in ((1920, 1080), (1080, 1920), (1000, 1000), (7, 3)):
        as_trained = Letterbox(source_hw, (384, 640))
        assert as_trained.turned_canvas().inner_hw >= as_trained.inner_hw
    assert Letterbox((1080, 1920), (384, 640)).turned_canvas().canvas_hw == (384, 640)


@pytest.mark.parametrize("name", INSTALLED)
def test_cached_conversions_differ_by_aspect_ratio(name: str, checkpoint: Path) -> None:
    shapes = [(64, 96), WIDE_HW, (64, 32), None, WIDE_HW]
    loaded = [load_runtime(checkpoint, device="cpu", engine=name, picture_hw=s) for s in shapes]
    assert [one.metadata.input_hw for one in loaded] == [
        (64, 96),
        WIDE_HW,
        (64, 32),
        (64, 96),
        WIDE_HW,
    ]


def test_the_sides_of_a_canvas_suit_the_coarsest_map_that_is_used() -> None:
    assert small("backbone.name=dense").canvas_multiple == 32
    fine = ("backbone.name=dense", "neck.coarse_levels=false")
    assert small(*fine, "temporal.pool=1").canvas_multiple == 16
    assert small(*fine, "temporal.pool=2").canvas_multiple == 32


def test_an_exported_network_keeps_its_canvas(checkpoint: Path, tmp_path: Path) -> None:
    model = small()
    path = tmp_path / f"network{RUNTIMES['torch'].suffix}"
    write_export(model, path, metadata=model.metadata)
    assert load_runtime(path, device="cpu", picture_hw=WIDE_HW).metadata.input_hw == (64, 96)


def test_one_network_is_loaded_for_each_shape() -> None:
    asked: list[Any] = []

    def load(size_hw: tuple[int, int] | None) -> Any:
        asked.append(size_hw)
        return object()

    networks = RuntimePool(load)
    wide = networks.of((720, 1280))
    assert networks.of((1080, 1920)) is wide
    assert networks.of((1280, 720)) is not wide
    assert networks.of(None) is networks.of(None)
    assert asked == [(720, 1280), (1280, 720), None]


def test_many_shapes_share_the_canvas_of_the_training() -> None:
    asked: list[Any] = []

    def load(size_hw: tuple[int, int] | None) -> Any:
        asked.append(size_hw)
        return size_hw

    networks = RuntimePool(load)
    for side in range(1, 10):
        networks.of((side, 7))
    assert asked == [*((side, 7) for side in range(1, MAX_SHAPES + 1)), None]


def test_a_predictor_outputs_pixels_of_the_picture(checkpoint: Path) -> None:
    network = load_runtime(checkpoint, device="cpu", engine="torch", picture_hw=(320, 960))
    predictor = Predictor(network, threshold=0.001)
    letterbox = predictor.start((320, 960))
    assert letterbox.inner_hw == WIDE_HW
    found = predictor.step(moving_frames(WIDE_HW, 1)[0], 0.0)
    assert len(found)
    assert found.boxes[:, 0::2].max() > 96
    assert found.boxes[:, 1::2].max() <= 320
