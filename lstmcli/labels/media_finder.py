"""Searches media by the path in a label file, by its end, by its name, by its stem."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

from lstmcli.core.errors import MediaError
from lstmcli.core.media_files import IMAGE_SUFFIXES, VIDEO_SUFFIXES, is_file_at, walk
from lstmcli.core.names import as_path
from lstmcli.labels.ambiguous_media import resolve_ambiguous

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
            return Path(form) if is_file_at(Path(form)) else None
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
