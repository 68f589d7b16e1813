"""Outputs of evaluations: whether they can be written is known before the long work."""

from __future__ import annotations

import os
from pathlib import Path

from lstmcli.core.errors import OutputError
from lstmcli.core.files import check_free
from lstmcli.report.evaluation_page import PAGE_NAME


def check_outputs(json_file: Path | None, report: Path | None, *, overwrite: bool) -> None:
    """Raise `OutputError` where a JSON file or a report, which are claimed, exists."""
    for path in (json_file, report / PAGE_NAME if report else None):
        check_free(path, overwrite=overwrite)


def check_folders(json_file: Path | None, report: Path | None) -> None:
    """Raise `OutputError` where a JSON file or a report cannot be written."""
    if json_file is not None and not json_file.absolute().parent.is_dir():
        raise OutputError(f"{json_file}: cannot be written there", hint="name a file in a folder")
    folders = [json_file.absolute().parent] if json_file is not None else []
    folders += [report.absolute()] if report is not None else []
    for folder in folders:
        there = next(path for path in (folder, *folder.parents) if path.exists())
        if not there.is_dir():
            raise OutputError(f"{there} is no folder", hint="choose another folder")
        if not os.access(there, os.W_OK | os.X_OK):
            raise OutputError(f"{there}: no write permission", hint="choose another folder")
