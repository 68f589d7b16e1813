"""A model file from a stranger: it runs no code, fills no memory, and opens no connection."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from lstmcli.core.config_file import load_config
from lstmcli.core.errors import ModelError, OutputError
from lstmcli.inference.exporting import write_export
from lstmcli.inference.loading import load_runtime
from lstmcli.inference.runtimes import openvino as openvino_runtime
from lstmcli.models.backbones.weights import read_weights
from lstmcli.models.checkpoint import load_checkpoint, save_checkpoint
from lstmcli.models.detector import DetectorNet
from lstmcli.workflows.export import export


@pytest.fixture
def network() -> DetectorNet:
    torch.manual_seed(0)
    chosen = ["backbone.name=tiny", "backbone.weights=none", "backbone.width=0.25"]
    config = load_config("nano", [*chosen, "neck.channels=8"])
    return DetectorNet(config, ("bird",), canvas_hw=(64, 96), grid=8).eval()


class Attack:
    """Makes a file where it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> object:
        return Path.touch, (self.place,)


@pytest.mark.parametrize("suffix", [".pt2", ".pt", ".lstmcli", ".safetensors", ".onnx"])
def test_no_code_of_a_file_is_run(suffix: str, tmp_path: Path) -> None:
    path, mark = tmp_path / f"model{suffix}", tmp_path / "was here"
    with zipfile.ZipFile(path, "w") as archive:  # as torch.save and torch.export.save lay it out
        for name in ("archive/data.pkl", "data/sample_inputs/model.pt", "models/model.json"):
            archive.writestr(name, pickle.dumps(Attack(mark)))
        archive.writestr("archive/version", "3")
    with pytest.raises(ModelError, match="model"):
        load_runtime(path, device="cpu", engine="auto" if suffix != ".pt" else "torch")
    assert not mark.exists()


def test_a_torch_graph_is_refused_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "model.pt2").write_bytes(b"PK")
    with pytest.raises(ModelError, match="can run code") as caught:
        load_runtime(tmp_path / "model.pt2")
    assert "export it again" in caught.value.hint


