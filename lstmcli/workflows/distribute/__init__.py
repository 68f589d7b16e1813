"""`detect` past one process: many videos, or pieces of long ones, as tasks on a cluster."""

from lstmcli.workflows.distribute.options import ClusterOptions
from lstmcli.workflows.distribute.run import EXECUTORS, detect_distributed

__all__ = ["EXECUTORS", "ClusterOptions", "detect_distributed"]
