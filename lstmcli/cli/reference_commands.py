"""`settings` and `formats`: the reference, printed from the fields and tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lstmcli.cli.console import Console
from lstmcli.core.errors import ConfigError, near_name

if TYPE_CHECKING:
    from lstmcli.core.setting_list import Setting


def settings(
    context: typer.Context,
    key: Annotated[
        str | None,
        typer.Argument(
            metavar="KEY",
            help="A setting such as train.lr, or a section such as train.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """List all settings that a preset and `train --set KEY=VALUE` take."""
    from lstmcli.core.setting_list import find_setting, list_settings, settings_in

    console: Console = context.obj
    listed = list_settings() if key is None else settings_in(key)
    if key is not None and not listed:
        _show_setting(console, find_setting(key))
        return
    console.listing(
        ("setting", "default", "type", "meaning"),
        [(one.key, one.default, one.kind, _meaning(one)) for one in listed],
    )


def _meaning(setting: Setting) -> str:
    from lstmcli.workflows.reference import SETTING_CHOICES

    names = f"names: lstmcli settings {setting.key}" if setting.key in SETTING_CHOICES else ""
    return "; ".join(part for part in (setting.meaning, setting.limits, names) if part)


def _show_setting(console: Console, setting: Setting) -> None:
    from lstmcli.workflows.reference import SETTING_CHOICES

    names = SETTING_CHOICES.get(setting.key)
    pairs = [
        ("setting", setting.key),
        ("type", setting.kind),
        ("one of", ", ".join(names()) if names else ""),
        ("allowed", setting.limits),
        ("default", setting.default),
        ("meaning", setting.meaning),
        ("section", setting.section),
        ("example", f"lstmcli train --set {setting.key}={setting.default}"),
    ]
    console.pairs((name, value) for name, value in pairs if value)


def formats(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(metavar="FORMAT", help="A format, for all details.", show_default=False),
    ] = None,
) -> None:
    """List the label formats that `prepare` and `convert` read and write."""
    from lstmcli.workflows.reference import list_formats

    console: Console = context.obj
    listed = {one.name: one for one in list_formats()}
    if name is None:
        ways = {(True, True): "read, write", (True, False): "read", (False, True): "write"}
        console.listing(
            ("format", "can", "description"),
            [
                (one.name, ways[one.is_read, one.is_written], one.meaning.partition("\n\n")[0])
                for one in listed.values()
            ],
        )
    elif name in listed:
        for line in listed[name].meaning.strip().splitlines():
            console.result(line)
    else:
        raise ConfigError(f"there is no format named {name!r}", hint=near_name(name, listed))
