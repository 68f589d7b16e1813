"""Whatever ends the process, a file that has its name is complete, and a partial video plays."""

from __future__ import annotations

import json
import multiprocessing
import random
import time
from pathlib import Path

import pytest
from conftest import MakeVideo, grey_level
from test_detect import Eye

from lstmcli.video import read_frames
from lstmcli.workflows.detect import DetectOptions, detect

FRAMES = 400


def work(source: str, out: str, began: object) -> None:
    began.set()
    detect(
        [source],
        DetectOptions(
            out=Path(out), write=("video", "jsonl", "csv", "coco", "mot"), overwrite=True
        ),
        make_predictor=Eye,
    )


@pytest.mark.slow
def test_killing_the_process_at_ten_random_moments_never_leaves_an_invalid_file(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    source = make_video(tmp_path / "a.mp4", FRAMES, sound="aac")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["lstmcli.workflows.detect"])

    def start(out: Path) -> multiprocessing.process.BaseProcess:
        began = context.Event()
        process = context.Process(target=work, args=(str(source), str(out), began))
        process.start()
        assert began.wait(60)
        return process

    whole = start(tmp_path / "whole")
    begin = time.monotonic()
    whole.join()
    length_s = time.monotonic() - begin
    assert whole.exitcode == 0
    check(tmp_path / "whole")
    assert len(list((tmp_path / "whole").iterdir())) == 5
    moments = random.Random(7)
    played = 0
    for turn in range(10):
        out = tmp_path / f"killed{turn}"
        process = start(out)
        process.join(moments.uniform(0.05, 1.0) * length_s)
        process.kill()
        process.join()
        played += check(out)
    assert played >= 3


def check(out: Path) -> int:
    """Check what a killed run left; return whether it left a partial video that plays."""
    played = 0
    for path in out.iterdir() if out.exists() else ():
        is_partial = ".partial" in path.name
        if ".lstmcli-" in path.name:
            continue  # hidden, and never named as an output
        if path.name == "a.annotated.mp4":
            assert len(list(read_frames(path))) == FRAMES
        elif path.name == "a.detections.jsonl":
            assert len(path.read_text(encoding="utf-8").splitlines()) == FRAMES
        elif path.name == "a.detections.csv":
            assert len(path.read_text(encoding="utf-8").splitlines()) == FRAMES + 1
        elif path.name == "a.coco.json":
            assert len(json.loads(path.read_text(encoding="utf-8"))["images"]) == FRAMES
        elif path.name == "a.mot":
            assert f"seqLength={FRAMES}" in (path / "seqinfo.ini").read_text(encoding="utf-8")
        else:
            assert is_partial, path.name
        if path.name == "a.detections.partial.jsonl":
            for i, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
                assert json.loads(line)["frame"] == i
        if path.name == "a.annotated.partial.mp4" and path.stat().st_size > 2000:
            for i, frame in enumerate(read_frames(path)):
                assert abs(float(frame.rgb()[20:40, :8].mean()) - grey_level(i)) < 25
                played = 1
    return played
