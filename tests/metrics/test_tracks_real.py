"""HOTA, MOTA, IDF1 and switches of `evaluate` are TrackEval's own of what `detect` writes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstmcli.cli.app import main

FRAME_WH = (640, 480)


def run(*arguments: str) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert not stop.value.code


def clipped(source: Path, target: Path) -> None:
    """Copy ground truth with its boxes cut to the frame, as `evaluate` scores them."""
    rows = np.loadtxt(source, delimiter=",")
    corners = np.hstack((rows[:, 2:4], rows[:, 2:4] + rows[:, 4:6]))
    corners = corners.clip(0, FRAME_WH * 2)
    rows[:, 2:4], rows[:, 4:6] = corners[:, :2], corners[:, 2:] - corners[:, :2]
    target.parent.mkdir(parents=True)
    np.savetxt(target, rows, fmt="%g", delimiter=",")


def counted_by_trackeval(gt: Path, tracked: Path, folder: Path, frames: int) -> dict[str, Any]:
    """Return the results of TrackEval, which reads the files itself."""
    trackeval = pytest.importorskip("trackeval")
    clipped(gt, folder / "gt" / "TUD-Campus" / "gt" / "gt.txt")
    rows = folder / "trackers" / "ours" / "data" / "TUD-Campus.txt"
    rows.parent.mkdir(parents=True)
    shutil.copyfile(tracked, rows)
    data = trackeval.datasets.MotChallenge2DBox(
        {
            "GT_FOLDER": str(folder / "gt"),
            "TRACKERS_FOLDER": str(folder / "trackers"),
            "BENCHMARK": "MOT15",
            "SEQ_INFO": {"TUD-Campus": frames},
            "SKIP_SPLIT_FOL": True,
            "PRINT_CONFIG": False,
        }
    )
    quiet = {"PRINT_CONFIG": False}
    metrics = trackeval.metrics.HOTA(), trackeval.metrics.CLEAR(quiet)
    identity = trackeval.metrics.Identity(quiet)
    raw = data.get_raw_seq_data("ours", "TUD-Campus")
    sequence = data.get_preprocessed_seq_data(raw, "pedestrian")
    found: dict[str, Any] = {}
    for metric in (*metrics, identity):
        found |= metric.eval_sequence(sequence)
    return found


@pytest.mark.real
def test_tracks_of_real_footage_are_scored_as_trackeval_scores_what_detect_writes(
    shared: Path, tmp_path: Path
) -> None:
    """Boxes have two decimals in the file, so overlaps differ in the fifth digit."""
    folder = shared / "data" / "people" / "TUD-Campus"
    scores = tmp_path / "scores.json"
    common = ("--device", "cpu", "--engine", "torch")
    run("-q", "evaluate", "general", str(folder), "--json", str(scores), *common)
    out = tmp_path / "out"
    only = ("--write", "mot", "--classes", "person")
    run("-q", "detect", str(folder / "img1"), "--out", str(out), *only, *common)
    (tracked,) = out.glob("*.mot/gt/gt.txt")
    values = json.loads(scores.read_text(encoding="utf-8"))
    tracks = values["tracks"]
    theirs = counted_by_trackeval(folder / "gt" / "gt.txt", tracked, tmp_path, values["frames"])
    assert tracks["hota"] == pytest.approx(float(np.mean(theirs["HOTA"])), abs=1e-3)
    assert tracks["detection_accuracy"] == pytest.approx(float(np.mean(theirs["DetA"])), abs=1e-3)
    assert tracks["association_accuracy"] == pytest.approx(float(np.mean(theirs["AssA"])), abs=1e-3)
    assert tracks["mota"] == pytest.approx(theirs["MOTA"], abs=1e-9)
    assert tracks["idf1"] == pytest.approx(theirs["IDF1"], abs=1e-9)
    ours = [tracks[key] for key in ("id_switches", "fragmentations", "mostly_tracked")]
    assert ours == [theirs[key] for key in ("IDSW", "Frag", "MT")]
    assert tracks["idf1"] > 0.3, "the parity would mean little of nothing"
