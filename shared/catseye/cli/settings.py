"""`catseye settings`: what can be turned, what it is now, what it means; and whether the services would take it."""

import os
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import click
import msgspec
from dotenv import dotenv_values

from catseye.cli.common import json_option, table, write_json
from catseye.settings import SERVICES, Settings, listed, load, shown, unknown

Row = tuple[str, str, str, str]
"""Service, variable, default and meaning of a setting."""
TABLE = Path(__file__).with_name("settings.json")
"""Rows of all services, for where their code is not installed: written by infra/local/generate_settings.py."""


@click.command()
@json_option
def settings(json_file: Path | None) -> None:
    """List every setting: its variable, value, default and meaning. Passwords are not shown, in addresses neither."""
    rows = [("common", *row) for row in _rows(Settings, "")]
    common = {variable for _, variable, *_ in rows}
    kinds = dict(service_settings())
    for service, kind in kinds.items():
        rows += [(service, *row) for row in _rows(kind, service) if row[0] not in common]
    values = _environment()
    rows += [
        (service, variable, shown(variable, values.get(variable, default)), default, meaning)
        for service, variable, default, meaning in service_rows()
        if service not in kinds
    ]
    fields = ("of", "variable", "value", "default", "meaning")
    if write_json(json_file, {"settings": [dict(zip(fields, row, strict=True)) for row in rows]}):
        return
    table([("VARIABLE", "VALUE", "DEFAULT", "MEANING"), *[row[1:] for row in rows]])


def check_services() -> None:
    """Refuse what a service would refuse: an unknown name, and where the services' code is installed a wrong value.

    Raises:
        Misconfigured: As the service would say it.
    """
    kinds = dict(service_settings())
    for service, kind in kinds.items():
        load(kind, service=service)
    for service in SERVICES:
        if service not in kinds:
            known = [variable for of, variable, *_ in service_rows() if of == service]
            for variable in _environment():
                if variable.startswith(f"CATSEYE_{service.upper()}_") and variable not in known:
                    raise unknown(variable, known)


def check_services_if_set() -> None:
    """As `check_services`, where any setting of a service is there: commands that need none of them come at once."""
    prefixes = tuple(f"CATSEYE_{service.upper()}_" for service in SERVICES)
    if any(variable.startswith(prefixes) for variable in _environment()):
        check_services()


@cache
def service_rows() -> list[Row]:
    """Return the settings of all services, those alone that are not common."""
    return msgspec.json.decode(TABLE.read_bytes(), type=list[Row])


def service_settings() -> list[tuple[str, type[Settings]]]:
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


def _rows(kind: type[Settings], service: str) -> list[tuple[str, str, str, str]]:
    values = load(kind, service=service)
    return [
        (variable, shown(variable, str(getattr(values, name))), default, meaning)
        for name, (variable, default, meaning) in zip(kind.model_fields, listed(kind), strict=True)
    ]


def _environment() -> dict[str, str]:
    """Variables of the environment, and of `.env` where it lacks them."""
    return {name: value or "" for name, value in dotenv_values(".env").items()} | dict(os.environ)