def test_a_compressed_checkpoint_is_not_unpacked(network: DetectorNet, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "plain.pt", network, network.state_dict(), metrics={})
    with (
        zipfile.ZipFile(tmp_path / "plain.pt") as plain,
        zipfile.ZipFile(tmp_path / "packed.pt", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for part in plain.infolist():
            packed.writestr(part.filename, plain.read(part))
    with pytest.raises(ModelError, match="compressed archive"):
        load_checkpoint(tmp_path / "packed.pt")


def test_compressed_weights_of_a_backbone_are_not_unpacked(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(10)}, tmp_path / "plain.pt")
    assert read_weights(tmp_path / "plain.pt")["weight"].numel() == 10
    with (
        zipfile.ZipFile(tmp_path / "plain.pt") as plain,
        zipfile.ZipFile(tmp_path / "packed.pt", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for part in plain.infolist():
            packed.writestr(part.filename, plain.read(part))
    with pytest.raises(ModelError, match="compressed archive"):
        read_weights(tmp_path / "packed.pt")


def test_weights_of_another_openvino_export_are_refused(
    network: DetectorNet, tmp_path: Path
) -> None:
    """As a process that is ended between the two files leaves them."""
    pytest.importorskip("openvino")
    path, new = tmp_path / "net.xml", tmp_path / "new.xml"
    write_export(network, path, metadata=network.metadata)
    with torch.no_grad():
        next(network.parameters()).add_(1.0)
    write_export(network, new, metadata=network.metadata)
    load_runtime(new)
    new.with_suffix(".bin").replace(path.with_suffix(".bin"))
    with pytest.raises(ModelError, match=r"the weights net\.bin are of another network") as caught:
        load_runtime(path)
    assert "export it again" in caught.value.hint


def test_what_openvino_does_not_explain_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Library:
        class Core:
            def read_model(self, path: Path) -> None:
                raise RuntimeError(" :\n\t\n")

    monkeypatch.setattr(openvino_runtime, "openvino", Library)
    for suffix in (".xml", ".bin"):
        (tmp_path / f"net{suffix}").touch()
    with pytest.raises(ModelError, match=r"cannot read it \(it is damaged, or its weights are"):
        openvino_runtime.read(tmp_path / "net.xml")


def test_weights_that_an_interrupted_export_left_are_not_in_the_way(
    network: DetectorNet, tmp_path: Path
) -> None:
    pytest.importorskip("openvino")
    save_checkpoint(tmp_path / "best.pt", network, network.state_dict(), metrics={})
    made = export(tmp_path / "best.pt", format="openvino", out=tmp_path / "net.xml")
    for path in (made.paths[0], *made.server_configs):
        path.unlink()
    export(tmp_path / "best.pt", format="openvino", out=tmp_path / "net.xml")
    load_runtime(tmp_path / "net.xml")
    (tmp_path / "net.xml").unlink()
    for path in made.server_configs:
        path.unlink()
    (tmp_path / "net.bin").write_bytes(b"of another program")
    with pytest.raises(OutputError, match=r"net\.bin exists"):
        export(tmp_path / "best.pt", format="openvino", out=tmp_path / "net.xml")


def test_an_archive_that_cannot_be_listed_is_not_given_to_torch(
    network: DetectorNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "best.pt"
    save_checkpoint(path, network, network.state_dict(), metrics={})
    path.write_bytes(path.read_bytes()[:-30])  # the list of its parts lies at the end
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("torch read it"))
    with pytest.raises(ModelError, match=r"best\.pt: not a checkpoint, or cut short"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("canvas_hw", [92_000, 92_000], "pixels on the canvas of a network, more than"),
        ("canvas_hw", [0, 64], "a canvas of 64x0"),
        ("classes", ["a"] * 5_000_000, "weights"),
    ],
)
def test_a_small_checkpoint_asks_for_no_large_network(
    key: str, value: object, problem: str, network: DetectorNet, tmp_path: Path
) -> None:
    path = tmp_path / "best.pt"
    save_checkpoint(path, network, network.state_dict(), metrics={})
    values = torch.load(path, weights_only=True)
    torch.save(values | {key: value}, path)
    with pytest.raises(ModelError, match=problem):
        load_checkpoint(path)


def test_conversion_connects_to_nowhere(network: DetectorNet, tmp_path: Path) -> None:
    """OpenVINO's own telemetry is not loaded, and nothing else opens a socket."""
    pytest.importorskip("openvino")
    path = tmp_path / "best.pt"
    save_checkpoint(path, network, network.state_dict(), metrics={})
    code = (
        "import socket, subprocess, sys\n"
        "def refuse(*args, **kwargs): raise AssertionError('a connection')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "tried = []\n"
        "socket.socket.connect_ex = lambda *args: tried.append(args) or 1\n"
        "from lstmcli.cli.app import main\n"
        "try:\n"
        f"    main(['export', {str(path)!r}, '--format', 'openvino', '--out', {str(tmp_path)!r}])\n"
        "except SystemExit as stop:\n"
        "    assert not stop.code, stop.code\n"
        "assert not tried\n"
        "assert sys.modules['openvino_telemetry'] is None\n"
        "assert 'openvino.tools.ovc.telemetry_stub' in sys.modules\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_a_hostile_header_of_an_export_is_refused(network: DetectorNet, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = tmp_path / "net.lstmcli"
    write_export(network, path, metadata=network.metadata)
    weights = load_file(path)
    texts = network.metadata.as_texts()
    for bad in ("null", "[" * 5000, "{}", json.dumps({"config": 3, "classes": ["a"]})):
        save_file(weights, path, metadata=texts | {"network": bad})
        with pytest.raises(ModelError, match=r"net\.lstmcli"):
            load_runtime(path)
