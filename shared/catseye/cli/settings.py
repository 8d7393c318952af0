"""`catseye settings`: what can be turned, what it is now, what it means."""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import click

from catseye.cli.common import json_option, table, write_json
from catseye.settings import SERVICES, Settings, listed, load, shown


@click.command()
@json_option
def settings(json_file: Path | None) -> None:
    """List every setting: its variable, value, default and meaning. Passwords are not shown, in addresses neither.

    Settings of the services are listed where the checkout's `services` can be imported.
    """
    rows = [("common", *row) for row in _rows(Settings, "")]
    common = {variable for _, variable, *_ in rows}
    for service, kind in _service_settings():
        rows += [(service, *row) for row in _rows(kind, service) if row[0] not in common]
    fields = ("of", "variable", "value", "default", "meaning")
    if write_json(json_file, {"settings": [dict(zip(fields, row, strict=True)) for row in rows]}):
        return
    table([("VARIABLE", "VALUE", "DEFAULT", "MEANING"), *[row[1:] for row in rows]])


def _rows(kind: type[Settings], service: str) -> list[tuple[str, str, str, str]]:
    values = load(kind, service=service)
    return [
        (variable, shown(variable, str(getattr(values, name))), default, meaning)
        for name, (variable, default, meaning) in zip(kind.model_fields, listed(kind), strict=True)
    ]


def _service_settings() -> list[tuple[str, type[Settings]]]:
    """Settings class of each service that can be imported here and has one of its own."""
    if find_spec("services") is None:
        return []
    names = [name for name in SERVICES if find_spec(f"services.{name}") and find_spec(f"services.{name}.settings")]
    return [
        (name, kind)
        for name in names
        for kind in vars(import_module(f"services.{name}.settings")).values()
        if isinstance(kind, type) and issubclass(kind, Settings) and kind is not Settings
    ]
