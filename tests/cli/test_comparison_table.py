"""Tables of comparisons: names fit their column, and a name may be given."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer

from lstmcli.cli.comparison_runs import models_and_data
from lstmcli.cli.comparison_table import short_names


def test_long_names_are_cut_in_the_middle_and_stay_different() -> None:
    names = [
        "weights/deimv2_hgnetv2_femto_coco.onnx",
        "other/deimv2_hgnetv2_femto_coco.onnx",
        "sky",
    ]
    short = short_names(names)
    assert short["sky"] == "sky"
    assert len(set(short.values())) == 3
    assert all(len(name) <= 16 for name in short.values())


def test_a_model_and_a_domain_may_be_named(tmp_path: Path) -> None:
    model = tmp_path / "long.onnx"
    model.touch()
    models, data = models_and_data([f"a={model}", "sky", f"places={tmp_path / 'set'}"], few=1)
    assert models == {"a": str(model), "sky": "sky"}
    assert data == {"places": tmp_path / "set"}


def test_two_of_one_name_are_refused() -> None:
    with pytest.raises(typer.BadParameter, match="twice"):
        models_and_data(["a=x.pt", "a=y.pt"], few=2)


def test_a_shipped_model_is_meant_beside_a_folder_of_its_name_unless_it_stands_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table of presets/README.md is made beside the folder `sky`, which holds its data."""
    (tmp_path / "sky" / "val").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    models, data = models_and_data(["general", "sky", "sky_val=sky/val", "few"], few=1)
    assert models == {"general": "general", "sky": "sky"}
    assert data == {"sky_val": Path("sky/val"), "few": Path("few")}
    models, data = models_and_data(["general", "sky"], few=1)
    assert (models, data) == ({"general": "general"}, {"sky": Path("sky")})
    (tmp_path / "sky" / "val").rmdir()
    (tmp_path / "sky").rmdir()
    models, data = models_and_data(["general", "sky"], few=1)
    assert (models, data) == (
        {"general": "general", "sky": "sky"},
        {"dataset": Path("dataset")},
    )
