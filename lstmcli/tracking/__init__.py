"""Objects along time: who is who, without flicker, and who crossed which line."""

from lstmcli.tracking.interpolation import GAP_FRAMES, steady
from lstmcli.tracking.tracker import Tracker
from lstmcli.tracking.zones import Counter, CountEvent, CountPlan, load_plan

__all__ = ["GAP_FRAMES", "CountEvent", "CountPlan", "Counter", "Tracker", "load_plan", "steady"]
