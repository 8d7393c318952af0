"""`catseye alerts`: what is wrong now, and a person's word on it."""

import getpass
import re
from pathlib import Path
from typing import Any

import click
import msgspec
from msgspec.structs import replace

from catseye import clock
from catseye.cli.common import at, json_option, settings_with_broker, table, write_json
from catseye.client import subscribe
from catseye.contract.alert_kinds import KINDS
from catseye.contract.errors import Misconfigured
from catseye.contract.records import Alert
from catseye.contract.suppression import UNTIL_RESOLVED, suppressed
from catseye.kafka.producing import produce
from catseye.kafka.registry import codec_for
from catseye.settings import Settings

_UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_SERVICE = "incidents"
_AT_LEAST = 4  # digits of an id that must be given


@click.group()
def alerts() -> None:
    """List alerts, say that one was seen, or silence it."""


@alerts.command("list")
@click.option("--all", "every", is_flag=True, help="Those that are over too.")
@click.option("--camera", help="Only those that concern this camera.")
@click.option("--kind", type=click.Choice(list(KINDS)), help="Only those of this kind.", metavar="KIND")
@json_option
def list_(every: bool, camera: str | None, kind: str | None, json_file: Path | None) -> None:
    """List the alerts that are not over, the newest first."""
    newest = newest_of(_records(settings_with_broker()))
    shown = [alert for alert in newest if every or alert.state != "resolved"]
    shown = [alert for alert in shown if camera is None or camera == alert.camera or camera in alert.cameras]
    shown = [alert for alert in shown if kind in (None, alert.kind)]
    if write_json(json_file, {"alerts": [msgspec.to_builtins(alert) for alert in shown]}):
        return
    if not shown:
        click.echo("no alerts" if every else "nothing is wrong: no alert is open")
        return
    table([("ID", "OPENED", "STATE", "SEVERITY", "KIND", "WHERE", "WHY"), *[_row(alert) for alert in shown]])


@alerts.command()
@json_option
def kinds(json_file: Path | None) -> None:
    """Say what each kind of alert means and what to do about it."""
    if write_json(json_file, {"kinds": [msgspec.to_builtins(row) for row in KINDS.values()]}):
        return
    rows = [(row.name, row.severity, row.meaning, row.action) for row in KINDS.values()]
    table([("KIND", "SEVERITY", "THE CAMERA", "WHAT TO DO"), *rows])


@alerts.command()
@click.argument("alert_id", metavar="ALERT_ID")
@click.option("--for", "for_", metavar="TIME", help="How long: 90s, 30m, 2h or 7d.")
@click.option("--until-resolved", is_flag=True, help="Until it is over; what holds without --for.")
@click.option("--reason", default="", help="Why, for the record.")
@json_option
def suppress(alert_id: str, for_: str | None, until_resolved: bool, reason: str, json_file: Path | None) -> None:
    """Silence an alert; ALERT_ID may be its first digits.

    It says no more until it is over or the time is up. With --for, further alerts of its kind on its camera are silent
    too while the time lasts. `catseye alerts acknowledge` takes the silence back.
    """
    if for_ is not None and until_resolved:
        raise click.UsageError("give either --for or --until-resolved")
    until_ms = UNTIL_RESOLVED if for_ is None else clock.now_ms() + duration_ms(for_)
    settings, by = settings_with_broker(), _person()
    alert = _chosen(settings, alert_id)
    said = replace(
        _next(alert, by), state="suppressed", explanation=suppressed(alert.explanation, by, until_ms, reason)
    )
    _write(settings, said)
    if not write_json(json_file, msgspec.to_builtins(said)):
        until = "until it resolves" if for_ is None else f"until {at(until_ms)} UTC"
        click.echo(f"{alert.kind} on {_where(alert)} is suppressed {until}")


@alerts.command()
@click.argument("alert_id", metavar="ALERT_ID")
@json_option
def acknowledge(alert_id: str, json_file: Path | None) -> None:
    """Say that an alert was seen; ALERT_ID may be its first digits.

    It stays open, and speaks up again when its kind or severity changes.
    """
    settings = settings_with_broker()
    alert = _chosen(settings, alert_id)
    said = replace(_next(alert, _person()), state="acknowledged")
    _write(settings, said)
    if not write_json(json_file, msgspec.to_builtins(said)):
        click.echo(f"{alert.kind} on {_where(alert)} is acknowledged")


def newest_of(records: list[Alert]) -> list[Alert]:
    """The record that holds of each alert, the alert that opened last first."""
    holds = {alert.alert_id: alert for alert in records}
    return sorted(holds.values(), key=lambda alert: (-alert.opened_at_ms, alert.alert_id))


def chosen(records: list[Alert], alert_id: str) -> Alert:
    """The record that holds of the one alert whose id starts with *alert_id* and that is not over.

    Raises:
        Misconfigured: none or several are so, or it is over.
    """
    if len(alert_id) < _AT_LEAST:
        raise Misconfigured(f"{alert_id!r} is too short: give at least {_AT_LEAST} digits of an alert's id")
    found = [alert for alert in newest_of(records) if alert.alert_id.startswith(alert_id)]
    if not found:
        raise Misconfigured(f"no alert has an id that starts with {alert_id}; `catseye alerts list --all` shows them")
    if len(found) > 1:
        raise Misconfigured(f"{len(found)} alerts have ids that start with {alert_id}: give more digits")
    if found[0].state == "resolved":
        raise Misconfigured(f"alert {found[0].alert_id} is over already")
    return found[0]


def duration_ms(text: str) -> int:
    """Read ``90s``, ``30m``, ``2h``, ``7d``. Raises `Misconfigured`."""
    said = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)([smhd])", text)
    if said is None or not float(said[1]):
        raise Misconfigured(f"--for: {text} is no length of time; it is written 90s, 30m, 2h or 7d")
    return round(float(said[1]) * _UNIT_MS[said[2]])


def _person() -> str:
    """Who calls. Raises `Misconfigured` for a name that the service would take for its own."""
    name = getpass.getuser()
    if name == _SERVICE:
        raise Misconfigured(f"the user {_SERVICE} is the service itself: call this as a person")
    return name


def _records(settings: Settings) -> list[Alert]:
    with subscribe("alerts", from_="beginning", until_end=True, settings=settings) as records:
        return list(records)


def _chosen(settings: Settings, alert_id: str) -> Alert:
    return chosen(_records(settings), alert_id)


def _next(alert: Alert, by: str) -> Alert:
    """The next record of *alert*, by a person. The service says again what holds if it wrote one at the same time."""
    return replace(alert, revision=alert.revision + 1, by=by, updated_at_ms=max(alert.updated_at_ms, clock.now_ms()))


def _write(settings: Settings, alert: Alert) -> None:
    produce(settings, codec_for(settings), "alerts", alert)


def _where(alert: Alert) -> str:
    return alert.camera or alert.group or "fleet"


def _row(alert: Alert) -> tuple[Any, ...]:
    return (
        alert.alert_id[:12],
        at(alert.opened_at_ms),
        alert.state,
        alert.severity,
        alert.kind,
        _where(alert),
        alert.explanation,
    )
