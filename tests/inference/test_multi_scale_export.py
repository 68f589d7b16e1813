"""A detector for all sizes has the output of torch in every runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lstmcli.core.config import Config
from lstmcli.inference import exporting
from lstmcli.inference.installed import is_installed
from lstmcli.inference.runtimes import RUNTIMES
from lstmcli.inference.runtimes.eager import EagerRuntime
from lstmcli.models.detector import DetectorNet


@pytest.fixture(scope="module")
def network() -> DetectorNet:
    torch.manual_seed(0)
    config = Config.model_validate(
        {
            "backbone": {"name": "dense", "width": 0.25},
            "neck": {"channels": 8},
            "temporal": "none",
            "head": {"name": "multi_scale"},
        }
    )
    model = DetectorNet(config, ("a", "b"), canvas_hw=(64, 96), grid=8)
    for layer in (model.head.box_pred, model.head.cls_pred):
        layer.weight.detach().normal_(std=0.5)
    return model.eval()


@pytest.mark.parametrize("name", [name for name in RUNTIMES if is_installed(name)])
def test_an_exported_multi_scale_detector_has_the_output_of_torch(
    name: str, network: DetectorNet, tmp_path: Path
) -> None:
    """Boxes of some hundred pixels within a tenth, scores within 0.01: runtimes fold the norms."""
    path = tmp_path / f"network{RUNTIMES[name].suffix}"
    exporting.write_export(network, path, metadata=network.metadata)
    runtime = RUNTIMES[name].read(path, device="cpu", threads=1)
    frame = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    wanted = EagerRuntime(network).step(frame, frame, None)
    found = runtime.step(frame, frame, None)
    np.testing.assert_allclose(found[0], wanted[0], atol=0.1)
    np.testing.assert_allclose(found[1], wanted[1], atol=0.01)
