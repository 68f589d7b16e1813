"""The tasks of a file of Label Studio; those of JSON_MIN are brought into the form of JSON.

https://labelstud.io/guide/export: JSON_MIN writes the data and the results of one person as keys of
one object.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from typing import Any

from lstmcli.labels.readers.json_file import Node

ANNOTATED = ("annotations", "completions")
"""Keys of the annotations of a task, now and in old exports."""
SIZE = "original_width"
"""A key that every result of a region has."""
LABEL_KEYS = (
    "rectanglelabels",
    "polygonlabels",
    "ellipselabels",
    "brushlabels",
    "keypointlabels",
    "vectorlabels",
    "labels",
    "videolabels",
    "timelinelabels",
)


def is_short(keys: Collection[str]) -> bool:
    """Return whether these are keys of JSON_MIN."""
    return bool({"annotation_id", "annotator"} & set(keys)) and SIZE in keys


def tasks_of(top: Node) -> Iterator[Node]:
    """Yield the tasks; rows of JSON_MIN become such, those of one task together."""
    short: dict[str, Node] = {}
    for row in top.rows() if top.is_list() else [top]:
        is_task = any(key in row for key in ("data", *ANNOTATED))
        if is_task or not row.is_object() or not is_short([*row.value, SIZE]):
            yield row
            continue
        results = [
            _whole_result(item, name)
            for name, values in row.value.items()
            if isinstance(values, list)
            for item in values
            if isinstance(item, dict)
        ]
        data = {name: text for name, text in row.value.items() if isinstance(text, str)}
        data = {n: text for n, text in data.items() if not n.endswith("_at") and n != "annotator"}
        key = json.dumps([row.value.get("id"), data], sort_keys=True)
        if key not in short:
            whole = {"id": row.value.get("id"), "data": data, "annotations": []}
            short[key] = Node(whole, row.location)
        annotation = {"completed_by": row.value.get("annotator"), "result": results}
        short[key].value["annotations"].append(annotation)
    yield from short.values()


def _whole_result(item: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a result as the whole export has it, from the values of JSON_MIN."""
    kind = next((key for key in LABEL_KEYS if key in item), name)
    sides = {key: item[key] for key in ("original_width", "original_height") if key in item}
    return {"type": "videorectangle" if "sequence" in item else kind, "value": item} | sides
