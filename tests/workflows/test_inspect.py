"""What `inspect` writes of a network with a recurrent core, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import MakeVideo
from test_runtimes import lively

from lstmcli.core.errors import ConfigError, DataError, ModelError, OutputError
from lstmcli.models.checkpoint import save_checkpoint
from lstmcli.workflows.inspect import inspect


def checkpoint(folder: Path, temporal: str = "conv_lstm") -> str:
    model = lively(temporal)
    path = folder / f"{temporal}.pt"
    save_checkpoint(path, model, model.state_dict(), metrics={})
    return str(path)


def test_video_plot_and_numbers_are_written(tmp_path: Path, make_video: MakeVideo) -> None:
    video = make_video(tmp_path / "a.mp4", frames=8)
    found = inspect(checkpoint(tmp_path), video, out=tmp_path / "out", limit=8)
    assert [path.is_file() for path in found.outputs] == [True] * 3
    values = json.loads(found.outputs[2].read_text())
    assert (values["schema"], len(values["frames"])) == (1, 8)
    assert set(values["frames"][0]["gates"]) == {
        "input gate",
        "forget gate",
        "output gate",
        "cell",
    }
    # a state of no past frames is the frame alone
    moment = next(row for row in found.rows if row.time_s == found.at_s)
    assert found.reach[0] == pytest.approx(moment.score_alone, abs=1e-4)
    with pytest.raises(OutputError, match="exists"):
        inspect(checkpoint(tmp_path), video, out=tmp_path / "out")


def test_invalid_inspections_name_their_reason(tmp_path: Path, make_video: MakeVideo) -> None:
    video = make_video(tmp_path / "a.mp4", frames=8)
    with pytest.raises(ModelError, match="no temporal core"):
        inspect(checkpoint(tmp_path, "none"), video, out=tmp_path / "a")
    with pytest.raises(DataError, match="it ends at"):
        inspect(checkpoint(tmp_path), video, out=tmp_path / "a", at_s=100.0)
    with pytest.raises(ConfigError, match="no class 'cat'"):
        inspect(checkpoint(tmp_path), video, out=tmp_path / "a", class_name="cat")
    assert not (tmp_path / "a").exists()
