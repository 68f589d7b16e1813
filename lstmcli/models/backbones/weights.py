"""Initial weights of a backbone: reading, download, fitting."""

from __future__ import annotations

import http.client
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from lstmcli.core.errors import ModelError
from lstmcli.models.torch_archive import check_archive

CONTAINERS = ("state_dict", "model", "weights")
"""Keys under which training programs store the weights."""
PREFIXES = ("", "module.", "backbone.", "body.", "backbone.body.", "model.", "model.backbone.")
"""Prefixes that training programs add to the names of a backbone's weights."""


def take_channels(layer: nn.Conv2d, in_channels: int) -> nn.Conv2d:
    """Return the first convolution of a network for another number of input channels."""
    if layer.in_channels == in_channels:
        return layer
    wider = nn.Conv2d(
        in_channels,
        layer.out_channels,
        (layer.kernel_size[0], layer.kernel_size[1]),
        stride=(layer.stride[0], layer.stride[1]),
        padding=(int(layer.padding[0]), int(layer.padding[1])),
        bias=layer.bias is not None,
    )
    nn.init.kaiming_normal_(wider.weight, mode="fan_out")
    if wider.bias is not None:
        nn.init.zeros_(wider.bias)
    return wider


def download(weights: Any, name: str) -> Mapping[str, Tensor]:
    """Return weights of torchvision, from its cache or from the network.

    Args:
        weights: an entry of one of torchvision's enumerations of weights.
        name: the backbone's, for the message.

    Raises:
        ModelError: no network, or a wrong checksum.
    """
    try:
        state: Mapping[str, Tensor] = weights.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        raise ModelError(
            f"the ImageNet weights of {name} cannot be downloaded from {weights.url} ({error})",
            hint="give a file, --set backbone.weights=FILE, or start from none",
        ) from None
    return state


def read_weights(path: Path) -> Mapping[str, Tensor]:
    """Return the tensors of a `.safetensors` file or of a file that `torch.save` wrote.

    Raises:
        ModelError: the file is missing, is cut short, or holds anything but weights.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        check_archive(path)
        values: Any = torch.load(path, map_location="cpu", weights_only=True)
    except ModelError:
        raise
    except OSError as error:
        raise ModelError(
            f"{path}: {error.strerror or error}",
            hint="backbone.weights is 'none', 'imagenet' or the path of a file",
        ) from None
    except SafetensorError as error:
        raise _not_weights(path, str(error)) from None
    except Exception as error:  # torch raises many types here
        raise _not_weights(path, (str(error) or type(error).__name__).splitlines()[0]) from None
    for name in CONTAINERS:
        if isinstance(values, Mapping) and isinstance(values.get(name), Mapping):
            values = values[name]
    if not isinstance(values, Mapping):
        raise _not_weights(path, f"it holds a {type(values).__name__}")
    tensors = {str(name): value for name, value in values.items() if isinstance(value, Tensor)}
    if not tensors:
        raise _not_weights(path, "it holds no tensors")
    return tensors


def _not_weights(path: Path, reason: str) -> ModelError:
    return ModelError(
        f"{path}: no weights can be read from it ({reason})",
        hint="give a file of names and tensors that torch.save or safetensors wrote",
    )


def fit_weights(body: nn.Module, source: Mapping[str, Tensor], where: str) -> None:
    """Load weights into a backbone where name and shape agree.

    Channels of the first convolution that the file does not have get zeros there, so that the
    output of the backbone is unchanged until these channels are trained.

    Args:
        body: a variant of the backbone; changed in where.
        source: tensors by name; further ones, a classifier's for example, are not used.
        where: the file, for the message.

    Raises:
        ModelError: fewer than half of the backbone's weights are there.
    """
    wanted = body.state_dict()
    first = next(name for name, value in wanted.items() if value.dim() == 4)
    fitting = max(
        (_fitting(wanted, source, prefix=prefix, first=first) for prefix in PREFIXES), key=len
    )
    learned = [name for name in wanted if not name.endswith("num_batches_tracked")]
    missing = [name for name in learned if name not in fitting]
    if missing:
        names = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        lack = f"{where}: {len(missing)} of the backbone's {len(learned)} weights are not in it or"
        lack = f"{lack} have another shape: {names}"
        if 2 * len(missing) > len(learned):
            raise ModelError(lack, hint="choose the backbone that the file was made for")
        warnings.warn(f"{lack}; these start untrained", stacklevel=2)
    body.load_state_dict(fitting, strict=False)


def _fitting(
    wanted: Mapping[str, Tensor], source: Mapping[str, Tensor], *, prefix: str, first: str
) -> dict[str, Tensor]:
    """Return the tensors under a prefix whose names and shapes a backbone wants."""
    fitting = {}
    for name, value in wanted.items():
        tensor = source.get(prefix + name)
        if tensor is None:
            continue
        lacking = value.shape[1] - tensor.shape[1] if name == first and tensor.dim() == 4 else 0
        if lacking > 0:
            zeros = tensor.new_zeros(len(tensor), lacking, *tensor.shape[2:])
            tensor = torch.cat((tensor, zeros), dim=1)
        if tensor.shape == value.shape:
            fitting[name] = tensor
    return fitting
