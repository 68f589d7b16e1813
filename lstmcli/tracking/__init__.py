"""Tracking: association, interpolation of gaps, counting at lines and in zones."""

from lstmcli.tracking.interpolation import GAP_FRAMES, interpolate_gaps
from lstmcli.tracking.tracker import Tracker
from lstmcli.tracking.zones import CountConfig, Counter, CountEvent, load_count_config

__all__ = [
    "GAP_FRAMES",
    "CountConfig",
    "CountEvent",
    "Counter",
    "Tracker",
    "interpolate_gaps",
    "load_count_config",
]
