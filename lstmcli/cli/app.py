"""Entry point: parses the command line, runs a command, prints errors, sets the exit code.

Only this folder imports typer; commands import torch lazily.
"""

from __future__ import annotations

import os
import shutil
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

import typer

from lstmcli import __version__
from lstmcli.cli.benchmark_command import benchmark
from lstmcli.cli.console import Console
from lstmcli.cli.convert_command import convert
from lstmcli.cli.demo_command import demo
from lstmcli.cli.detect_command import detect
from lstmcli.cli.evaluate_command import evaluate
from lstmcli.cli.export_command import export
from lstmcli.cli.help import PanelCommand, PanelGroup
from lstmcli.cli.inspect_command import inspect
from lstmcli.cli.list_commands import models, presets
from lstmcli.cli.prepare_command import prepare
from lstmcli.cli.reference_commands import formats, settings
from lstmcli.cli.serve_command import serve
from lstmcli.cli.standard_streams import (
    drop_unwritable_messages,
    escape_unencodable,
    files_like_options,
    open_closed_streams,
    use_utf8_file_names,
)
from lstmcli.cli.train_command import train
from lstmcli.core.errors import LstmcliError, explain

app = typer.Typer(
    name="lstmcli",
    cls=PanelGroup,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
PANELS: Mapping[str, tuple[Callable[..., None], ...]] = {
    "From labels to detections": (prepare, train, evaluate, detect, demo),
    "Tools": (serve, convert, export, benchmark, inspect),
    "Reference": (settings, formats, presets, models),
}
for panel, commands in PANELS.items():
    for command in commands:
        app.command(cls=PanelCommand, rich_help_panel=panel)(command)


def _show_version(is_given: bool) -> None:
    if is_given:
        print(f"lstmcli {__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True),
    ] = False,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Show the traceback of an error.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="Print only results and errors.")
    ] = False,
) -> None:
    """Video object detection with a recurrent network: train on your own videos, run on others."""
    console: Console = context.obj
    console.verbosity = 1 if verbose else -1 if quiet else 0


MISUSED = 2
INTERRUPTED = 130
"""Exit code after Ctrl-C, as in shells."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process: 0 done, 1 failed, 2 misused, 130 interrupted."""
    open_closed_streams()
    drop_unwritable_messages()
    if arguments is None:
        use_utf8_file_names()
    escape_unencodable()
    console = Console()
    try:
        app(
            None if arguments is None else list(arguments),
            prog_name="lstmcli",
            obj=console,
            terminal_width=min(100, shutil.get_terminal_size().columns),
        )
    except LstmcliError as error:
        console.traceback(traceback.format_exc())
        console.error(_without_worker(error.problem), error.hint)
        sys.exit(1)
    except BrokenPipeError:
        _close_pipe()
        sys.exit(1)
    except KeyboardInterrupt:
        _report_interruption(console)
        sys.exit(INTERRUPTED)
    except SystemExit as end:
        if end.code == INTERRUPTED:  # typer has caught the interruption
            _report_interruption(console)
        if end.code == MISUSED:
            given = sys.argv[1:] if arguments is None else list(arguments)
            for name in files_like_options(given):
                console.hint(f"{name} is a file: write ./{name}")
        raise
    except Exception as error:
        console.traceback(traceback.format_exc())
        console.error(*explain(error))
        sys.exit(1)
    finally:
        console.progress.stop()


def _report_interruption(console: Console) -> None:
    console.progress.stop()
    console.say("interrupted")


def _without_worker(problem: str) -> str:
    """Return the problem without the traceback of a loader process around it."""
    if not problem.startswith("Caught "):
        return problem
    last = problem.rstrip().splitlines()[-1]
    return last.partition(": ")[2] or last


def _close_pipe() -> None:
    """Redirect stdout to the null device after a broken pipe, for a quiet exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
