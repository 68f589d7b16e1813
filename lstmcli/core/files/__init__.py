"""The one place that writes: files and folders are complete under their name, or not there.

What grows has a name of its own that nobody else can have taken (`temporary`), takes its final name
in one step (`atomic`, `folders`, several together: `moves`), and belongs to one process at a time
(`claims`). Of a folder that is replaced, only what our own list of it names is deleted. What a
process published that was ended before it could say so, the same command replaces (`publications`).
"""

from lstmcli.core.files.atomic import (
    atomic_write,
    check_free,
    make_partial,
    open_partial,
    partial_path,
    publish_file,
    publish_files,
    write_json,
    write_text,
)
from lstmcli.core.files.claims import claim
from lstmcli.core.files.folders import (
    PartialFolder,
    check_replaceable,
    new_folder,
    real_place,
)
from lstmcli.core.files.locks import sync_file
from lstmcli.core.files.publications import holds_only_unreported, is_unreported, noted_at
from lstmcli.core.files.temporary import remove_leftovers, temporary_folder

__all__ = [
    "PartialFolder",
    "atomic_write",
    "check_free",
    "check_replaceable",
    "claim",
    "holds_only_unreported",
    "is_unreported",
    "make_partial",
    "new_folder",
    "noted_at",
    "open_partial",
    "partial_path",
    "publish_file",
    "publish_files",
    "real_place",
    "remove_leftovers",
    "sync_file",
    "temporary_folder",
    "write_json",
    "write_text",
]
