"""Objects along time: who is who, without flicker, and who crossed which line."""

from lstmcli.tracking.counting import Counter, CountEvent, CountPlan, load_plan
from lstmcli.tracking.steadying import GAP_FRAMES, steady
from lstmcli.tracking.tracker import Tracker

__all__ = ["GAP_FRAMES", "CountEvent", "CountPlan", "Counter", "Tracker", "load_plan", "steady"]
