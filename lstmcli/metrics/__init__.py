"""Metrics of detections, tracks and their stability.

A metric is a function of a `Comparison` (detections matched with the ground truth once) that
returns plain values for JSON: numbers, texts, None where there is nothing to count (never NaN). Its
key in `METRICS` is its key in the scores. The order of videos does not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lstmcli.metrics.breakdown import by_motion, by_size, by_step
from lstmcli.metrics.calibration import calibration
from lstmcli.metrics.comparison import Comparison, Json
from lstmcli.metrics.confusion import confusion
from lstmcli.metrics.error_types import errors
from lstmcli.metrics.misses import misses
from lstmcli.metrics.operating_point import thresholds
from lstmcli.metrics.precision_recall import by_class, by_video
from lstmcli.metrics.stability import stability
from lstmcli.metrics.track_metrics import track_metrics

Metric = Callable[[Comparison], dict[str, Json]]

METRICS: Mapping[str, Metric] = {
    "per_class": by_class,
    "by_size": by_size,
    "by_motion": by_motion,
    "by_step": by_step,
    "by_video": by_video,
    "stability": stability,
    "calibration": calibration,
    "confusion": confusion,
    "thresholds": thresholds,
    "errors": errors,
    "tracks": track_metrics,
    "misses": misses,
}
