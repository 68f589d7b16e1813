"""A CUDA device that is pretended: its tensors lie in ordinary memory, but obey a device's rules.

Most machines that run these tests have no GPU, and code that has never run does not work. Tensors
of the pretended device say `cuda:0`, so torch's own autocast casts them as on CUDA; an operation
that mixes devices is refused; in a captured graph whatever would wait for the device is refused,
and a replay repeats the recorded operations in the recorded memory, so what was not copied in or
out shows as an old answer. Not pretended: kernels, their rounding and speed, and gradients.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = torch.device("cuda:0")
_CROSSING = {torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default}
_WAITING = {
    torch.ops.aten._local_scalar_dense.default,
    torch.ops.aten.nonzero.default,
    torch.ops.aten.masked_select.default,
    torch.ops.aten.equal.default,
}
_FROM_OUTSIDE = {torch.tensor, torch.as_tensor, Tensor.to}


class _Recording(threading.local):
    graph: PretendedGraph | None = None


_recording = _Recording()


class DeviceTensor(Tensor):
    """A tensor of the pretended device; `held` is where its numbers are."""

    held: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: Tensor) -> DeviceTensor:
        with torch.inference_mode(False):
            tensor = Tensor._make_wrapper_subclass(
                cls,
                held.size(),
                strides=held.stride(),
                storage_offset=held.storage_offset(),
                dtype=held.dtype,
                device=DEVICE,
            )
        tensor.held = held.detach()
        return tensor

    @classmethod
    def __torch_dispatch__(
        cls, operation: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return _run(operation, args, dict(kwargs or {}))


def _run(operation: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    if operation is torch.ops.aten._has_compatible_shallow_copy_type.default:
        return False
    tensors = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, Tensor)]
    strangers = [value for value in tensors if not isinstance(value, DeviceTensor) and value.dim()]
    crosses = bool(strangers)
    if strangers and operation not in _CROSSING:
        raise RuntimeError(f"tensors of two devices met in {operation}")
    stays = True
    if kwargs.get("device") is not None:
        stays = torch.device(kwargs["device"]).type == "cuda"
        crosses |= not stays
        kwargs["device"] = torch.device("cpu")
    graph = _recording.graph
    if graph is not None and (crosses or operation in _WAITING):
        raise RuntimeError(f"{operation} waits for the device, which is being captured")
    args, kwargs = tree_map(_held, (args, kwargs))
    if operation is torch.ops.aten._softmax.default and args[2]:  # CUDA alone casts meanwhile
        args = (args[0].float(), args[1], False)
    if graph is not None and operation is torch.ops.aten._to_copy.default:
        kwargs.pop("device", None)
    outcome = operation(*args, **kwargs)
    if graph is not None:
        graph.steps.append((operation, args, kwargs, outcome))
    arguments = operation._schema.arguments
    if arguments and arguments[0].is_write:
        return tensors[0]  # in place
    return tree_map(_placed, outcome) if stays else outcome


def _held(value: Any) -> Any:
    return value.held if isinstance(value, DeviceTensor) else value


def _placed(value: Any) -> Any:
    return DeviceTensor(value) if isinstance(value, Tensor) else value


class PretendedDevice(TorchFunctionMode):
    """Within it torch finds the device that is not there. It counts for one thread."""

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Place what is asked to be on the device; leave all else to torch."""
        kwargs = dict(kwargs or {})
        if function in _ASKING and isinstance(args[0], DeviceTensor):
            return _ASKING[function](*args, **kwargs)
        asked = any(_is_device(value) for value in (*args[1:], *kwargs.values()))
        if not asked or not (function is Tensor.to or "device" in kwargs):
            return function(*args, **kwargs)
        if args and isinstance(args[0], DeviceTensor):
            rest = [value for value in args if not _is_device(value) and value is not None]
            kwargs.pop("device", None)
            return function(*rest, **kwargs) if len(rest) + len(kwargs) > 1 else args[0]
        graph = _recording.graph
        if graph is not None and function in _FROM_OUTSIDE:
            raise RuntimeError(f"{function} waits for the device, which is being captured")
        args, kwargs = tree_map(
            lambda value: torch.device("cpu") if _is_device(value) else value, (args, kwargs)
        )
        outcome = function(*args, **kwargs).detach()
        if graph is not None:
            graph.steps.append((function, args, kwargs, outcome))
        return DeviceTensor(outcome)


def _is_device(value: Any) -> bool:
    return str(value).startswith("cuda") if isinstance(value, str | torch.device) else False


