"""Runs the commands of a case of `../shared/data/cases` and reads what they wrote.

A case is a folder with `cmd` (what a person typed) and `expected` (what that person needs).
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from lstmcli.cli.app import main
from lstmcli.dataset.manifest import Dataset


@dataclass
class Said:
    """What a command returned and printed; `text` is both streams in one line of small letters."""

    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", f"{self.out} {self.err}").lower()

    @property
    def warnings(self) -> list[str]:
        return re.findall(r"^warning: (.*)", self.err, re.MULTILINE)


@dataclass
class Case:
    """A copy of a case, in which the process stands."""

    folder: Path
    capture: pytest.CaptureFixture[str]
    said: list[Said] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def last(self) -> Said:
        return self.said[-1]

    def lstmcli(self, *arguments: str) -> Said:
        """Run one command in this process."""
        self.capture.readouterr()
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        code = stop.value.code
        printed = self.capture.readouterr()
        self.said.append(Said(code if isinstance(code, int) else 0, printed.out, printed.err))
        return self.said[-1]

    def run(self) -> None:
        """Run the commands of `cmd` one after another, as a shell does."""
        for text in re.split(r";|&&", (self.folder / "cmd").read_text(encoding="utf-8")):
            words = shlex.split(text)
            if words[:1] == ["lstmcli"]:
                self.lstmcli(*words[1:])
            elif words[:2] == ["rm", "-rf"]:
                shutil.rmtree(words[2])
            else:
                assert words[:1] in ([], ["echo"]), f"{text!r} needs a shell"

    def done(self) -> Said:
        """Return what the last command said; all of them succeeded."""
        assert self.said
        assert all(each.code == 0 for each in self.said), self.last.err
        return self.last

    def failed(self) -> Said:
        """Return what the last command said; it is an expected error and no defect of ours."""
        assert self.last.code == 1
        assert "error:" in self.last.text
        assert "traceback" not in self.last.text
        assert "internal error" not in self.last.text
        return self.last

    def coco(self, name: str = "o.json") -> dict[str, Any]:
        top: dict[str, Any] = json.loads((self.folder / name).read_text(encoding="utf-8"))
        return top

    def boxes(self, frame: int, name: str = "o.json") -> list[list[float]]:
        """Return x1, y1, x2, y2 of the boxes of a frame of the only film."""
        top = self.coco(name)
        ids = {row["id"] for row in top["images"] if row.get("frame_id") == frame}
        found = [row["bbox"] for row in top["annotations"] if row["image_id"] in ids]
        return [[x, y, x + w, y + h] for x, y, w, h in found]

    def pictures(self, name: str = "o.json") -> dict[str, list[list[float]]]:
        """Return x1, y1, x2, y2 of the boxes of each image by the name of its file."""
        top = self.coco(name)
        found: dict[str, list[list[float]]] = {}
        for image in top["images"]:
            rows = [row["bbox"] for row in top["annotations"] if row["image_id"] == image["id"]]
            stem = re.split(r"[/\\]", image["file_name"])[-1].rpartition(".")[0]
            found[stem] = [[x, y, x + w, y + h] for x, y, w, h in rows]
        return found

    def dataset(self, name: str = "dataset") -> Dataset:
        return Dataset.load(self.folder / name)

    def frames(self, name: str = "dataset") -> dict[int, int]:
        """Return how many counted boxes each annotated frame of all videos holds."""
        counts: dict[int, int] = {}
        for video in self.dataset(name).videos:
            for frame in video.labels.annotated_frames.tolist():
                found = video.labels.at(frame)
                assert found is not None
                counts[frame] = counts.get(frame, 0) + int((~found.ignore).sum())
        return counts

    def splits(self, name: str = "dataset") -> dict[str, int]:
        parts = [video.split for video in self.dataset(name).videos]
        return {part: parts.count(part) for part in ("train", "val", "test")}

    def count(self, name: str = "dataset") -> int:
        """Return how many boxes count."""
        return sum(int((~video.labels.ignore).sum()) for video in self.dataset(name).videos)

    def stills(self, name: str = "dataset") -> dict[str, list[list[float]]]:
        """Return the counted boxes of each picture by its name."""
        return {
            Path(video.name).name: video.labels.boxes[~video.labels.ignore].tolist()
            for video in self.dataset(name).videos
        }

    def times(self, records: str) -> list[float]:
        """Return the time of each frame in a `.detections.jsonl`."""
        lines = (self.folder / records).read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        assert [row["frame"] - rows[0]["frame"] for row in rows] == list(range(len(rows)))
        return [row["time"] for row in rows]


Check = Callable[[Case], None]


SIDE = 24
"""Pixels of the red square."""


def square(frame: int, size_wh: tuple[int, int] = (160, 120)) -> list[int]:
    """Return where the red square of the cases lies in a frame: x1, y1, x2, y2."""
    x, y = (10 + 4 * frame) % (size_wh[0] - SIDE), (20 + 2 * frame) % (size_wh[1] - SIDE)
    return [x, y, x + SIDE, y + SIDE]


def number_of(picture: np.ndarray[Any, Any]) -> int:
    """Return the number that the red square of a picture [H, W, 3] codes, of 0 to 119."""
    red = picture[..., 0].astype(int) - picture[..., 1:].max(axis=2) > 60
    sides = [square(n, (red.shape[1], red.shape[0])) for n in range(120)]
    shares = [red[y1:y2, x1:x2].mean() for x1, y1, x2, y2 in sides]
    best = int(np.argmax(shares))
    assert shares[best] > 0.7, "there is a red square"
    return best


def pictures_of(path: Path) -> Iterator[np.ndarray[Any, Any]]:
    """Yield the frames of a video as they are stored, RGB."""
    with av.open(str(path)) as container:
        for frame in container.decode(container.streams.video[0]):
            yield frame.to_ndarray(format="rgb24")


def numbers_of(path: Path) -> list[int]:
    """Return the numbers that the frames of a video code."""
    return [number_of(picture) for picture in pictures_of(path)]


def copy_of(source: Path, target: Path) -> None:
    """Copy a case; a tiny file that holds only the path of a folder beside it becomes a link."""
    shutil.copytree(source, target, copy_function=shutil.copyfile, symlinks=True)
    for path in (target, *sorted(target.rglob("*"))):
        if path.is_symlink():
            continue
        path.chmod(0o755 if path.is_dir() else 0o644)
        if path.is_file() and 0 < path.stat().st_size < 60 and not path.suffix:
            text = path.read_text(encoding="utf-8", errors="replace")
            if text.startswith("../") and (path.parent / text).is_dir():
                path.unlink()
                path.symlink_to(text)


def run_here(
    source: Path,
    folder: Path,
    patch: pytest.MonkeyPatch,
    capture: pytest.CaptureFixture[str],
) -> Case:
    """Run the commands of a case in a copy of it, in this process, and return what came of them."""
    copy_of(source, folder)
    patch.chdir(folder)
    patch.setenv("COLUMNS", "200")
    case = Case(folder, capture)
    case.run()
    return case
