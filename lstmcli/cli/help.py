"""Help in panels: options grouped by purpose, readable from 40 columns on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text
from typer.core import TyperCommand, TyperGroup

WIDEST = 100
COMPACT_WIDTH = 72
"""Columns below which a help text is under its option instead of next to it."""

LONGEST_NAME = 28
"""Columns of an option's name; the help text of a longer one begins on the next line."""

GENERAL = "General"


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a panel.

    Args:
        name: option with its metavar, argument or command.
        text: description with unit and default.
    """

    name: str
    text: str


class PanelCommand(TyperCommand):
    """A command whose help lists its options by `rich_help_panel`."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write usage, summary and one panel for each group of options."""
        formatter.write(render_help(self, ctx, option_panels(self.get_params(ctx))))


class PanelGroup(TyperGroup):
    """The command line itself: its help lists the commands by their panels."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write usage, summary, the commands and the options that all commands share."""
        panels: dict[str, list[Entry]] = {}
        for name, command in self.commands.items():
            if not command.hidden:
                panel = getattr(command, "rich_help_panel", None) or "Commands"
                panels.setdefault(panel, []).append(Entry(name, summary(command.help)))
        panels |= option_panels(self.get_params(ctx))
        formatter.write(render_help(self, ctx, panels))


def option_panels(parameters: Iterable[Any]) -> dict[str, list[Entry]]:
    """Return the entries of each panel in the order of the parameters; hidden ones are left out."""
    panels: dict[str, list[Entry]] = {}
    for parameter in parameters:
        if not getattr(parameter, "hidden", False):
            panel = getattr(parameter, "rich_help_panel", None) or GENERAL
            panels.setdefault(panel, []).append(
                Entry(parameter_name(parameter), help_text(parameter))
            )
    general = panels.pop(GENERAL, None)
    return panels | ({GENERAL: general} if general else {})


def parameter_name(parameter: Any) -> str:
    """Return `--size W,H`, `--track/--no-track`, `-q, --quiet` or the metavar of an argument."""
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name.upper())
    flags = ", ".join(sorted(parameter.opts, key=len))
    if parameter.secondary_opts:
        return "/".join([flags, *parameter.secondary_opts])
    return f"{flags} {parameter.metavar}" if parameter.metavar else flags


def help_text(parameter: Any) -> str:
    """Return the help text of a parameter and its default; names come from the tables."""
    text = with_choices(parameter.help or "")
    default = parameter.default
    if parameter.secondary_opts:
        shown = "on" if default else "off"
    elif default in (None, False, "", ()) or getattr(parameter, "show_default", True) is False:
        return text
    else:
        shown = str(default)
    return f"{text} [default: {shown}]"


def with_choices(text: str) -> str:
    """Replace `{outputs}` and the like by the names in that table, which is only then loaded."""

    def names(match: re.Match[str]) -> str:
        from lstmcli.workflows.reference import CHOICES

        return ", ".join(CHOICES[match[1]]())

    return re.sub(r"\{(\w+)\}", names, text)


def summary(text: str | None) -> str:
    """Return the first sentence of a command's description."""
    return " ".join((text or "").partition("\n\n")[0].split())


def usage(command: Any, context: Any) -> str:
    """Return the form of a call: `lstmcli detect [OPTIONS] SOURCE...`."""
    parts = [context.command_path, "[OPTIONS]"]
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            name = parameter_name(parameter)
            name += "..." if parameter.nargs == -1 and not name.endswith("...") else ""
            parts.append(name if parameter.required else f"[{name}]")
    if isinstance(command, TyperGroup):
        parts.append("COMMAND")
    return " ".join(parts)


def render_help(command: Any, context: Any, panels: dict[str, list[Entry]]) -> str:
    """Return the whole help text for the terminal on stdout."""
    console = Console(width=min(context.terminal_width or WIDEST, WIDEST), highlight=False)
    with console.capture() as captured:
        console.print(Text.assemble(("Usage: ", "bold"), usage(command, context)))
        console.print()
        for paragraph in (command.help or "").split("\n\n"):
            console.print(Text(" ".join(paragraph.split())))
        for title, entries in panels.items():
            console.print()
            if console.width < COMPACT_WIDTH:
                _print_stacked(console, title, entries)
            else:
                _print_panel(console, title, entries)
    lines = captured.get().splitlines()
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _print_panel(console: Console, title: str, entries: Sequence[Entry]) -> None:
    width = min(max(len(entry.name) for entry in entries), LONGEST_NAME)
    table = Table.grid(padding=(0, 2), expand=True)
    table.add_column(width=width, no_wrap=True)
    table.add_column(ratio=1)
    for entry in entries:
        name = Text(entry.name, style="bold cyan")
        if len(entry.name) <= width:
            table.add_row(name, Text(entry.text))
        else:
            table.add_row(Text(entry.name[:width], style="bold cyan"), Text(entry.text))
    console.print(Panel(table, title=title, title_align="left", box=box.ROUNDED))


def _print_stacked(console: Console, title: str, entries: Sequence[Entry]) -> None:
    console.rule(Text(title, style="bold"), align="left", characters="─")
    for entry in entries:
        console.print(Text(entry.name, style="bold cyan"))
        console.print(Padding(Text(entry.text), (0, 0, 0, 2)))
