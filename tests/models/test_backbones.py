"""What every backbone promises, and the weights that it can start from."""

from __future__ import annotations

import copy
import http.client
import urllib.error
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.testing import assert_close
from torchvision import models

from lstmcli.core.config import BackboneConfig
from lstmcli.core.errors import ConfigError, ModelError
from lstmcli.models.backbones import BACKBONES, IMAGENET, Backbone, build_backbone
from lstmcli.models.backbones.weights import download

TRAINED = sorted(IMAGENET)


def make(name: str, *, in_channels: int = 3, **settings: Any) -> Backbone:
    torch.manual_seed(0)
    return build_backbone(BackboneConfig(name=name, **settings), in_channels)


def images(channels: int = 3, size_hw: tuple[int, int] = (64, 96)) -> Tensor:
    return torch.randn(2, channels, *size_hw, generator=torch.Generator().manual_seed(1))


@pytest.fixture(params=sorted(BACKBONES))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("in_channels", [3, 6])
@pytest.mark.parametrize("size_hw", [(64, 96), (67, 101)])
def test_maps_have_the_declared_channels_and_strides(
    name: str, in_channels: int, size_hw: tuple[int, int]
) -> None:
    backbone = make(name, in_channels=in_channels)
    with torch.no_grad():
        maps = backbone(images(in_channels, size_hw))
    promised = [
        (2, channels, -(-size_hw[0] // stride), -(-size_hw[1] // stride))
        for channels, stride in zip(backbone.channels, backbone.strides, strict=True)
    ]
    assert [tuple(found.shape) for found in maps] == promised
    assert list(backbone.strides) == sorted(backbone.strides)


def test_a_gradient_reaches_every_weight_and_every_channel(name: str) -> None:
    backbone, frames = make(name, in_channels=6), images(6).requires_grad_()
    with torch.no_grad():  # residual blocks may begin with a zero that lets nothing through
        for parameter in backbone.parameters():
            parameter += 0.01
    maps = backbone(frames)
    # As a head would have it: random weights, for a plain sum is what batch norm keeps constant.
    sum((found * torch.randn_like(found)).sum() for found in maps).backward()
    asleep = [
        n for n, p in backbone.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0
    ]
    assert asleep == []
    assert frames.grad is not None
    assert (frames.grad.abs().sum(dim=(0, 2, 3)) > 0).all()


def test_a_frozen_backbone_stays_as_it_was(name: str) -> None:
    backbone = make(name, freeze=True)
    before = copy.deepcopy(backbone.state_dict())
    backbone.train()
    assert not any(module.training for module in backbone.modules())
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    assert not any(found.requires_grad for found in backbone(images()))
    assert_close(backbone.state_dict(), before, rtol=0, atol=0)
    assert not copy.deepcopy(backbone).train().training


def test_a_backbone_that_is_not_frozen_trains(name: str) -> None:
    backbone = make(name)
    assert all(module.training for module in backbone.train().modules())
    assert not any(module.training for module in backbone.eval().modules())
    assert all(parameter.requires_grad for parameter in backbone.parameters())


def test_weights_of_a_frozen_backbone_fit_one_that_is_not(name: str) -> None:
    make(name).load_state_dict(make(name, freeze=True).state_dict())


def test_a_backbone_can_be_exported(name: str) -> None:
    backbone = make(name).eval()
    exported = torch.export.export(backbone, (images(),)).module()
    assert_close(exported(2 * images()), backbone(2 * images()))


@pytest.mark.parametrize("name", ["tiny", "dense", "mobilenet_v2", "mobilenet_v3_small"])
def test_width_multiplies_the_channels(name: str) -> None:
    wide, narrow = make(name, width=2.0), make(name)
    assert list(wide.channels) == [pytest.approx(2 * n, abs=8) for n in narrow.channels]
    assert [found.shape[1] for found in wide(images())] == list(wide.channels)


@pytest.mark.parametrize("levels", [1, 2])
@torch.inference_mode()
def test_coarser_maps_can_be_left_out(name: str, levels: int) -> None:
    whole, kept = make(name).eval(), make(name).eval()
    kept.load_state_dict(whole.state_dict())
    kept.keep(levels)
    for one, other in zip(kept(images()), whole(images())[:levels], strict=True):
        torch.testing.assert_close(one, other)
    assert len(kept.channels) == len(kept.strides) == levels
    if len(whole.strides) > levels:
        weights = [sum(p.numel() for p in body.parameters()) for body in (kept, whole)]
        assert weights[0] < weights[1]


def test_shufflenet_has_four_widths() -> None:
    assert make("shufflenet_v2", width=0.5).channels == (24, 48, 96, 192)
    assert make("shufflenet_v2", width=2).channels == (24, 244, 488, 976)
    with pytest.raises(ConfigError, match=r"shufflenet_v2 of width 0\.7") as caught:
        make("shufflenet_v2", width=0.7)
    assert caught.value.hint == "set backbone.width to one of 0.5, 1, 1.5, 2"


def test_resnet_has_one_width() -> None:
    with pytest.raises(ConfigError, match="resnet18 of width 2"):
        make("resnet18", width=2.0)


@pytest.mark.parametrize("name", ["tiny", "dense"])
@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "prelu", "silu"])
@pytest.mark.parametrize("pooling", ["conv", "max", "avg"])
def test_our_own_take_every_activation_and_pooling(
    name: str, activation: str, pooling: str
) -> None:
    backbone = make(name, activation=activation, pooling=pooling)
    kinds = {type(module).__name__ for module in backbone.modules()}
    named = {"relu": "ReLU", "leaky_relu": "LeakyReLU", "prelu": "PReLU", "silu": "SiLU"}
    assert kinds & set(named.values()) == {named[activation]}
    pools = {"conv": set(), "max": {"MaxPool2d"}, "avg": {"AvgPool2d"}}
    assert kinds & {"MaxPool2d", "AvgPool2d"} == pools[pooling]
    assert [tuple(m.shape[2:]) for m in backbone(images(size_hw=(33, 35)))][:2] == [(9, 9), (5, 5)]


