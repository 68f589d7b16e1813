"""Trains a detector: dataset and settings in, a run folder with checkpoints out."""

from lstmcli.training.launch import find_launch
from lstmcli.workflows.train.epochs import steps_per_epoch
from lstmcli.workflows.train.run import train
from lstmcli.workflows.train.setup import next_run
from lstmcli.workflows.train.state import Trained, TrainOptions

__all__ = ["TrainOptions", "Trained", "find_launch", "next_run", "steps_per_epoch", "train"]
