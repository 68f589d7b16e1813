"""Recordings and pictures from public reports: the stated command gives what is expected.

The cases are those of `../shared/data/cases`. The red square of every picture codes its number, so
the frames of a written film tell their order; `FILMS` holds what must come of each film.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from cases import Case, Check, number_of, numbers_of, pictures_of, run_here

from lstmcli.dataset.manifest import PreparedVideo
from lstmcli.video import probe

pytestmark = pytest.mark.real


@dataclass(frozen=True)
class Film:
    """What must come of a film.

    Args:
        numbers: that its frames code, in the order in which they are shown.
        step_s: from frame to frame; None: it varies.
        word: of what must be said; None: nothing is.
        seconds: length of the film that is written.
        size_wh: of that film.
        stem: of the outputs.
        more: looks at what else is expected.
    """

    numbers: list[int]
    step_s: float | None = 0.04
    word: str | None = None
    seconds: float | None = None
    size_wh: tuple[int, int] = (160, 120)
    stem: str = "clip"
    more: Callable[[Case, Path], None] = field(default=lambda case, path: None)

    def check(self, case: Case) -> None:
        said = case.done()
        written = case.folder / f"{self.stem}.annotated.mp4"
        times = case.times(f"{self.stem}.detections.jsonl")
        assert len(times) == len(self.numbers)
        steps = [b - a for a, b in pairwise(times)]
        assert min(steps) > 0
        if self.step_s is not None:
            assert steps == pytest.approx([self.step_s] * len(steps), abs=2e-3)
        pictures = list(pictures_of(written))
        assert {picture.shape[1::-1] for picture in pictures} == {self.size_wh}
        if self.size_wh[0] >= self.size_wh[1]:  # the square of an upright film is turned
            assert [number_of(picture) for picture in pictures] == self.numbers
        if self.word is None:
            assert said.warnings == []
        else:
            assert any(self.word in text for text in said.warnings), said.warnings
        assert times_of(written) == pytest.approx([t - times[0] for t in times], abs=0.002)
        if self.seconds is not None:
            assert probe(written).duration_s == pytest.approx(self.seconds, abs=0.06)
        self.more(case, written)


def times_of(path: Path) -> list[float]:
    """Return the times of the frames of a film, from 0."""
    with av.open(str(path)) as container:
        times = [float(frame.time) for frame in container.decode(container.streams.video[0])]
    return [time_s - times[0] for time_s in times]


def source_times_kept(case: Case, written: Path) -> None:
    """Every frame has the time that the source gives it."""
    (source,) = (path for path in case.folder.glob("clip.*") if path.stem == "clip")
    assert times_of(written) == pytest.approx(times_of(source), abs=0.002)


def turned_upright(case: Case, written: Path) -> None:
    """The container turns the picture; what is written is turned itself and says nothing of it."""
    with av.open(str(case.folder / "clip.mov")) as container:
        degrees = next(container.decode(container.streams.video[0])).rotation
    assert degrees in {90, -90}
    with av.open(str(written)) as container:
        assert next(container.decode(container.streams.video[0])).rotation == 0
    lying = [np.rot90(picture, -degrees // 90) for picture in pictures_of(written)]
    assert [number_of(picture) for picture in lying] == list(range(30))
    assert (case.folder / "clip.frames").is_dir(), "--write frames"


def pixel_aspect_kept(case: Case, written: Path) -> None:
    with av.open(str(written)) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(16, 11)


def plain_colours(case: Case, written: Path) -> None:
    """8 bit, and no player takes the colours for HDR."""
    with av.open(str(written)) as container:
        context = container.streams.video[0].codec_context
        assert context.pix_fmt == "yuv420p"
        hlg, pq, bt2020 = 18, 16, 9
        assert context.color_trc not in {hlg, pq}
        assert context.color_primaries != bt2020


def in_step_with_the_sound(case: Case, written: Path) -> None:
    """The picture begins 3 s after the sound, also where a part is cut out."""

    def starts(path: Path) -> list[float]:
        """Return when picture and sound begin, and when they end."""
        with av.open(str(path)) as container:
            picture = [float(f.time) for f in container.decode(container.streams.video[0])]
        with av.open(str(path)) as container:
            sound = [
                (float(f.time), f.samples / f.sample_rate)
                for f in container.decode(container.streams.audio[0])
            ]
        return [picture[0], sound[0][0], picture[-1] + 0.04, sum(sound[-1])]

    source, whole = starts(case.folder / "clip.mkv"), starts(written)
    assert whole[0] - whole[1] == pytest.approx(source[0] - source[1], abs=0.05)
    part = starts(case.folder / "o" / "clip.annotated.mp4")
    assert part[0] == pytest.approx(part[1], abs=0.05)
    assert part[2] == pytest.approx(part[3], abs=0.1)
    assert part[2] - part[0] == pytest.approx(0.6, abs=0.05)


def second_film_can_be_chosen(case: Case, written: Path) -> None:
    case.lstmcli("detect", "clip.mp4#2", "--model", "sky", "--out", "rear")
    case.done()
    (rear,) = (case.folder / "rear").glob("*.mp4")
    assert {picture.shape[1::-1] for picture in pictures_of(rear)} == {(160, 120)}
    assert numbers_of(rear) == list(range(30))


def part_of_a_webm(case: Case) -> None:
    """A file without duration or index: a part of it, and all of it."""
    case.lstmcli("detect", "clip.webm", "--model", "sky", "--out", "whole")
    case.done()
    assert numbers_of(case.folder / "clip.annotated.mp4") == list(range(10, 20))
    assert case.times("clip.detections.jsonl")[0] == pytest.approx(0.4, abs=0.002)
    whole = case.folder / "whole" / "clip.annotated.mp4"
    assert numbers_of(whole) == list(range(30))
    assert probe(whole).duration_s == pytest.approx(1.2, abs=0.06)


def animated_pictures(case: Case) -> None:
    """Animated WebP and APNG are films of 12 frames."""
    case.done()
    for name in ("o/clip", "o/clip2", "p/clip"):
        times = case.times(f"{name}.detections.jsonl")
        assert [b - a for a, b in pairwise(times)] == pytest.approx([0.1] * 11, abs=2e-3)
        assert numbers_of(case.folder / f"{name}.annotated.mp4") == list(range(12))


FILMS = {
    "104-ts-wrap": Film([*range(60)], seconds=2.4),
    "105-picture-begins-late": Film([*range(40)], more=in_step_with_the_sound),
    "25-edit-list-cut": Film([*range(33, 100)], seconds=2.68),
    "26-no-pts-bframes-avi": Film([*range(60)], seconds=2.4),
    "27-raw-h264": Film([*range(60)], 1 / 30, seconds=2.0),
    "28-ts-joined": Film([*range(40), *range(40)], word="jumps back", seconds=3.2),
    "28b-ts-jump-forward": Film([*range(40), *range(40)], None, "jumps ahead by 1:59:58"),
    "29-ts-no-keyframe": Film([*range(30, 90)], word="in front of the first key frame"),
    "30-vfr": Film(
        [*range(43), 44, 46, 49, 51, 53, 56, 58], None, seconds=11.2, more=source_times_kept
    ),
    "31-rotated-mov": Film([*range(30)], size_wh=(120, 160), more=turned_upright),
    "32-hlg-10bit": Film([*range(30)], word="HDR", more=plain_colours),
    "33-cover-picture": Film([*range(30)], seconds=1.2),
    "34-two-video-streams": Film(
        [*range(30)], word="#2", size_wh=(320, 240), more=second_film_can_be_chosen
    ),
    "36-truncated-mkv": Film([*range(60)], word="cut off", seconds=2.4),
    "45-sar": Film([*range(30)], size_wh=(144, 112), more=pixel_aspect_kept),
    "46-prores4444-alpha": Film([*range(10)], seconds=0.4),
    "47-vp9-alpha": Film([*range(20)], seconds=0.8),
    "48-gif-delays": Film([*range(12)], None, seconds=3.6, more=source_times_kept),
    "82-avi-empty-packets": Film(
        [*range(10), *range(15, 25), *range(30, 40)], None, seconds=1.6, more=source_times_kept
    ),
    "84-odd-size": Film([*range(20)], word="odd sides", size_wh=(162, 122)),
    "85-240fps": Film([*range(60)], 1 / 240, seconds=0.25),
}


def assert_red_in(video: PreparedVideo, box: Any, picture: Any) -> None:
    """The inside of a box shows the red square."""
    x1, y1, x2, y2 = np.round(box).astype(int)
    inside = picture[y1 + 6 : y2 - 6, x1 + 6 : x2 - 6].reshape(-1, 3)
    red, green, _ = np.median(inside, axis=0)
    assert red > 150 > green, video.name


def pictures_read(case: Case, frames: int) -> None:
    """So many pictures are prepared, in both parts; the box of each lies on the square."""
    case.done()
    dataset = case.dataset()
    assert sum(len(video.frames) for video in dataset.videos) == frames
    assert {video.split for video in dataset.videos} == {"train", "val"}


def kinds_of_pictures(case: Case) -> None:
    """All kinds look as in a viewer: none is black, and colour shows the square as red."""
    pictures_read(case, 10)
    assert "stretched" in case.last.text
    dataset = case.dataset()
    levels = {}
    for video in dataset.videos:
        ((_, _, picture),) = dataset.frames(video)
        levels[Path(video.name).name] = picture
        (box,) = dataset.canvas_boxes(video, video.labels.boxes)
        x1, y1, x2, y2 = np.round(box).astype(int)
        around = np.delete(picture, np.s_[y1:y2], axis=0)
        inside = picture[y1 + 6 : y2 - 6, x1 + 6 : x2 - 6]
        difference = np.abs(inside.mean(axis=(0, 1)) - around.mean(axis=(0, 1))).max()
        assert difference > 10, f"{video.name}: the square is seen"
    assert levels["p0"].mean() > 60, "12 bits in a 16-bit PNG were almost black (13)"


def endings(case: Case) -> None:
    pictures_read(case, 6)
    dataset = case.dataset()
    for video in dataset.videos:
        ((_, _, picture),) = dataset.frames(video)
        (box,) = dataset.canvas_boxes(video, video.labels.boxes)
        assert_red_in(video, box, picture)


def broken_picture(case: Case) -> None:
    pictures_read(case, 5)
    assert "p3.jpg: the image is damaged" in case.last.text
    assert "p3" not in {Path(video.name).name for video in case.dataset().videos}


def damaged_film(case: Case) -> None:
    """Labels stay with their frames where some are lost."""
    case.done()
    prepared, detected = case.said
    assert "frames 20-22" in prepared.text
    assert "frames 20-22" in detected.text
    assert len(case.times("clip.detections.jsonl")) == 37
    dataset = case.dataset()
    numbers = [int(n) for video in dataset.videos for n in video.frames]
    assert numbers == list(range(19))  # no key frame follows, so that all others show smears
    for video in dataset.videos:
        for number, time_s, picture in dataset.frames(video):
            assert time_s == pytest.approx(number / 25, abs=1e-3)
            assert number_of(picture) == number
            found = video.labels.at(number)
            assert found is not None
            (box,) = dataset.canvas_boxes(video, found.boxes)
            assert_red_in(video, box, picture)


def stored_photos(case: Case) -> None:
    """Boxes of the stored size turn with the picture."""
    assert "exif" in case.done().text
    dataset = case.dataset("ds")
    assert len(dataset.videos) == 4
    for video in dataset.videos:
        assert video.size_hw == (160, 120)
        ((_, _, picture),) = dataset.frames(video)
        (box,) = dataset.canvas_boxes(video, video.labels.boxes)
        assert_red_in(video, box, picture)


CHECKS: dict[str, Check] = {
    **{name: film.check for name, film in FILMS.items()},
    "09-exif-voc-stored": stored_photos,
    "49-animated-webp-apng": animated_pictures,
    "50-picture-kinds": kinds_of_pictures,
    "51-picture-endings": endings,
    "52-corrupt-jpeg": broken_picture,
    "52b-corrupt-jpeg-coco": broken_picture,
    "59-damaged-video-prepare": damaged_film,
    "83-mediarecorder-webm": part_of_a_webm,
}


@pytest.mark.parametrize("name", CHECKS)
def test_the_command_of_a_case_gives_what_is_expected(
    name: str,
    shared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    case = run_here(shared / "data" / "cases" / name, tmp_path / name, monkeypatch, capsys)
    CHECKS[name](case)
