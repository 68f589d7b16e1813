"""All outputs of one video, or of one segment of a live one, as one."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from lstmcli.core.errors import OutputError, choose
from lstmcli.outputs.contract import AnnotatedFrame, Output, OutputSpec, make_folder


def output_paths(names: Sequence[str], job: OutputSpec) -> list[Path]:
    """Return the paths of the outputs of these writers.

    Raises:
        ConfigError: there is no such writer.
    """
    from lstmcli.outputs import WRITERS

    return [job.path(choose(WRITERS, name, "output").suffix) for name in names]


class OutputGroup:
    """Opens, feeds and ends several writers together.

    Args:
        names: of the writers, in the order in which they are completed.
        job: their specification.

    Raises:
        ConfigError: there is no such writer.
        OutputError: a file cannot be made.
    """

    def __init__(self, names: Sequence[str], job: OutputSpec) -> None:
        from lstmcli.outputs import WRITERS

        kinds = [choose(WRITERS, name, "output") for name in names]
        make_folder(job.stem.parent)
        self._outputs: list[Output] = []
        try:
            for kind in kinds:
                self._outputs.append(kind.make(job))
        except BaseException:
            self.abandon()
            raise

    @property
    def paths(self) -> list[Path]:
        """Paths of the complete outputs."""
        return [output.path for output in self._outputs]

    @property
    def notes(self) -> list[str]:
        """Messages for the user."""
        return [note for output in self._outputs for note in output.notes]

    def write(self, annotated: AnnotatedFrame) -> None:
        """Add a frame to all of them."""
        for output in self._outputs:
            output.write(annotated)

    def close(self) -> None:
        """Complete them all; if one cannot be completed, the others are, and its error comes."""
        failed: OutputError | None = None
        for output in self._outputs:
            try:
                output.close()
            except OutputError as error:
                failed = failed or error
        if failed is not None:
            raise failed

    def abandon(self) -> None:
        """Leave what there is under the partial names."""
        for output in self._outputs:
            with contextlib.suppress(OSError):
                output.abandon()

    def sync(self) -> None:
        """Bring to the disk what can be brought there before the end."""
        for output in self._outputs:
            output.sync()