def _item(tensor: Tensor, index: Any) -> Tensor:
    """Return tensor[index]."""
    index = index if isinstance(index, tuple) else (index,)
    if any(isinstance(part, Tensor) for part in index):
        chosen: Tensor = torch.ops.aten.index.Tensor(tensor, list(index))
        return chosen
    if Ellipsis in index:
        at = index.index(Ellipsis)
        missing = tensor.dim() - sum(part is not None and part is not Ellipsis for part in index)
        index = (*index[:at], *[slice(None)] * missing, *index[at + 1 :])
    axis = 0
    for part in index:
        if isinstance(part, int):
            tensor = torch.select(tensor, axis, part)
            continue
        if part is None:
            tensor = tensor.unsqueeze(axis)
        else:
            start, stop, step = part.start, part.stop, part.step or 1
            tensor = torch.ops.aten.slice.Tensor(tensor, axis, start, stop, step)
        axis += 1
    return tensor


def _contiguous(tensor: Tensor, memory_format: Any = torch.contiguous_format) -> Tensor:
    whole = tensor.is_contiguous(memory_format=memory_format)
    return tensor if whole else tensor.clone(memory_format=memory_format)


def _copy(tensor: DeviceTensor, source: Tensor, non_blocking: bool = False) -> Tensor:
    _run(torch.ops.aten.copy_.default, (tensor, source), {})
    return tensor


def _nonzero(tensor: Tensor, as_tuple: bool = False) -> Tensor | tuple[Tensor, ...]:
    places: Tensor = torch.ops.aten.nonzero.default(tensor)
    return tuple(places.unbind(1)) if as_tuple else places


def _put(tensor: Tensor, index: Any, values: Any) -> None:
    if not isinstance(values, Tensor):
        values = torch.full((), values, dtype=tensor.dtype, device=DEVICE)
    places = [index] if isinstance(index, Tensor) else list(index)
    torch.ops.aten.index_put_.default(tensor, places, values)


_ASKING = {  # bindings of torch that ask the driver before they dispatch
    Tensor.__getitem__: _item,
    Tensor.contiguous: _contiguous,
    Tensor.copy_: _copy,
    Tensor.__invert__: torch.bitwise_not,
    Tensor.nonzero: _nonzero,
    Tensor.__setitem__: _put,
}


class PretendedGraph:
    """Stands for `torch.cuda.CUDAGraph`: what was recorded, with the memory that it was done in."""

    def __init__(self) -> None:
        self.steps: list[tuple[Any, Any, Any, Any]] = []
        self.replays = 0

    def replay(self) -> None:
        """Do the recorded operations again, in the same memory."""
        self.replays += 1
        for operation, args, kwargs, outcome in self.steps:
            again = operation(*args, **kwargs)
            inputs = [value for value in tree_flatten((args, kwargs))[0] if _is_tensor(value)]
            places = {value.untyped_storage().data_ptr() for value in inputs}
            outcomes = zip(tree_flatten(outcome)[0], tree_flatten(again)[0], strict=True)
            for before, now in outcomes:
                if _is_tensor(before) and before.untyped_storage().data_ptr() not in places:
                    before.copy_(now)


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor)


class _Capturing:
    def __init__(self, graph: PretendedGraph, **options: Any) -> None:
        self._graph = graph

    def __enter__(self) -> None:
        _recording.graph = self._graph

    def __exit__(self, *_: object) -> None:
        _recording.graph = None


class _Stream:
    def __init__(self, *_: Any) -> None:
        pass

    def wait_stream(self, other: Any) -> None:
        pass


@contextlib.contextmanager
def pretended_cuda() -> Iterator[None]:
    """Within it there is one CUDA device, in this thread and in all that begin there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lstmcli.core.devices._may_have_cuda", lambda: True)
        patch.setattr(torch.cuda, "is_available", lambda: True)
        patch.setattr(torch.cuda, "device_count", lambda: 1)
        patch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
        patch.setattr(torch.cuda, "Stream", _Stream)
        patch.setattr(torch.cuda, "current_stream", _Stream)
        patch.setattr(torch.cuda, "stream", lambda stream: contextlib.nullcontext())
        patch.setattr(torch.cuda, "CUDAGraph", PretendedGraph)
        patch.setattr(torch.cuda, "graph", _Capturing)
        patch.setattr(torch.cuda, "synchronize", lambda *_: None)
        patch.setattr(torch.cuda, "empty_cache", lambda: None)
        patch.setattr(torch.nn.LSTM, "flatten_parameters", lambda layer: None)
        run = threading.Thread.run

        def run_with_device(thread: threading.Thread) -> None:
            with PretendedDevice():
                run(thread)

        patch.setattr(threading.Thread, "run", run_with_device)
        before = torch.__future__.get_overwrite_module_params_on_conversion()
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        try:
            with PretendedDevice():
                yield
        finally:
            torch.__future__.set_overwrite_module_params_on_conversion(before)
