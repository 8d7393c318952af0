"""What `catseye notify` runs: check, test and list the routes."""

from pathlib import Path
from typing import Any

import click
import msgspec

from catseye import clock
from catseye.cli import ended
from catseye.cli.common import at, json_option, records_of, settings_with_broker, table, write_json
from catseye.cli.notify import file_option
from catseye.contract.errors import Misconfigured
from catseye.contract.identity import digest
from catseye.contract.records import Notification
from catseye.rights.links import Links
from catseye.settings import load
from services.notifier.content import example
from services.notifier.known import Attempt
from services.notifier.route_file import path_of, read_config
from services.notifier.routes import Config
from services.notifier.senders.parcel import Surroundings
from services.notifier.sending import CurrentSender
from services.notifier.settings import NotifierSettings

_HOUR_MS = 3_600_000


@click.group()
def notify() -> None:
    """Commands."""


@notify.command()
@file_option
def check(file: Path | None) -> None:
    """Say whether the file is right."""
    settings = _settings(file)
    count = len(read_config(settings).routes)
    click.echo(f"{path_of(settings)} is right: {count} route{'s' * (count != 1)}")


@notify.command()
@click.argument("route")
@file_option
def test(route: str, file: Path | None) -> None:
    """Send a marked example."""
    settings = _settings(file)
    config = read_config(settings)
    if route not in config.by_name:
        raise Misconfigured(f"there is no route {route!r}; there are {', '.join(config.by_name)}")
    now_ms = clock.now_ms()
    links = Links(settings.links_key_path, round(settings.notifier_links_h * _HOUR_MS))
    around = Surroundings(config.pages, links.path, lambda _: None, settings.notifier_timeout_s)
    attempt = Attempt(
        notification_id=digest("example", route, now_ms),
        route=route,
        action="message",
        contents=(example(now_ms),),
        shown=(),
        due_ms=now_ms,
        first_at_ms=now_ms,
        at_ms=now_ms,
    )
    result = CurrentSender(lambda: config.by_name[route], around).send(attempt)
    click.echo(f"{route}: {result.outcome} ({result.detail})")
    raise click.exceptions.Exit(0 if result.outcome == "delivered" else 1)


@notify.command("list")
@file_option
@json_option
def list_(file: Path | None, json_file: Path | None) -> None:
    """List the routes."""
    config = read_config(_settings(file))
    last = {each.route: each for each in records_of(settings_with_broker(), "notifications")}
    rows = [_row(config, name, last.get(name)) for name in config.by_name]
    if write_json(json_file, {"routes": rows}):
        return
    head = ("ROUTE", "CHANNEL", "WHERE", "FOR", "LAST", "RESULT", "WHY")
    table([head, *[_cells(row) for row in rows]])


def _row(config: Config, name: str, last: Notification | None) -> dict[str, Any]:
    route = config.by_name[name]
    return {
        "name": name,
        "channel": route.channel,
        "where": route.where(),
        "match": msgspec.to_builtins(route.match),
        "direct": route.direct,
        "last": None if last is None else msgspec.to_builtins(last),
    }


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    last = row["last"]
    outcome = ("-", "-", "") if last is None else (at(last["at_ms"]), last["result"], last["detail"])
    match = [f"{name}: {', '.join(value)}" for name, value in row["match"].items() if isinstance(value, list) and value]
    whom = "direct" if row["direct"] else "; ".join([f"{row['match']['severity']} and worse", *match])
    return (row["name"], row["channel"], row["where"], whom, *outcome)


def _settings(file: Path | None) -> NotifierSettings:
    settings = load(NotifierSettings, service="notifier")
    return settings if file is None else settings.model_copy(update={"notifier_file": file})


if __name__ == "__main__":
    ended(notify, name="catseye notify")
