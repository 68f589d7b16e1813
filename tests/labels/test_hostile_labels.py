"""Labels from a stranger: no command in them is run, and no address in them is opened."""

from __future__ import annotations

import json
import socket
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from lstmcli.core.errors import LstmcliError
from lstmcli.workflows.prepare import prepare

ADDRESS = "http://127.0.0.1:9/a.mp4"
BOX = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9]}


def coco(place: str) -> str:
    images = [{"id": 1, "file_name": place, "coco_url": ADDRESS, "width": 20, "height": 20}]
    classes = [{"id": 1, "name": "a"}]
    return json.dumps({"images": images, "annotations": [BOX], "categories": classes})


def yolo(download: str) -> str:
    return f"path: {ADDRESS}\ntrain: {ADDRESS}\nval: s3://bucket/val\nnames: [a]\n{download}\n"


STUDIO = json.dumps(
    [{"data": {"video": ADDRESS}, "annotations": [{"result": [{
        "type": "videorectangle", "value": {"framesCount": 2, "labels": ["a"], "sequence": [
            {"frame": 1, "enabled": True, "x": 1, "y": 1, "width": 5, "height": 5, "time": 0}
        ]}}]}]}]
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("coco.json", coco(ADDRESS)),
        ("coco.json", coco("s3://bucket/a.jpg")),
        ("coco.json", coco("\\\\server\\share\\a.jpg")),
        ("studio.json", STUDIO),
        ("data.yaml", yolo(f"download: {ADDRESS}")),
        ("data.yaml", yolo("download: |\n  import pathlib\n  pathlib.Path('was here').touch()")),
        ("data.yaml", yolo("download: bash touch 'was here'")),
        (
            "labels.xml",
            f'<!DOCTYPE a [<!ENTITY e SYSTEM "{ADDRESS}">]><annotation><filename>&e;</filename>'
            "</annotation>",
        ),
    ],
)
def test_labels_open_no_address_and_run_nothing(
    name: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[Any] = []

    def refuse(*args: Any, **_: Any) -> None:
        tried.append(args)
        raise OSError("a connection")

    # other tests of the process read addresses
    monkeypatch.delitem(sys.modules, "fsspec.implementations.http", raising=False)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text(text)
    with pytest.raises(LstmcliError):
        prepare([tmp_path / name], out=tmp_path / "dataset")
    assert not tried
    assert "fsspec.implementations.http" not in sys.modules
    assert [path.name for path in tmp_path.iterdir()] == [name]
