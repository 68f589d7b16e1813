"""Loads models as runtimes: checkpoints, exports, third-party detectors, several of them."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from lstmcli.core.devices import choose_device
from lstmcli.core.errors import ConfigError, ModelError, choose
from lstmcli.core.files import remove_leftovers
from lstmcli.core.jobs import thread_count
from lstmcli.core.model_files import LIBRARIES, find_checkpoint
from lstmcli.inference.autotune import (
    Note,
    benchmark_runtimes,
    cache_get,
    cache_put,
    cpu_name,
    fingerprint,
    pick_thread_count,
)
from lstmcli.inference.conversion import load_converted, shape_suffix
from lstmcli.inference.ensemble import Ensemble
from lstmcli.inference.foreign.loading import (
    SUFFIX,
    check_size,
    is_foreign,
    load_foreign,
    split_size,
)
from lstmcli.inference.foreign.onnx_file import read_onnx_file
from lstmcli.inference.installed import check_installed, is_installed, version_of
from lstmcli.inference.runtime import CapturedRuntime, Runtime
from lstmcli.inference.runtimes import FOREIGN_RUNTIMES, RUNTIMES, load_library

VARIABLE = "LSTMCLI_ENGINE"
"""Environment variable that replaces `auto`, to skip the benchmark."""


def load_runtime(
    model: Path | str,
    *,
    device: str = "auto",
    engine: str = "auto",
    threads: int = 0,
    picture_hw: tuple[int, int] | None = None,
    leave_core_free: bool = False,
    note: Note | None = None,
) -> Runtime:
    """Load a trained network as a runtime.

    Args:
        model: a checkpoint, a run folder, the name of a shipped model, an exported network, or
            a third-party detector as an ONNX file, `FILE.onnx@640x384` at that input size; several,
            separated by commas, are fused to an `Ensemble`.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        engine: a name of `RUNTIMES`, or `auto`: torch on CUDA; on a CPU the fastest of a
            benchmark, which is cached for this machine and model.
        threads: maximum of the engine; 0: all of the machine.
        picture_hw: (height, width) of the source pictures: a checkpoint gets a canvas without bars
            for them. Exported networks and ensembles keep their canvas.
        leave_core_free: a fast network leaves a core to other threads.
        note: called with one line on what was tried and chosen.

    Raises:
        ConfigError: no such engine or device, or it is not installed; several models do not fit
            together.
        ModelError: the model is missing or damaged.
    """
    names = _split_models(model)
    if len(names) > 1:
        load_one = partial(
            load_runtime,
            device=device,
            engine=engine,
            threads=threads,
            leave_core_free=leave_core_free,
            note=note,
        )
        return Ensemble([load_one(name) for name in names])
    log = note or (lambda text: None)
    model, size_wh = split_size(model)
    library, _, name = str(model).partition(":")
    if library in LIBRARIES:
        if engine not in ("auto", "torch"):
            raise ConfigError(f"{model} cannot be run by {engine}", hint="use --engine torch")
        return load_library(
            library,
            name,
            device=choose_device(device),
            size_wh=size_wh,
            picture_hw=picture_hw,
            note=log,
        )
    if is_foreign(Path(model)):
        return _load_foreign(
            Path(model), device=device, engine=engine, threads=threads, size_wh=size_wh, note=log
        )
    check_size(size_wh, str(model))
    exported = find_export(model)
    if exported is None and engine == "auto":
        engine = os.environ.get(VARIABLE, "auto")
    if engine != "auto":
        choose(RUNTIMES, engine, "engine")
    device = _device_for(engine, device)
    path = exported or find_checkpoint(model)

    def load_with(threads: int, name: str) -> Runtime:
        if exported is not None:
            network = _read_export(exported, device=device, engine=engine, threads=threads)
        else:
            network = load_converted(
                path, name, device=device, threads=threads, picture_hw=picture_hw
            )
        problem = network.problem if isinstance(network, CapturedRuntime) else ""
        if problem:
            log(f"no CUDA graph of this network, a frame takes longer ({problem})")
        return network

    def load(name: str) -> Runtime:
        if (
            not leave_core_free or threads or name == "torch" or device != "cpu"
        ):  # torch has its own
            return load_with(threads, name)
        cores = thread_count()
        parts = (fingerprint(path), cpu_name(), name, version_of(name), f"{cores} threads")
        key = ", ".join(parts) + shape_suffix(picture_hw)
        return load_with(pick_thread_count(key, cores, partial(load_with, name=name)), name)

    if exported is not None:
        (runs,) = (name for name, row in RUNTIMES.items() if row.suffix == exported.suffix)
        return load(runs)
    if engine != "auto":
        return load(engine)
    if device != "cpu":
        return load("torch")
    candidates = ["torch", *(["openvino"] if is_installed("openvino") else [])]
    if candidates == ["torch"] and is_installed("onnx"):
        candidates.append("onnx")
    if len(candidates) == 1:
        return load("torch")
    versions = (f"{name} {version_of(name)}" for name in candidates)
    cores = f"{threads or thread_count()} threads"
    key = ", ".join((fingerprint(path), cpu_name(), cores, *versions))
    known = cache_get(key)
    if known in candidates:
        return load(known)
    log(f"benchmarking {' and '.join(candidates)} on this computer, once for this model ...")
    trial, network = benchmark_runtimes(
        {name: partial(load_with, threads, name) for name in candidates}
    )
    log(trial.sentence())
    cache_put(key, trial.best)
    return load(trial.best) if leave_core_free else network


def _load_foreign(
    path: Path,
    *,
    device: str,
    engine: str,
    threads: int,
    size_wh: tuple[int, int] | None,
    note: Note,
) -> Runtime:
    """Load a third-party ONNX detector, by OpenVINO on a CPU unless an engine is named."""
    wanted = os.environ.get(VARIABLE, "auto") if engine == "auto" else engine
    if wanted not in FOREIGN_RUNTIMES:
        if engine != "auto":
            names = " or ".join(FOREIGN_RUNTIMES)
            raise ConfigError(f"{path.name} cannot be run by {engine}", hint=f"--engine {names}")
        on_cuda = choose_device(device) != "cpu" and is_installed("onnx")
        wanted = "onnx" if on_cuda or not is_installed("openvino") else "openvino"
    device = _device_for(wanted, device)
    check_installed(wanted, RUNTIMES[wanted].to_run)
    open_session = partial(FOREIGN_RUNTIMES[wanted], device=device, threads=threads)
    return load_foreign(path, open_session, size_wh=size_wh, note=note)


def _split_models(model: Path | str) -> list[str]:
    """Split `a,b` into two models unless a file or folder has that name."""
    if not isinstance(model, str) or "," not in model or Path(model).exists():
        return [str(model)]
    return [name.strip() for name in model.split(",") if name.strip()]


def check_model(model: str) -> None:
    """Refuse a model that is not there, before anything else is read.

    Raises:
        ModelError: there is no such file, run or shipped model.
    """
    for name in _split_models(model):
        path, _ = split_size(name)
        of_library = str(path).partition(":")[0] in LIBRARIES
        if not (of_library or is_foreign(Path(path)) or find_export(path)):
            find_checkpoint(path)


def find_export(model: Path | str) -> Path | None:
    """Return the file of an exported network at a path, None without one.

    Raises:
        ModelError: a folder holds several.
    """
    path = Path(model)
    suffixes = {engine.suffix for engine in RUNTIMES.values()}
    if path.is_file():
        if path.suffix == ".pt2":
            raise ModelError(
                f"{path}: .pt2 files can run code, and are no longer loaded",
                hint="export it again with this version, or use the checkpoint",
            )
        if path.suffix == ".bin" and path.with_suffix(".xml").is_file():
            return path.with_suffix(".xml")
        return path if path.suffix in suffixes else None
    if path.is_dir() and not (path / "best.pt").is_file():
        found = sorted(entry for entry in path.iterdir() if entry.suffix in suffixes)
        if len(found) > 1:
            names = ", ".join(entry.name for entry in found)
            raise ModelError(f"{path}: several exported models ({names})", hint="name one of them")
        return found[0] if found else None
    return None


def _read_export(path: Path, *, device: str, engine: str, threads: int) -> Runtime:
    (own,) = (name for name, row in RUNTIMES.items() if row.suffix == path.suffix)
    if engine == "auto":
        engine = own
        device = device if RUNTIMES[engine].on_cuda else "cpu"
    if engine != own:
        raise ConfigError(
            f"{path.name} cannot be run by {engine}",
            hint=f"use --engine {own}, or export it in the format of {engine}",
        )
    check_installed(engine, RUNTIMES[engine].to_run)
    remove_leftovers(path.parent)  # an export may have been ended while it replaced its files
    if path.suffix == SUFFIX:
        read_onnx_file(path)  # refuses weights outside of its folder
    return RUNTIMES[engine].read(path, device=device, threads=threads)


def _device_for(engine: str, device: str) -> str:
    """Return the torch device; `auto` is the CPU for an engine without CUDA."""
    if engine == "auto" or RUNTIMES[engine].on_cuda:
        return choose_device(device)
    if device == "auto":
        return "cpu"
    if choose_device(device) != "cpu":
        raise ConfigError(
            f"--engine {engine} runs on the CPU, not on {device}",
            hint="leave --device out, or use --engine torch",
        )
    return "cpu"
