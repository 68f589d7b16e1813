"""The whole job in small: the commands of the README run on videos drawn on the spot."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import fsspec
import pytest

from lstmcli.cli.app import main
from lstmcli.core.progress import SilentProgress
from lstmcli.dataset.synthetic import write_video_set

README = Path(__file__).resolve().parents[2] / "README.md"
SMALL = (
    "--set backbone=tiny --set neck.channels=8 --set clips.length=2 --set train.batch_size=2 "
    "--set train.num_workers=0 --set input.motion_lag_s=0 "
    "--set train.min_clips_per_epoch=0 --epochs 1"
)
"""Makes any preset a matter of seconds."""
NOT_HERE = (
    "lstmcli demo",
    "lstmcli detect camera:0 --segment 10m",
    "lstmcli inspect runs/general video.mp4 --out inspected/",
    "lstmcli serve general --camera gate=rtsp://... --count lines.yaml --events mqtt://localhost/gate",
)
"""The demo has a slow test of its own, there is no camera, a run of seconds detects nothing, and
a service runs until it is stopped: tests/service/test_serve_command.py starts it."""
STAND_INS = {
    "--on ray --address HOST:6379": "--on here",
    "--on ray": "--on here",
    "s3://bucket": "memory://bucket",
}
"""Ray has a slow test of its own; a file system in memory stands for the object store, which has a
test of its own, too."""


def lstmcli(line: str) -> int:
    """Run a command line in this process and return its exit code."""
    with pytest.raises(SystemExit) as stop:
        main(shlex.split(line))
    code = stop.value.code
    return code if isinstance(code, int) else 0


def blocks(language: str) -> list[str]:
    """Return the code blocks of the README."""
    text = README.read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def readme_commands() -> list[str]:
    """Return the commands of the README that begin with `lstmcli`, without their comments."""
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    lines = [line.rpartition("pip install . && ")[2] for line in lines]
    return [line.partition(" #")[0].strip() for line in lines if line.startswith("lstmcli ")]


def draw(folder: Path, *, videos: int, seed: int, frames: int = 8) -> dict[str, Any]:
    """Draw a small annotated set and return its labels."""
    path = write_video_set(
        folder,
        videos=videos,
        seed=seed,
        frames=frames,
        size_hw=(64, 96),
        progress=SilentProgress(),
    )
    labels: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return labels


def write_part(path: Path, labels: dict[str, Any], videos: set[int], **changes: Any) -> None:
    """Write the labels of some of the videos."""
    part = labels | {
        "videos": [video for video in labels["videos"] if video["id"] in videos],
        "images": [image for image in labels["images"] if image["video_id"] in videos],
        "annotations": [box for box in labels["annotations"] if box["video_id"] in videos],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(part | changes), encoding="utf-8")


def add_what_the_readme_names(folder: Path, labels: dict[str, Any]) -> None:
    """Lay down the files that the examples of the README mention."""
    write_part(folder / "train.json", labels, {1, 2})
    write_part(folder / "val.json", labels, {3})
    vehicles = [{"id": n + 1, "name": name} for n, name in enumerate(("car", "van", "lorry"))]
    write_part(folder / "labels.json", labels, {1, 2, 3}, categories=vehicles)
    bare = [video | {"file_name": Path(video["file_name"]).name} for video in labels["videos"]]
    write_part(folder / "annotations" / "all.json", labels | {"videos": bare}, {1, 2, 3})
    draw(folder / "other-place", videos=1, seed=2)
    long = draw(folder / "long", videos=1, seed=3, frames=200)
    video = long["videos"][0]
    write_part(
        folder / "long-video.json",
        long | {"videos": [video | {"file_name": "long/" + video["file_name"]}]},
        {1},
    )
    (folder / "footage").mkdir()
    for video in labels["videos"][:2]:
        name = video["file_name"]
        (folder / "footage" / Path(name).name).symlink_to(folder / name)
        store = fsspec.filesystem("memory")
        store.pipe(f"/bucket/footage/{Path(name).name}", (folder / name).read_bytes())
    (folder / "lines.yaml").write_text(blocks("yaml")[0], encoding="utf-8")


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a user has it: videos and labels."""
    folder = tmp_path_factory.mktemp("work") / "my-footage"
    draw(folder, videos=4, seed=1)
    draw(folder.parent / "new", videos=1, seed=4)
    for name in ("new-video.mp4", "video.mp4"):
        (folder / name).symlink_to(next(folder.parent.glob("new/videos/*.mp4")))
    return folder


