"""Foreign detectors on 128 pictures of COCO, against what was measured outside this project."""

from __future__ import annotations

from pathlib import Path

import pytest

from lstmcli.workflows.evaluate import EvaluateOptions, evaluate

MEASURED = {
    "deimv2_hgnetv2_femto_coco": 0.400,
    "deimv2_hgnetv2_atto_coco": 0.300,
    "picodet_s_416_coco": 0.361,
    "yolox_nano": 0.340,
}


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("name", MEASURED)
def test_a_foreign_detector_is_as_good_as_alone(shared: Path, name: str) -> None:
    model, data = shared / "weights" / f"{name}.onnx", shared / "data" / "coco128"
    if not model.is_file():
        pytest.skip(f"{model.name} is not here")
    found = evaluate(model, data, options=EvaluateOptions(frames_alone=True))
    assert found.scores.map == pytest.approx(MEASURED[name], abs=0.005)
