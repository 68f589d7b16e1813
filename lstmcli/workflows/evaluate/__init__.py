"""`evaluate`: metrics of a model on annotated videos."""

from lstmcli.workflows.evaluate.options import EvaluateOptions
from lstmcli.workflows.evaluate.result import (
    Evaluation,
    EvaluationFailed,
    PipelineUse,
    Speed,
    UnwrittenEvaluation,
    check_minimums,
)
from lstmcli.workflows.evaluate.run import evaluate

__all__ = [
    "EvaluateOptions",
    "Evaluation",
    "EvaluationFailed",
    "PipelineUse",
    "Speed",
    "UnwrittenEvaluation",
    "check_minimums",
    "evaluate",
]
