"""What outputs were made of: a hidden file beside them, by which `--skip-existing` resumes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from lstmcli.core.errors import LstmcliError
from lstmcli.core.files import write_json
from lstmcli.core.model_files import find_checkpoint
from lstmcli.inference.loading import find_export
from lstmcli.workflows.detect.options import DetectOptions

SAMPLE = 1 << 20
"""Bytes at the beginning, in the middle and at the end of a file that stand for its content."""
_ELSEWHERE = {
    "device",
    "engine",
    "events",
    "jobs",
    "model",
    "out",
    "overwrite",
    "patience_s",
    "segment_s",
    "skip_existing",
}
"""Options that do not change what is written of a file; the model counts by its content."""


def content_key(paths: tuple[Path, ...]) -> str:
    """Return what names the content of a source: its length and three samples of each file."""
    digest = hashlib.sha256()
    for path in paths:
        size = path.stat().st_size
        digest.update(str(size).encode())
        with path.open("rb") as file:
            for place in sorted({0, max(0, size // 2 - SAMPLE // 2), max(0, size - SAMPLE)}):
                file.seek(place)
                digest.update(file.read(SAMPLE))
    return digest.hexdigest()[:24]


def settings_key(options: DetectOptions, model: str) -> str:
    """Return what names the model and all options that change what is written."""
    values = {name: value for name, value in asdict(options).items() if name not in _ELSEWHERE}
    if options.count is not None:
        values["count"] = content_key((options.count,))
    try:
        place = find_export(model) or find_checkpoint(model)
        values["model"] = content_key((place,))
    except (LstmcliError, OSError):  # of a library, or several
        values["model"] = model
    text = json.dumps(values, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def record_path(stem: Path) -> Path:
    """Return where the record of the outputs of a stem lies."""
    return stem.with_name(f".{stem.name}.done.json")


def write_record(stem: Path, *, source: str, settings: str) -> None:
    """Say what the finished outputs of a stem were made of."""
    write_json(record_path(stem), {"source": source, "settings": settings})


def read_record(stem: Path) -> dict[str, str] | None:
    """Return what the outputs of a stem were made of, None where that was not written down."""
    try:
        values = json.loads(record_path(stem).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None
