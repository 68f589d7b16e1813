"""Finds the videos and images that a label file speaks of, wherever they lie on this computer."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np

from lstmcli.core.errors import DataError, MediaError
from lstmcli.core.media_files import IMAGE_SUFFIXES, VIDEO_SUFFIXES, walk
from lstmcli.core.types import LabelSet, VideoLabels
from lstmcli.labels.ambiguous_media import resolve_ambiguous
from lstmcli.labels.builder import (
    MOST_FRAMES,
    as_path,
)
from lstmcli.labels.clock import LabelRate, Times, align, nearest_frames
from lstmcli.labels.plausibility import check_axes, check_fractions
from lstmcli.labels.sequences import as_one_video, extracted_from
from lstmcli.labels.warning_collector import WarningCollector

MOST_ENTRIES = 300_000
"""Most files that are searched in the folder above the labels before the search gives up."""


def written_forms(written: str) -> list[PurePosixPath]:
    """Return the candidate paths of a text of a label file, the most literal one first.

    Understands file and http addresses, URL escapes, backslashes, and Label Studio's
    `/data/local-files/?d=PATH` and `/data/upload/1/0a1b2c3d-NAME`
    (https://labelstud.io/guide/storage, https://labelstud.io/guide/tasks).
    """
    texts = [written]
    if "://" in written or "?" in written or "%" in written:
        parts = urlsplit(written)
        asked = parse_qs(parts.query).get("d", [])
        texts += [unquote(text) for text in (*asked, parts.path, written)]
    forms = [as_path(text) for text in texts if text.strip()]
    for form in list(forms):
        bare = re.sub(r"^[0-9a-f]{8}-", "", form.name)
        if bare != form.name and bare:
            forms.append(PurePosixPath(bare))
    return list(dict.fromkeys(forms))


def media_files(root: Path, most: int | None = None) -> Iterator[Path]:
    """Yield the videos and images below a folder, hidden and prepared folders left out."""
    entries = 0
    for folder, folders, files in walk(root):
        if "dataset.json" in files and folder != root:
            folders.clear()
            continue
        entries += len(files)
        if most is not None and entries > most:
            return
        for name in files:
            suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 - a million times
            known = suffix in VIDEO_SUFFIXES or suffix in IMAGE_SUFFIXES
            if known and not name.startswith(".") and ".annotated." not in name:
                yield folder / name


def _key(name: str) -> str:
    return as_path(name).name.casefold()


def _bases(near: Path) -> list[Path]:
    """Return the folder of the labels and, if it is a mere label folder, the one of its data set.

    `Annotations/`, `label_02/`, `labels/train/` lie next to the media. Any other folder is the data
    set itself: above it other people's `video.mp4` begin.
    """
    for folder in reversed((near, *near.parents)[:5]):
        if _LABEL_FOLDER.search(folder.name):
            return [near, folder.parent]
    return [near]


_LABEL_FOLDER = re.compile(
    r"(?i)^(.*[-_])?annotations?([-_].*)?$|^labels?([-_].*)?$|^(ann|gt|xmls?|jsons?)$"
)


class MediaFinder:
    """Looks for media by the path in a label file, by its end, by its name, by its stem.

    Args:
        source: the label file or folder; relative paths start next to it.
        media: the folder that the person named, searched first and alone.
    """

    def __init__(self, source: Path, media: Path | None = None) -> None:
        if media is not None and not media.exists():
            raise MediaError(f"{media}: there is no such folder", hint="--media names a folder")
        near = source if source.is_dir() else source.parent
        self._source = source.absolute()
        self.bases = [media.absolute()] if media else _bases(near.absolute())
        self._single = media.absolute() if media is not None and media.is_file() else None
        self._by_name: dict[str, list[Path]] = {}
        self._by_stem: dict[str, list[Path]] = {}
        self._walked = 0
        self._listed: dict[Path, frozenset[str]] = {}
        self._suffixes: dict[Path, list[str]] = {}

    def find(self, written: str, *, video: bool) -> Path | None:
        """Return the medium of this name, or None.

        Args:
            written: the path, the address or only the name in the label file.
            video: whether to search for a video; otherwise for an image.

        Raises:
            MediaError: two that differ fit; see `resolve_ambiguous`.
        """
        suffixes = VIDEO_SUFFIXES if video else IMAGE_SUFFIXES
        if self._single is not None:
            return self._single if self._single.suffix.lower() in suffixes else None
        forms = written_forms(written)
        for form in forms:
            found = self._directly(form, suffixes)
            if found is not None:
                return found
        while True:
            for table, key_of in ((self._by_name, _key), (self._by_stem, _stem_key)):
                for form in forms:
                    named = table.get(key_of(form.name), ())
                    fitting = [path for path in named if path.suffix.lower() in suffixes]
                    found = resolve_ambiguous(fitting, form, self._source)
                    if found is not None:
                        return found
            if not self._walk_on():
                return None

    def same_stem_in(self, folder: Path, stem: str) -> Path | None:
        """Return the image of a stem in one folder, or None."""
        self._exists(folder / stem)
        names = (f"{stem}{suffix}" for suffix in self._suffixes[folder])
        return next((folder / name for name in names if name in self._listed[folder]), None)

    def only_video(self) -> Path | None:
        """Return the video next to the labels, where there is exactly one."""
        if self._single is not None:
            return self._single
        for base in self.bases[:1]:
            videos = [path for path in media_files(base) if path.suffix.lower() in VIDEO_SUFFIXES]
            if len(videos) == 1:
                return videos[0]
        return None

    def _directly(self, form: PurePosixPath, suffixes: frozenset[str]) -> Path | None:
        if form.suffix.lower() not in suffixes:
            return None
        if form.is_absolute():
            return Path(form) if Path(form).is_file() else None
        for base in self.bases:
            for path in (base / form, base / "images" / form, base / "videos" / form):
                if self._exists(path):
                    return path
        return None

    def _exists(self, path: Path) -> bool:
        """Check against the cached listing of the folder: one system call a folder."""
        folder = path.parent
        if folder not in self._listed:
            try:
                self._listed[folder] = frozenset(path.name for path in folder.iterdir())
            except OSError:
                self._listed[folder] = frozenset()
            suffixes = {Path(name).suffix for name in self._listed[folder]}
            self._suffixes[folder] = sorted(s for s in suffixes if s.lower() in IMAGE_SUFFIXES)
        return path.name in self._listed[folder]

    def _walk_on(self) -> bool:
        if self._walked == len(self.bases):
            return False
        base = self.bases[self._walked]
        self._walked += 1
        self._by_name.clear()
        self._by_stem.clear()
        above = self._walked > 1
        for path in media_files(base, MOST_ENTRIES if above else None):
            self._by_name.setdefault(_key(path.name), []).append(path)
            # Above the labels a stem alone proves little: 000001 is in every data set.
            if not above or len(path.relative_to(base).parts) <= 2:
                self._by_stem.setdefault(_stem_key(path.name), []).append(path)
        return True


def _stem_key(name: str) -> str:
    path = as_path(name)
    known = path.suffix.lower() in VIDEO_SUFFIXES or path.suffix.lower() in IMAGE_SUFFIXES
    return (path.stem if known else path.name).casefold()


ORIENTATION = 0x0112
"""The EXIF tag that says how a camera was held (EXIF 2.32, 4.6.4)."""
LYING = (5, 6, 7, 8)
"""Its values for pictures that are shown turned by a quarter."""


def probe_size(path: Path) -> tuple[int, int]:
    """Return (height, width) as shown of a video or an image.

    Raises:
        MediaError: it cannot be read.
    """
    if path.suffix.lower() in IMAGE_SUFFIXES:
        from PIL import Image

        try:
            with Image.open(path) as image:
                lies = image.getexif().get(ORIENTATION, 1) in LYING
                return (image.width, image.height) if lies else (image.height, image.width)
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            raise MediaError(f"{path}: {error}", hint="give an image that opens") from None
    from lstmcli.video import probe

    return probe(path).size_hw


@dataclass(slots=True)
class ReadContext:
    """The context of one read: options, the media finder and the warning collector.

    Args:
        finder: finds the media, for formats without sizes or rates.
        size_hw: the size that the person gave, for media that are not there.
        hold: whether a track that never ends is held to the end of the video.
        within: the folder to read, where the file that describes its labels lies above
            it: nothing else that is described there is read.
        annotator: whose boxes are taken where several people drew them; "": see the reader.
        label_rate: the frame rate that the labels count at, see `--label-rate`.
        warnings: what was left out or corrected.
    """

    finder: MediaFinder
    size_hw: tuple[int, int] | None = None
    hold: bool = False
    within: Path | None = None
    annotator: str = ""
    label_rate: LabelRate = None
    warnings: WarningCollector = field(default_factory=WarningCollector)
    times: dict[Path, Times] = field(default_factory=dict)

    def size_of(self, written: str, where: str, *, video: bool) -> tuple[int, int]:
        """Return (height, width) of a medium of which the labels hold only fractions.

        Raises:
            DataError: the medium is not found and no size was given.
        """
        path = self.finder.find(written, video=video)
        if path is None and self.size_hw is not None:
            return self.size_hw
        if path is None and video:
            path = self.finder.only_video()
        if path is None:
            raise DataError(
                f"{where}: the boxes are fractions of {written!r}, whose size is not known",
                hint="say where the media lie with --media DIR, or their size with --size W,H",
            )
        return probe_size(path)

    def times_of(self, written: str) -> Times | None:
        """Return the time of each frame of a video in seconds, None where it is not found.

        Raises:
            MediaError: it cannot be read.
        """
        path = self.finder.find(written, video=True) or self.finder.only_video()
        if path is None:
            return None
        if path not in self.times:
            from lstmcli.video import frame_times

            self.times[path] = frame_times(path)
        return self.times[path]

    def frame_at(self, written: str, seconds: float, where: str) -> int:
        """Return the frame of a video whose own time stamp is nearest.

        Raises:
            DataError: the video is not found, or the time lies after its end.
        """
        times = self.times_of(written)
        if times is None:
            raise DataError(
                f"{where}: the labels hold seconds of {written!r}, which is not found",
                hint="say where the video lies with --media DIR",
            )
        step = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
        if seconds < 0 or seconds > times[-1] + max(1.0, 2 * step):
            raise DataError(
                f"{where}: {seconds:g} s of {written!r}, which ends at {times[-1]:.6g} s",
                hint="the labels belong to another video; --media names the right one",
            )
        return int(nearest_frames(times, seconds))


def locate_media(
    labels: LabelSet,
    source: Path,
    media: Path | None = None,
    *,
    label_rate: LabelRate = None,
) -> LabelSet:
    """Return the set with absolute paths of media that exist, and with every size.

    A video or image that is not there is left out, and that is counted in the warnings.

    Args:
        labels: as read.
        source: the label file or folder that was read.
        media: where the media lie, if the person said so.
        label_rate: the frame rate that the labels count at, see `--label-rate`.

    Raises:
        MediaError: nothing is there.
        DataError: labels and film count differently.
    """
    finder = MediaFinder(source, media)
    warnings = WarningCollector()
    videos = []
    extracted: dict[Path, list[tuple[int, VideoLabels]]] = {}
    for video in labels.videos:
        found = _locate_frames(video, finder, warnings) if video.images else None
        if found is None:
            found = _locate_video(video, finder, alone=len(labels.videos) == 1)
        if found is None and _is_extracted(video, finder, extracted):
            continue
        if found is None:
            what = "an image" if video.images else "a video"
            warnings.add(f"{what} that is not there; left out", video.media or video.name)
            continue
        if found.size_hw is None:
            medium = found.media or next(path for path in found.images if path)
            found = replace(found, size_hw=probe_size(Path(medium)))
        if found.media:
            found = align(found, Path(found.media), label_rate, warnings)
        videos.append(found)
    for path, group in extracted.items():
        videos.append(_film_of(path, group, warnings))
    check_places(videos, source)
    if labels.videos and not videos:
        first = labels.videos[0]
        written = first.media or next((path for path in first.images if path), first.name)
        raise MediaError(
            f"{source}: {written!r} is not found, nor any other video or image of it",
            hint="say where the videos or images lie with --media DIR",
        )
    return LabelSet(labels.classes, tuple(videos), labels.warnings + warnings.collected())


def aligned(labels: LabelSet, source: Path, media: Path | None, label_rate: LabelRate) -> LabelSet:
    """Return the set by frames of those films that are found; the others are kept as they are.

    Raises:
        DataError: labels and film count differently; see `clock.align`.
    """
    finder = MediaFinder(source, media)
    warnings = WarningCollector()
    videos = []
    for video in labels.videos:
        is_checkable = (
            label_rate is not None or video.rate is not None or video.frame_count is not None
        )
        path = None
        if is_checkable and not video.images and not video.placed_by_time:
            path = finder.find(video.media or video.name, video=True)
        videos.append(video if path is None else align(video, path, label_rate, warnings))
    return replace(labels, videos=tuple(videos), warnings=labels.warnings + warnings.collected())


def check_places(videos: Sequence[VideoLabels], source: Path) -> None:
    """Refuse sets whose boxes fit their pictures only with x and y exchanged, or are fractions.

    Raises:
        DataError: see `plausibility`.
    """
    sized = [(v, v.boxes[~v.ignore], v.size_hw) for v in videos if v.size_hw is not None]
    sized = [(video, boxes, size) for video, boxes, size in sized if len(boxes)]
    if not sized:
        return
    together = np.concatenate([boxes for _, boxes, _ in sized]).astype(np.float64)
    sizes = np.concatenate([np.tile(np.array(size, float), (len(b), 1)) for _, b, size in sized])
    check_fractions(together, sized[0][2], str(source))
    check_axes(together, sizes, str(source))


def _locate_video(video: VideoLabels, finder: MediaFinder, *, alone: bool) -> VideoLabels | None:
    path = finder.find(video.media or video.name, video=True)
    if path is None and video.images:
        folder = as_path(next(image for image in video.images if image)).parent
        path = finder.find(str(folder), video=True) if folder.name else None
    if path is None and not video.media and not video.images and alone:
        path = finder.only_video()
    return None if path is None else replace(video, media=str(path.absolute()), images=())


def _is_extracted(
    video: VideoLabels, finder: MediaFinder, films: dict[Path, list[tuple[int, VideoLabels]]]
) -> bool:
    """Assign a still whose image is gone to the film that it is named after, if that is there."""
    extracted_frame = extracted_from(video.images[0]) if len(video.images) == 1 else None
    path = None if extracted_frame is None else finder.find(extracted_frame[0], video=True)
    if extracted_frame is None or path is None or extracted_frame[1] >= MOST_FRAMES:
        return False
    films.setdefault(path.absolute(), []).append((extracted_frame[1], video))
    return True


def _film_of(
    path: Path, group: list[tuple[int, VideoLabels]], warnings: WarningCollector
) -> VideoLabels:
    """Return the labels of extracted frames as labels of their film.

    FFmpeg numbers extracted frames from 1, CVAT and most scripts by the frame itself; only
    a set that begins at 1 is taken to count from there.
    """
    first = 1 if min(number for number, _ in group) == 1 else 0
    warnings.add(
        f"extracted frames that are gone; taken from the film itself, counted from {first}",
        path.name,
        len(group),
    )
    unique = dict(reversed([(number - first, video) for number, video in group]))
    video = as_one_video(path.stem, list(unique.items()))
    size_hw = video.size_hw or probe_size(path)
    return replace(video, media=str(path), images=(), frame_count=None, size_hw=size_hw)


def _locate_frames(
    video: VideoLabels, finder: MediaFinder, warnings: WarningCollector
) -> VideoLabels | None:
    images = [finder.find(image, video=False) if image else None for image in video.images]
    there = np.array([path is not None for path in images])
    if not there.any():
        return None
    annotated = video.annotated_frames[video.annotated_frames < len(there)]
    lost = len(video.annotated_frames) - int(there[annotated].sum())
    written = tuple("" if path is None else str(path.absolute()) for path in images)
    if lost == 0:
        return replace(video, images=written)
    warnings.add("an image of a frame that is not there; the frame is left out", video.name, lost)
    rows = np.isin(video.box_frames, annotated[there[annotated]])
    return replace(
        video,
        images=written,
        annotated_frames=annotated[there[annotated]],
        box_frames=video.box_frames[rows],
        boxes=video.boxes[rows],
        labels=video.labels[rows],
        tracks=video.tracks[rows],
        ignore=video.ignore[rows],
    )