def test_every_command_of_the_readme_runs(
    footage: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the order of the README, in one folder, each in small."""
    commands = readme_commands()
    assert set(NOT_HERE) < set(commands)
    monkeypatch.chdir(footage)
    bare = commands.index("lstmcli prepare")
    first = commands[bare : bare + 4]
    assert [line.split()[1] for line in first] == ["prepare", "train", "evaluate", "detect"]
    for line in commands:
        if line in NOT_HERE:
            continue
        if line == commands[bare + 4]:
            labels = json.loads((footage / "annotations.json").read_text(encoding="utf-8"))
            add_what_the_readme_names(footage, labels)
        words = line.removeprefix("lstmcli ")
        for there, here in STAND_INS.items():
            words = words.replace(there, here)
        if words.startswith("train"):
            words += " --epochs 2" if "--resume" in words else f" {SMALL}"
        elif words.startswith("prepare"):
            words += " --overwrite"
        code = lstmcli(words)
        said = capsys.readouterr()
        assert code == 0, f"{line}\n{said.err}"
        assert "Traceback" not in said.err, line
        assert "nan" not in said.out.lower().split(), line
    assert (footage / "new-video.annotated.mp4").is_file()
    assert len(fsspec.filesystem("memory").glob("/bucket/results/*.detections.jsonl")) == 2
    fsspec.filesystem("memory").store.clear()
    assert (footage / "new-video.detections.jsonl").is_file()
    assert (footage / "report").is_dir()
    for name in ("best.pt", "last.pt", "config.yaml", "metrics.csv", "curves.png"):
        assert (footage / "runs" / "general" / name).is_file(), name
    assert not list(footage.rglob("*.part"))


def test_the_json_of_evaluate_has_the_fields_of_the_readme(footage: Path) -> None:
    """Runs after the commands above, on what they left."""
    path = footage / "scores.json"
    if not path.is_file():
        pytest.skip("the commands of the README did not run in this process")
    values = json.loads(path.read_text(encoding="utf-8"))
    section = README.read_text(encoding="utf-8").partition("**`evaluate --json`**")[2]
    named = re.findall(r"`(\w+)`", section.partition("\n\n")[0])
    known = {*values, "null"}
    assert {"map50", "per_class", "speed"} <= set(named)
    assert set(named) <= known


def test_the_lines_of_detect_are_as_the_readme_shows(footage: Path) -> None:
    """Runs after the commands above, on what they left."""
    path = footage / "new-video.detections.jsonl"
    if not path.is_file():
        pytest.skip("the commands of the README did not run in this process")
    example = json.loads(blocks("json")[0])
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [line["frame"] for line in lines] == list(range(8))
    for line in lines:
        assert set(line) == set(example)
        for found in line["detections"]:
            assert set(found) == set(example["detections"][0])


def test_the_python_of_the_readme_runs(footage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs after the commands above, on the run that they left."""
    if not (footage / "runs" / "general" / "best.pt").is_file():
        pytest.skip("the commands of the README did not run in this process")
    monkeypatch.chdir(footage)
    names: dict[str, Any] = {}
    exec(compile(blocks("python")[0], "README.md", "exec"), names)
    assert names["frame"].shape == (64, 96, 3)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("prepare nothing.json", "nothing.json"),
        ("prepare", "label"),
        ("train", "dataset.json"),
        ("train --preset smal", "there is no preset named 'smal'"),
        ("train --set train.lrr=1", "there is no setting 'train.lrr'"),
        ("train --resume runs/none", "runs/none"),
        ("evaluate runs/none", "runs/none"),
        ("detect nothing.mp4", "nothing.mp4"),
        ("demo --out full", "full exists and is not empty"),
    ],
)
def test_a_missing_path_is_an_error_of_two_lines(
    line: str,
    problem: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    assert lstmcli(line) == 1
    said = capsys.readouterr()
    assert said.out == ""
    talk = ("using ", "1. ")
    lines = [text for text in said.err.splitlines() if not text.startswith(talk)]
    assert [text.partition(" ")[0] for text in lines] == ["error:", "hint:"], said.err
    assert problem in lines[0]
    assert [path.name for path in tmp_path.rglob("*")] == ["full", "mine.txt"]


@pytest.mark.parametrize(
    "line",
    [
        "prepare --size 640",
        "prepare --split 1.5",
        "prepare --grid 1",
        "prepare --rename car",
        "train --time-budget soon",
        "train --resume a --out b",
        "train --epochs 0",
        "evaluate",
        "evaluate a --threshold 2",
        "detect",
        "detect a.mp4 --start yesterday",
        "detect a.mp4 --style ghost",
    ],
)
def test_misused_options_exit_two_before_any_import(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert lstmcli(line) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
