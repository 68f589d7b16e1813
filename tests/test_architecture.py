"""The house: imports run down, and `--help` loads nothing heavy."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "lstmcli"
BELOW = {
    "labels",
    "dataset",
    "models",
    "inference",
    "tracking",
    "training",
    "metrics",
    "outputs",
    "report",
    "video",
    "core",
}
ALLOWED = {
    "core": set(),
    "video": {"core"},
    "labels": {"video", "core"},
    "dataset": {"labels", "video", "core"},
    "models": {"core"},
    "inference": {"models", "tracking", "core"},
    "training": {"models", "core"},
    "tracking": {"core"},
    "metrics": {"core"},
    "report": {"core"},
    "outputs": {"video", "labels", "core"},
    "workflows": BELOW,
    "service": {"workflows", "inference", "tracking", "outputs", "report", "video", "core"},
    "cli": {"service", "workflows", "core"},
}
CALLS = {
    "demo": {"prepare", "train", "evaluate", "detect"},
    "benchmark": {"train", "detect"},
    "export": {"evaluate"},
    "detect": {"pipeline", "schedule"},
    "evaluate": {"pipeline", "schedule"},
    "pipeline": {"schedule"},
    "compare": {"evaluate"},
    "ablate": {"evaluate"},
    "distribute": {"detect"},
}
"""The workflows that call others; no circle, see `test_workflows_call_each_other_downward`."""
ROOF = {"__init__", "__main__"}
"""The package's own files, the Python API and the command, may look anywhere."""
HEAVY = ("torch", "torchvision", "av", "lightning_fabric", "matplotlib", "scipy")


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_modules(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            assert node.module is not None
            if node.module == "lstmcli":
                yield from ((node.lineno, f"lstmcli.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, node.module


FILES = sorted(path for path in PACKAGE.rglob("*.py") if room_of(path) not in ROOF)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_down(path: Path) -> None:
    room = room_of(path)
    assert room in ALLOWED, f"{room} has no place in the import law"
    # a verb of several files is a folder; its files may know each other
    own_verb = path.relative_to(PACKAGE).with_suffix("").parts[:2]
    for line, module in imported_modules(path):
        parts = module.split(".")
        if parts[0] != "lstmcli" or parts[1:2] == ["__version__"]:
            continue
        target = parts[1]
        if target == room:
            caller = own_verb[-1]
            may_call = {caller, *CALLS.get(caller, ())}
            stays = room != "workflows" or (len(parts) > 2 and parts[2] in may_call)
            assert stays, f"{path}:{line}: the workflow {caller} calls {module}"
            continue
        assert target in ALLOWED[room], f"{path}:{line}: {room} imports {module}"


def test_workflows_call_each_other_downward() -> None:
    assert list(TopologicalSorter(CALLS).static_order()), "a circle raises CycleError"


@pytest.mark.parametrize(
    ("library", "door"),
    [
        ("av", {"video"}),
        ("typer", {"cli"}),
        ("rich", {"cli"}),
        ("yaml", {"core", "outputs"}),
        ("pydantic", {"core"}),
        ("lightning_fabric", {"training", "workflows", "cli"}),
        ("jinja2", {"report"}),
        ("trackeval", {"metrics"}),
        ("PIL", {"outputs", "report", "video", "dataset", "labels", "workflows"}),
        ("openvino", {"inference"}),
        ("onnxruntime", {"inference"}),
        ("paho", {"outputs"}),
        ("starlette", {"service"}),
        ("ray", {"workflows"}),
        ("fsspec", {"workflows"}),
        ("uvicorn", {"service"}),
    ],
)
def test_each_foreign_library_has_one_door(library: str, door: set[str]) -> None:
    users = {
        room_of(path)
        for path in FILES
        for _, module in imported_modules(path)
        if module.split(".")[0] == library
    }
    assert users <= door


NOT_FOR_HELP = (*HEAVY, "numpy", "yaml", "PIL")
"""The configuration (yaml, pydantic) was half of the time of `lstmcli --help`, 2026-11."""


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["--version"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\n"
        "from lstmcli.cli.app import main\n"
        "try:\n"
        f"    main({arguments!r})\n"
        "except SystemExit as stop:\n"
        "    assert not stop.code, stop.code\n"
        f"print([name for name in {NOT_FOR_HELP!r} if name in sys.modules])\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "[]"


def test_detect_loads_torch_only_where_torch_runs_the_network() -> None:
    code = (
        "import sys, lstmcli.workflows.detect, lstmcli.inference.runtimes.openvino\n"
        "from lstmcli.core.devices import choose_device\n"
        "choose_device('cpu')\n"
        "print([name for name in ('torch', 'torchvision', 'matplotlib') if name in sys.modules])\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "[]"


def test_nobody_but_the_command_line_ends_the_process() -> None:
    for path in FILES:
        if room_of(path) == "cli":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr == "exit":
                owner = node.value
                assert not (isinstance(owner, ast.Name) and owner.id == "sys"), path


def test_test_files_have_names_of_their_own() -> None:
    """Pytest imports them by name alone: of two with one name, one would never run."""
    names = [path.name for path in Path(__file__).parent.rglob("test_*.py")]
    assert sorted(set(names)) == sorted(names)