def test_tiny_is_tiny() -> None:
    assert sum(parameter.numel() for parameter in make("tiny").parameters()) < 10_000


@pytest.mark.parametrize("name", TRAINED)
def test_maps_are_those_of_torchvision(name: str) -> None:
    """The whole network's last features, from torchvision's own weights and forward."""
    network = getattr(models, "shufflenet_v2_x1_0" if name == "shufflenet_v2" else name)(
        weights=None
    ).eval()
    backbone = make(name).eval()
    backbone.body.load_state_dict(network.state_dict(), strict=False)
    seen: list[Tensor] = []
    last = {"resnet18": "layer4", "shufflenet_v2": "stage4"}.get(name)
    block = network.features[-2] if last is None else getattr(network, last)
    block.register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.no_grad():
        network(images())
        assert_close(backbone(images())[-1], seen[0])


@pytest.mark.parametrize("name", TRAINED)
def test_trained_weights_have_the_same_output_with_frame_difference(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = make(name).body.state_dict()
    trained["classifier.weight"] = torch.ones(1)
    monkeypatch.setattr(type(IMAGENET[name]), "get_state_dict", lambda self, **options: trained)
    plain = make(name, weights="imagenet").eval()
    moving = make(name, weights="imagenet", in_channels=6).eval()
    frames = images(6)
    assert_close(plain.body.state_dict(), {k: trained[k] for k in plain.body.state_dict()})
    assert_close(moving(frames), plain(frames[:, :3]))
    moving(frames)[0].sum().backward()
    first = next(moving.parameters())
    assert first.grad is not None
    assert first.grad[:, 3:].abs().sum() > 0, "motion has to be able to learn"


@pytest.mark.parametrize(
    "failure",
    [
        urllib.error.URLError("no route to host"),
        http.client.RemoteDisconnected("closed"),
        RuntimeError("invalid hash value"),
    ],
)
def test_a_failed_download_hints_at_a_file(failure: Exception) -> None:
    class Weights:
        url = "https://example.org/resnet18.pth"

        def get_state_dict(self, **options: object) -> None:
            raise failure

    with pytest.raises(ModelError, match=r"resnet18 cannot be downloaded from https") as caught:
        download(Weights(), "resnet18")
    assert "--set backbone.weights=FILE" in caught.value.hint


@pytest.mark.parametrize("name", ["tiny", "dense"])
def test_our_own_have_no_imagenet_weights(name: str) -> None:
    with pytest.raises(ConfigError, match="no ImageNet weights for the backbone") as caught:
        make(name, weights="imagenet")
    assert "mobilenet_v2" in caught.value.hint


def test_imagenet_weights_have_one_width() -> None:
    with pytest.raises(ConfigError, match=r"of width 0\.5"):
        make("mobilenet_v2", weights="imagenet", width=0.5)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("prefix", ["", "module.", "backbone.body."])
def test_weights_come_from_a_file(tmp_path: Path, suffix: str, prefix: str) -> None:
    torch.manual_seed(5)
    source = build_backbone(BackboneConfig(name="tiny")).body.state_dict()
    named = {prefix + name: value for name, value in source.items()} | {"head.x": torch.ones(1)}
    path = tmp_path / f"tiny{suffix}"
    if suffix == ".pth":
        torch.save({"state_dict": named, "epoch": 3}, path)
    else:
        save_file(named, path)
    assert_close(make("tiny", weights=str(path)).body.state_dict(), source)


def test_a_file_without_some_weights_is_used_with_a_warning(tmp_path: Path) -> None:
    source = make("tiny").body.state_dict()
    del source["stages.1.1.weight"]
    torch.save(source, tmp_path / "tiny.pth")
    with pytest.warns(UserWarning, match=r"1 of the backbone's .* stages\.1\.1\.weight"):
        make("tiny", weights=str(tmp_path / "tiny.pth"))


def test_a_file_of_another_network_names_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "tiny.pth"
    torch.save(make("tiny").body.state_dict(), path)
    with pytest.raises(ModelError, match=r"tiny\.pth: 100 of the backbone's 100 .* conv1\.weight"):
        make("resnet18", weights=str(path))


class Hostile:
    """Would run code if it were unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("raise SystemExit",))


@pytest.mark.parametrize("case", ["missing", "folder", "empty", "cut", "text", "list", "hostile"])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_bad_file_is_one_line(tmp_path: Path, case: str, suffix: str) -> None:
    path = tmp_path / f"weights{suffix}"
    if case == "folder":
        path.mkdir()
    elif case in {"empty", "text"}:
        path.write_text("" if case == "empty" else "these are not weights\n" * 20)
    elif case == "cut":
        torch.save(make("tiny").state_dict(), path)
        path.write_bytes(path.read_bytes()[:1000])
    elif case == "list":
        torch.save([1, 2], path)
    elif case == "hostile":
        torch.save({"weight": Hostile()}, path)
    with pytest.raises(ModelError) as caught:
        make("tiny", weights=str(path))
    assert caught.value.problem.startswith(str(path))
    assert "\n" not in caught.value.problem
    assert caught.value.hint


@pytest.mark.real
def test_the_imagenet_features_of_mobilenet_v2_fit(shared: Path) -> None:
    """Trained weights keep the features of a noise picture within bounds; fresh ones are others."""
    path = shared / "weights" / "mobilenet_v2-imagenet-features.pth"
    plain = make("mobilenet_v2", weights=str(path), freeze=True)
    moving = make("mobilenet_v2", weights=str(path), in_channels=6).eval()
    frames = images(6)
    assert_close(moving(frames), plain(frames[:, :3]))
    assert not torch.allclose(
        plain(frames[:, :3])[0], make("mobilenet_v2").eval()(frames[:, :3])[0]
    )


def test_an_unknown_backbone_gets_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="no backbone named 'resnet81'") as caught:
        make("resnet81")
    assert caught.value.hint == "did you mean 'resnet18'?"
