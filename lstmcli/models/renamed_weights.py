"""State-dict keys that earlier releases called otherwise: one table, applied when loading."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

RENAMED_WEIGHTS: Mapping[str, str] = {
    "narrow.": "reduce.",
    "join.": "fuse.",
    "head.place.": "head.box_pred.",
    "head.kind.": "head.cls_pred.",
    "head.answers.": "head.pred.",
    "temporal.asks.": "temporal.to_q.",
    "temporal.answer.": "temporal.out_proj.",
    "temporal.tells.": "temporal.to_out.",
    "temporal.nothing": "temporal.null_logit",
    "temporal.looked_at": "temporal.distance_weight",
    "temporal.place.": "temporal.local.",
    "temporal.narrow.": "temporal.reduce.",
    "temporal.widen.": "temporal.expand.",
    "temporal.from_evidence.": "temporal.from_slot.",
}
"""Beginning of an old key -> of the new one, 2026-11."""
_AVERAGED = "module."
"""Before every key of an `AveragedModel`."""
_POINTWISE = ("temporal.from_input.weight", "temporal.from_hidden.weight")
"""Of the `lstm` and `gru` cores: matrices in earlier releases, 1x1 convolutions now."""


def upgrade_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a network's (or averaged network's) weights under today's keys, in today's shapes."""
    upgraded: dict[str, Tensor] = {}
    for key, value in weights.items():
        prefix = _AVERAGED if key.startswith(_AVERAGED) else ""
        name = key.removeprefix(prefix)
        for old, new in RENAMED_WEIGHTS.items():
            if name.startswith(old):
                name = new + name.removeprefix(old)
                break
        if name in _POINTWISE and value.dim() == 2:
            value = value[:, :, None, None]
        upgraded[prefix + name] = value
    return upgraded
