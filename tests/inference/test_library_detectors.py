"""Detectors of torchvision and transformers as runtimes, with random weights."""

from __future__ import annotations

import sys
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from lstmcli.core.errors import ConfigError, ModelError
from lstmcli.inference.loading import load_runtime
from lstmcli.inference.runtimes import torchvision as library


@pytest.fixture(autouse=True)
def _weights_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


@pytest.fixture(scope="module")
def random_ssdlite() -> torch.nn.Module:
    """The smallest detector of torchvision, with random weights."""
    import torchvision

    torch.manual_seed(0)
    model: torch.nn.Module = torchvision.models.detection.ssdlite320_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=91, score_thresh=0.0
    )
    return model


def test_a_detector_of_torchvision_is_a_runtime(random_ssdlite: torch.nn.Module) -> None:
    names = ("__background__", "person", "N/A", "dog", *(f"thing {n}" for n in range(87)))
    runtime = library.make(random_ssdlite, names, where="torchvision:test")
    assert runtime.metadata.classes[:3] == ("person", "dog", "thing 0")
    assert runtime.metadata.input_hw == (320, 320)
    assert runtime.metadata.fit == "stretch"
    assert runtime.metadata.nms == "none"
    picture = np.random.default_rng(0).integers(0, 255, (320, 320, 3), np.uint8)
    boxes, scores, state = runtime.step(picture, picture, None)
    assert state is None
    assert boxes.shape == (len(scores), 4)
    assert scores.shape[1] == 89


def test_weights_that_were_placed_are_taken(
    tmp_path: Path, random_ssdlite: torch.nn.Module
) -> None:
    import torchvision

    name = "ssdlite320_mobilenet_v3_large"
    weights = torchvision.models.get_model_weights(name).DEFAULT
    target = tmp_path / "torch" / "hub" / "checkpoints" / Path(weights.url).name
    target.parent.mkdir(parents=True)
    torch.save(random_ssdlite.state_dict(), target)
    notes: list[str] = []
    runtime = load_runtime(f"torchvision:{name}", note=notes.append)
    assert len(runtime.metadata.classes) == 80
    assert runtime.engine == "torch"
    assert "BSD-3" in notes[0]
    target.write_bytes(target.read_bytes()[:1000])
    with pytest.raises(ModelError, match="no weights") as caught:
        load_runtime(f"torchvision:{name}")
    assert str(target) in caught.value.hint


def test_without_a_network_it_says_what_to_place_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*args: object, **options: object) -> None:
        raise URLError("Name or service not known")

    monkeypatch.setattr("torch.hub.download_url_to_file", no_network)
    with pytest.raises(ModelError, match="no weights") as caught:
        load_runtime("torchvision:fasterrcnn_resnet50_fpn_v2")
    assert "place https://download.pytorch.org/" in caught.value.hint
    assert str(tmp_path) in caught.value.hint


def test_an_unknown_name_has_a_near_one() -> None:
    with pytest.raises(ConfigError, match="no detector") as caught:
        load_runtime("torchvision:fasterrcnn_resnet50_fpn_v3")
    assert "fasterrcnn_resnet50_fpn" in caught.value.hint
    with pytest.raises(ConfigError, match="cannot be run by onnx"):
        load_runtime("torchvision:fcos_resnet50_fpn", engine="onnx")


def test_regions_of_a_segmenter_become_boxes() -> None:
    shares = np.zeros((3, 40, 60), np.float32)
    shares[0] = 0.6
    shares[1, 5:15, 10:30] = 0.8
    shares[2, 20:30, 40:50] = 0.9
    shares[2, 0, 0] = 0.7
    boxes, scores, labels = library.regions(shares)
    assert_allclose(boxes, [(10, 5, 30, 15), (0, 0, 1, 1), (40, 20, 50, 30)])
    assert labels.tolist() == [1, 2, 2]
    assert_allclose(scores, (0.8, 0.7, 0.9), rtol=1e-6)


def test_transformers_detectors_run_from_a_folder(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.YolosConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=[64, 96],
        num_detection_tokens=5,
        id2label={0: "N/A", 1: "person", 2: "dog"},
    )
    transformers.YolosForObjectDetection(config).save_pretrained(tmp_path / "m")
    transformers.YolosImageProcessor(size={"height": 64, "width": 96}).save_pretrained(
        tmp_path / "m"
    )
    (tmp_path / "m" / "README.md").write_text("---\nlicense: apache-2.0\n---\n", encoding="utf-8")
    notes: list[str] = []
    runtime = load_runtime(f"transformers:{tmp_path / 'm'}", note=notes.append)
    assert runtime.metadata.classes == ("person", "dog")
    assert runtime.metadata.input_hw == (64, 96)
    assert "apache-2.0" in notes[0]
    picture = np.zeros((64, 96, 3), np.uint8)
    boxes, scores, _ = runtime.step(picture, picture, None)
    assert boxes.shape[1] == 4
    assert scores.shape == (len(boxes), 2)


def test_a_transformers_model_that_is_not_there_says_what_to_place(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="no such detector here") as caught:
        load_runtime(f"transformers:{tmp_path / 'empty'}")
    assert "transformers:FOLDER" in caught.value.hint


def test_transformers_missing_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from lstmcli.inference.runtimes import transformers as door

    monkeypatch.setattr(door, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="not installed") as caught:
        load_runtime("transformers:org/name")
    assert "lstmcli[pretrained]" in caught.value.hint


def test_a_transformers_that_does_not_load_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    from lstmcli.inference.runtimes import transformers as door

    monkeypatch.setattr(door, "find_spec", lambda name: object())
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ConfigError, match="cannot be loaded") as caught:
        load_runtime("transformers:org/name")
    assert "lstmcli[pretrained]" in caught.value.hint
