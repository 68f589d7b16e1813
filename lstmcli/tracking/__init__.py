"""Objects along time: who is who, without flicker, and who crossed which line."""

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
