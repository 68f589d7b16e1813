"""Catalogue of third-party detectors: name, source, licence, size, published accuracy.

Published numbers are box AP on COCO val2017 as the authors state it (a segmenter has none); only
those with `measured_ap` were run here, on the first 128 pictures of COCO val2017, which are easy.
What is under AGPL or not for commercial use is not listed.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A third-party detector.

    Args:
        name: for `--model`, or of the file to get.
        source: where it comes from.
        licence: of the weights.
        size_mb: of the file in MB, None where unknown.
        published_ap: COCO AP in percent, None where none is published.
        measured_ap: on 128 pictures by `evaluate`, 0..1; None: not measured here.
    """

    name: str
    source: str
    licence: str
    size_mb: float | None = None
    published_ap: float | None = None
    measured_ap: float | None = None


def _torchvision(name: str, size_mb: float, published_ap: float | None = None) -> KnownModel:
    return KnownModel(
        f"torchvision:{name}", "download.pytorch.org", "BSD-3-Clause", size_mb, published_ap
    )


def _hub(name: str, published_ap: float) -> KnownModel:
    return KnownModel(
        f"transformers:{name}", "huggingface.co", "Apache-2.0", published_ap=published_ap
    )


KNOWN_MODELS: tuple[KnownModel, ...] = (
    KnownModel(
        "DEIMv2-HGNetv2-Femto (ONNX)",
        "github.com/Intellindust-AI-Lab/DEIMv2",
        "Apache-2.0",
        size_mb=4.1,
        published_ap=31.0,
        measured_ap=0.402,
    ),
    KnownModel(
        "DEIMv2-HGNetv2-Atto (ONNX)",
        "github.com/Intellindust-AI-Lab/DEIMv2",
        "Apache-2.0",
        size_mb=2.2,
        published_ap=23.8,
        measured_ap=0.302,
    ),
    KnownModel(
        "PicoDet-S 416 (ONNX)",
        "github.com/PaddlePaddle/PaddleDetection",
        "Apache-2.0",
        size_mb=4.0,
        published_ap=30.7,
        measured_ap=0.361,
    ),
    KnownModel(
        "YOLOX-Nano (ONNX)",
        "github.com/Megvii-BaseDetection/YOLOX",
        "Apache-2.0",
        size_mb=3.7,
        published_ap=25.8,
        measured_ap=0.340,
    ),
    _torchvision("ssdlite320_mobilenet_v3_large", 13.4, 21.3),
    _torchvision("fasterrcnn_mobilenet_v3_large_320_fpn", 74.2, 22.8),
    _torchvision("fasterrcnn_mobilenet_v3_large_fpn", 74.2, 32.8),
    _torchvision("ssd300_vgg16", 136.0, 25.1),
    _torchvision("retinanet_resnet50_fpn_v2", 146.0, 41.5),
    _torchvision("fcos_resnet50_fpn", 123.6, 39.2),
    _torchvision("fasterrcnn_resnet50_fpn_v2", 167.1, 46.7),
    _torchvision("maskrcnn_resnet50_fpn_v2", 177.2, 47.4),
    _torchvision("deeplabv3_mobilenet_v3_large", 42.3),
    _torchvision("deeplabv3_resnet50", 160.5),
    _hub("PekingU/rtdetr_r18vd", 46.5),
    _hub("PekingU/rtdetr_r50vd", 53.1),
    _hub("facebook/detr-resnet-50", 42.0),
    _hub("hustvl/yolos-tiny", 28.7),
)
