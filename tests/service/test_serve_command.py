"""`lstmcli serve` as the README starts it: a process of its own, ended by Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from conftest import MakeVideo

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")


def get(address: str) -> Any:
    with urllib.request.urlopen(address, timeout=20) as answer:
        return json.loads(answer.read())


def until_true(address: str, key: str, value: str) -> Any:
    ends = time.monotonic() + 60
    while (record := get(address))[key] != value:
        assert time.monotonic() < ends, record
        time.sleep(0.1)
    return record


@pytest.mark.skipif(shutil.which("curl") is None, reason="runs the README's curl command")
def test_the_command_of_the_readme_serves_a_camera_and_a_video(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    (command,) = re.findall(r"^(lstmcli serve .*)$", README, re.MULTILINE)
    (upload,) = re.findall(r"`(curl -T [^`]*)`", README)
    make_video(tmp_path / "video.mp4", 25)
    lines = re.search(r"```yaml\n(.*?)```", README, re.DOTALL)
    assert lines
    (tmp_path / "lines.yaml").write_text(lines[1], encoding="utf-8")
    command = command.replace("rtsp://...", "video.mp4").replace("mqtt://localhost/gate", "log")
    words = [*shlex.split(command)[1:], "--port", "0", "--engine", "torch", "--device", "cpu"]
    process = subprocess.Popen(
        [sys.executable, "-m", "lstmcli", *words],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        address = process.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:"), process.communicate(timeout=20)
        port = address.rstrip("/").rpartition(":")[2]
        words = shlex.split(upload.replace("localhost:8765", f"127.0.0.1:{port}"))
        sent = subprocess.run(
            [*words, "--silent", "--noproxy", "*"], cwd=tmp_path, capture_output=True, check=True
        )
        job = json.loads(sent.stdout)
        done = until_true(f"{address}videos/{job['id']}", "state", "done")
        assert done["frames"] == 25
        (camera,) = get(f"{address}state")["cameras"]
        assert (camera["name"], camera["state"]) == ("gate", "live")
        process.send_signal(signal.SIGINT)
        out, said = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, said
    assert out == ""
    assert "Traceback" not in said
    assert said.splitlines()[-1] == "stopped"
    assert (tmp_path / "log").exists()
