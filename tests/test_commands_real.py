"""Cases of `../shared/data/cases` that need a process of their own: their commands in a shell.

Streams that are closed, locales, other users, names that look like options, sound, and trainings.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest
import test_cases_real
import test_media_cases_real
from cases import copy_of

from lstmcli.dataset.manifest import Dataset

pytestmark = pytest.mark.real
ROOT = Path(__file__).parents[1]
FILM_ENDINGS = {".mkv", ".ts", ".mov", ".avi"}


@dataclass(frozen=True)
class Outcome:
    """Exit code, and stdout and stderr together, of the commands of a case in its folder."""

    folder: Path
    code: int
    text: str

    @property
    def codes(self) -> list[int]:
        """Exit codes that the commands print as `rc N`."""
        return [int(code) for code in re.findall(r"^rc (\d+)", self.text, re.MULTILINE)]

    def file(self, pattern: str) -> Path:
        (path,) = self.folder.glob(pattern)
        return path


def run_case(source: Path, folder: Path) -> Outcome:
    """Run the commands of a case in a copy of its folder."""
    copy_of(source, folder)
    return run_in(folder, (folder / "cmd").read_text(encoding="utf-8"), folder.parent)


def run_in(folder: Path, command: str, scratch: Path) -> Outcome:
    """Run commands of a shell in a folder; `lstmcli` is this program, by a file in `scratch`."""
    wrapper = scratch / "bin" / "lstmcli"
    wrapper.parent.mkdir(exist_ok=True)
    wrapper.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m lstmcli "$@"\n', encoding="utf-8")
    wrapper.chmod(0o755)
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=os.environ
        | {
            "PATH": f"{wrapper.parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=400,
    )
    text = done.stdout.decode("utf-8", "replace")
    assert "Traceback" not in text, text
    assert "internal error" not in text, text
    return Outcome(folder, done.returncode, text)


def moov_missing(done: Outcome) -> None:
    assert done.code == 1
    assert "clip.mp4" in done.text
    assert "moov" in done.text or "closed" in done.text


def tone_hz(path: Path) -> float:
    """Return the strongest frequency of the first sound of a file."""
    parts, rate = [], 1
    with av.open(str(path)) as container:
        for frame in container.decode(container.streams.audio[0]):
            samples, rate = frame.to_ndarray(), frame.sample_rate
            if not frame.format.is_planar:
                samples = samples.reshape(-1, len(frame.layout.channels)).T
            parts.append(samples[0].astype(np.float64))
    wave = np.concatenate(parts)
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave))))
    return float(spectrum.argmax() * rate / len(wave))


def sound_kept(done: Outcome) -> None:
    """The first sound has a codec that browsers play, and about the length of the picture."""
    assert done.code == 0, done.text
    written = done.file("*.annotated.mp4")
    with av.open(str(written)) as container:
        (sound,) = container.streams.audio
        (picture,) = container.streams.video
        assert sound.codec_context.name in {"aac", "mp3"}
        lengths = [float(s.duration * s.time_base) for s in (sound, picture)]
    (source,) = (path for path in done.folder.glob("clip.*") if path.suffix in FILM_ENDINGS)
    assert tone_hz(written) == pytest.approx(tone_hz(source), rel=0.01)
    assert lengths[0] == pytest.approx(lengths[1], abs=0.15)


def first_sound_kept(done: Outcome) -> None:
    """The first of two sounds, which is longer than the picture."""
    assert done.code == 0, done.text
    written = done.file("*.annotated.mp4")
    with av.open(str(written)) as container:
        assert len(container.streams.audio) == len(container.streams.video) == 1
    assert tone_hz(written) == pytest.approx(tone_hz(done.folder / "clip.mp4"), rel=0.01)


def broken_pictures(done: Outcome) -> None:
    named = re.findall(r"p\d\.jpg", done.text)
    assert len(set(named)) >= (1 if done.code else 2), done.text


def leading_dash(done: Outcome) -> None:
    assert done.codes == [2, 0]  # the third command prints none
    assert "write ./-cam.mp4" in done.text
    assert len(list(done.folder.glob("o*/-cam.annotated.mp4"))) == 2


def read_only_folder(done: Outcome) -> None:
    """As another user, or in /sys where such a user may not run this Python."""
    text = done.text
    if done.codes != [1]:
        film = done.folder / "src" / "a.mp4"
        again = run_in(Path("/sys"), f'lstmcli detect "{film}" --model sky', done.folder.parent)
        assert again.code == 1
        text = again.text
    assert "--out" in text


def long_name(done: Outcome) -> None:
    assert done.codes == [0] or "too long" in done.text


def ascii_locale(done: Outcome) -> None:
    assert done.codes == [0]
    assert done.file("*🐝.annotated.mp4").is_file()


def ascii_locale_classes(done: Outcome) -> None:
    assert done.codes == [0, 0]
    for out in ("dataset", "o2"):
        classes = json.loads((done.folder / out / "dataset.json").read_text("utf-8"))["classes"]
        assert any(not name.isascii() for name in classes)


def closed_streams(done: Outcome) -> None:
    assert done.codes == [0, 0, 0]
    assert not [line for line in done.text.splitlines()[:3] if len(line) > 44]


def decimal_comma(done: Outcome) -> None:
    assert done.codes == [2, 2, 2]


def other_classes(done: Outcome) -> None:
    resumed, _, rest = done.text.partition("--resume")[2].partition("--init")
    assert "classes" in resumed
    assert "the run has" in resumed
    started, _, evaluated = rest.partition("--eval")
    assert "started from r1" in started
    assert "F1" in evaluated, evaluated


def without_boxes_to_train(done: Outcome) -> None:
    """The only picture with a box trains, so that there is something to learn."""
    videos = Dataset.load(done.folder / "d1").videos
    assert [video.split for video in videos if len(video.labels.boxes)] == ["train"]
    assert (done.folder / "r1" / "best.pt").is_file(), done.text
    assert "annotate some objects" not in done.text


def class_none(done: Outcome) -> None:
    assert "None" in (done.folder / "o" / "v0.detections.csv").read_text("utf-8")
    assert done.codes == [0]


def one_frame(done: Outcome) -> None:
    assert done.codes == [1]
    assert "one.annotated.mp4" in done.text
    assert len(re.findall(r"^error: ", done.text, re.MULTILINE)) == 2
    assert "sound.mp4: sound.mp4" not in done.text


def linked_footage(done: Outcome) -> None:
    assert done.codes == [0]
    names = {path.name for path in (done.folder / "o").rglob("*.annotated.mp4")}
    assert names == {"a.annotated.mp4", "b.annotated.mp4"}


CHECKS: dict[str, Callable[[Outcome], None]] = {
    "35-moov-missing": moov_missing,
    "40-audio-vorbis-mkv": sound_kept,
    "41-audio-51-ac3-ts": sound_kept,
    "42-audio-pcm24-mov-96k": sound_kept,
    "43-audio-amr-3gp": sound_kept,
    "44-two-audio-subtitles": first_sound_kept,
    "53-html-as-jpeg": broken_pictures,
    "62-leading-dash": leading_dash,
    "63-read-only-cwd": read_only_folder,
    "64-long-name": long_name,
    "65-LANG-C": ascii_locale,
    "66-LANG-C-classes": ascii_locale_classes,
    "68-columns-40-stdin-closed": closed_streams,
    "69-decimal-comma-option": decimal_comma,
    "70-resume-other-classes": other_classes,
    "71-class-None": class_none,
    "72-train-without-boxes": without_boxes_to_train,
    "86-one-frame-sound-only-empty": one_frame,
    "91-symlinked-footage": linked_footage,
}


TRAINS = {"70-resume-other-classes", "71-class-None", "72-train-without-boxes"}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name in TRAINS else ()) for name in CHECKS],
)
def test_the_commands_of_a_case_give_the_expected_output(
    name: str, shared: Path, tmp_path: Path
) -> None:
    CHECKS[name](run_case(shared / "data" / "cases" / name, tmp_path / "case"))


def test_every_case_is_run_by_its_command(shared: Path) -> None:
    cases = {path.name for path in (shared / "data" / "cases").iterdir() if path.is_dir()}
    tables = (CHECKS, test_cases_real.CHECKS, test_media_cases_real.CHECKS)
    run = [name for table in tables for name in table]
    assert sorted(run) == sorted(cases)
