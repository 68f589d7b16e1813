"""export: one file that another runtime takes, and that our own commands take like a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lstmcli.cli.app import main
from lstmcli.core.config_file import load_config
from lstmcli.core.errors import ConfigError, DataError, OutputError
from lstmcli.inference.loading import load_runtime
from lstmcli.inference.runtimes import RUNTIMES
from lstmcli.models.checkpoint import save_checkpoint
from lstmcli.models.detector import DetectorNet
from lstmcli.workflows.evaluate import EvaluateOptions, evaluate
from lstmcli.workflows.export import SERVER_CONFIGS, export

CLASSES = ("red", "blue")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of a run named `birds`."""
    folder = tmp_path_factory.mktemp("runs") / "birds"
    folder.mkdir()
    config = load_config("small", ["backbone.name=tiny", "backbone.width=0.5", "neck.channels=16"])
    model = DetectorNet(config, CLASSES, canvas_hw=(64, 96), grid=16)
    save_checkpoint(folder / "best.pt", model, model.state_dict(), metrics={})
    return folder


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("LSTMCLI_ENGINE", raising=False)
    return tmp_path


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Let every format write only its metadata; return the metadata."""
    given: list[Any] = []

    def write(step: Any, metadata: Any, path: Path) -> None:
        given.append(metadata)
        path.write_bytes(b"graph")
        if path.suffix == ".xml":
            path.with_suffix(".bin").write_bytes(b"weights")

    quick_ones = {
        name: type(engine)(engine.suffix, write, engine.read) for name, engine in RUNTIMES.items()
    }
    monkeypatch.setattr("lstmcli.inference.exporting.RUNTIMES", quick_ones)
    monkeypatch.setattr("lstmcli.workflows.export.RUNTIMES", quick_ones)
    return given


@pytest.mark.parametrize(
    ("format", "files"),
    [
        ("onnx", ["birds.onnx"]),
        ("openvino", ["birds.xml", "birds.bin"]),
        ("torch", ["birds.lstmcli"]),
    ],
)
def test_a_model_has_its_runs_name(
    format: str, files: list[str], run: Path, here: Path, quick: list[Any]
) -> None:
    exported = export(run, format=format, threshold=0.4, licence="CC BY 4.0")
    assert [str(path) for path in exported.paths] == files
    configs = [f"birds{ending}" for ending in SERVER_CONFIGS.get(format, ())]
    assert [str(path) for path in exported.server_configs] == configs
    assert sorted(path.name for path in here.iterdir()) == sorted(files + configs)
    assert exported.size == sum(Path(name).stat().st_size for name in files)
    assert (quick[0].classes, quick[0].input_hw) == (CLASSES, (64, 96))
    assert (quick[0].threshold, quick[0].licence) == (0.4, "CC BY 4.0")


@pytest.mark.parametrize(
    ("out", "path"),
    [("deep/er", "deep/er/birds.onnx"), ("x.onnx", "x.onnx"), ("deep/y.onnx", "deep/y.onnx")],
)
def test_out_is_a_file_or_a_folder(out: str, path: str, run: Path, quick: list[Any]) -> None:
    assert export(run / "best.pt", out=Path(out)).paths == (Path(path),)
    assert Path(path).is_file()


@pytest.mark.parametrize(
    ("options", "error", "problem"),
    [
        ({"format": "onx"}, ConfigError, "no format named 'onx'"),
        ({"out": Path("x.xml")}, ConfigError, r"--out x\.xml"),
        ({"int8": True}, ConfigError, "--int8 without data"),
        ({"int8": True, "data": Path("nowhere")}, DataError, "nowhere"),
        ({"threshold": 2.0}, ConfigError, "a threshold of 2"),
    ],
)
def test_invalid_exports_are_errors(
    options: dict[str, Any], error: type[Exception], problem: str, run: Path, here: Path
) -> None:
    with pytest.raises(error, match=problem):
        export(run, **options)
    assert not list(here.iterdir())


def test_existing_files_are_kept_without_overwrite(run: Path, here: Path, quick: list[Any]) -> None:
    (here / "birds.bin").write_bytes(b"old")
    with pytest.raises(OutputError, match=r"birds\.bin exists"):
        export(run, format="openvino")
    export(run, format="openvino", overwrite=True)
    assert (here / "birds.bin").read_bytes() == b"weights"


def test_a_failure_leaves_nothing(
    run: Path, here: Path, quick: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_the_disk(step: Any, metadata: Any, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    full = {"onnx": type(RUNTIMES["onnx"])(".onnx", fill_the_disk, RUNTIMES["onnx"].read)}
    monkeypatch.setattr("lstmcli.inference.exporting.RUNTIMES", full)
    with pytest.raises(OutputError, match="No space left"):
        export(run)
    assert not list(here.iterdir())


def test_an_export_is_not_exported_again(run: Path, here: Path) -> None:
    (here / "x.onnx").write_bytes(b"")
    with pytest.raises(ConfigError, match="exported already"):
        export(here / "x.onnx", format="torch")


def test_evaluate_takes_an_export_like_its_checkpoint(
    run: Path, make_dataset: Any, here: Path
) -> None:
    make_dataset(here / "dataset")
    path = export(run, format="torch").paths[0]
    one, two = (
        evaluate(model, "dataset", EvaluateOptions(device="cpu", engine="torch"))
        for model in (run, path)
    )
    assert one.speed.engine == two.speed.engine == "torch"
    assert two.scores.as_json()["frames"] == 12
    assert load_runtime(path).metadata.classes == CLASSES


def test_the_command_measures_ranges_and_shows_the_accuracy(
    run: Path,
    make_dataset: Any,
    here: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    monkeypatch.setenv("LSTMCLI_ENGINE", "torch")
    make_dataset(here / "dataset")
    with pytest.raises(SystemExit) as stop:
        main(["export", str(run), "--int8", "--data", "dataset"])
    said = capsys.readouterr()
    assert not stop.value.code, said.err
    lines = said.out.splitlines()
    assert lines[0] == "birds.int8.onnx"
    assert [line.split()[0] for line in lines[3:]] == ["before", "after"]
    assert "8-bit backbone" in said.err
    assert "WARNING" not in said.err
    assert load_runtime("birds.int8.onnx").metadata.input_hw == (64, 96)
