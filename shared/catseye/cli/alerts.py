"""`catseye alerts`: what is wrong now, and commands on it."""

from __future__ import annotations

import getpass
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from catseye import clock
from catseye.cli.common import CAMERA, SENTENCE, at, json_option, records_of, settings_with_broker, table, write_json
from catseye.cli.service_faults import NOBODY_ALERTS, services_now
from catseye.client import subscribe
from catseye.contract.alert_commands import command_on
from catseye.contract.alert_kinds import KINDS, OF_SERVICES
from catseye.contract.errors import Misconfigured, Unavailable
from catseye.contract.records import Alert, AlertCommand
from catseye.kafka.producing import produce
from catseye.kafka.registry import codec_for

if TYPE_CHECKING:
    from catseye.settings import Settings

_UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_AT_LEAST = 4  # digits of an id that must be given
wait_option = click.option(
    "--wait", "wait_s", type=click.FloatRange(min=0), default=10.0, show_default=True, help="For the answer, seconds."
)


@click.group()
def alerts() -> None:
    """List alerts, acknowledge or suppress one, explain their kinds."""


@alerts.command("list")
@click.option("--all", "every", is_flag=True, help="Those that are over too.")
@click.option("--camera", type=CAMERA, help="Only those that concern this camera.")
@click.option("--kind", type=click.Choice(list(KINDS)), help="Only those of this kind.", metavar="KIND")
@json_option
def list_(every: bool, camera: str | None, kind: str | None, json_file: Path | None) -> None:
    """List the alerts that are not over, the newest first, and services that are down though no alert says so."""
    settings = settings_with_broker()
    newest = newest_of(_records(settings))
    shown = [alert for alert in newest if every or alert.state != "resolved"]
    shown = [alert for alert in shown if camera is None or camera == alert.camera or camera in alert.cameras]
    shown = [alert for alert in shown if kind in (None, alert.kind)]
    services = services_now(settings)
    content = {"alerts": [msgspec.to_builtins(alert) for alert in shown], "faults": services.to_json()}
    if write_json(json_file, content):
        return
    of_kind = "" if kind is None else f" of kind {kind}"
    on_camera = "" if camera is None else f" on {camera}"
    if shown:
        table([("ID", "OPENED", "STATE", "SEVERITY", "KIND", "WHERE", "WHY"), *[_row(alert) for alert in shown]])
    elif every:
        click.echo(f"no alerts{of_kind}{on_camera}")
    is_open = {(alert.kind, alert.signal) for alert in newest if alert.state != "resolved"}
    untold = services._replace(
        faults=[fault for fault in services.faults if (fault.kind, fault.service) not in is_open]
    ).lines
    if not services.incidents_runs and not services.unknown:
        untold.append(NOBODY_ALERTS)
    for line in untold:
        click.echo(line)
    if not shown and not every:
        if camera is not None or kind is not None:
            click.echo(f"no alert{of_kind} is open{on_camera}")
        elif not untold:
            click.echo("nothing is wrong: no alert is open")
    if camera is not None and not shown and not _was_seen(settings, camera):
        click.echo(f"no camera {camera} was seen; `catseye cameras list` shows those that were")


@alerts.command()
@json_option
def kinds(json_file: Path | None) -> None:
    """Show what each kind of alert means and what to do about it."""
    if write_json(json_file, {"kinds": [msgspec.to_builtins(row) for row in KINDS.values()]}):
        return
    rows = [(row.name, row.severity, row.meaning, row.action) for row in KINDS.values()]
    table([("KIND", "SEVERITY", "THE CAMERA", "WHAT TO DO"), *rows])


@alerts.command()
@click.argument("alert_id", metavar="ALERT_ID")
@click.option("--for", "for_", metavar="TIME", help="How long: 90s, 30m, 2h or 7d.")
@click.option("--until-resolved", is_flag=True, help="Until it is over; what holds without --for.")
@click.option("--reason", type=SENTENCE, default="", help="Why, for the record.")
@wait_option
@json_option
def suppress(
    alert_id: str, for_: str | None, until_resolved: bool, reason: str, wait_s: float, json_file: Path | None
) -> None:
    """Suppress an alert; ALERT_ID may be its first digits.

    It is quiet until it is over or the time is up. With --for, further alerts of its kind on its camera are quiet too
    while the time lasts. `catseye alerts unsuppress` takes it back, and so does `catseye alerts acknowledge`.
    """
    if for_ is not None and until_resolved:
        raise click.UsageError("give either --for or --until-resolved")
    now_ms = clock.now_ms()
    until_ms = None if for_ is None else now_ms + duration_ms(for_)
    settings = settings_with_broker()
    alert = _chosen(settings, alert_id)
    command = command_on(alert, "suppress", getpass.getuser(), now_ms, until_ms=until_ms, reason=reason)
    until = "until it resolves" if until_ms is None else f"until {at(until_ms)} UTC"
    _carry_out(settings, alert, command, f"is suppressed {until}", wait_s, json_file)


@alerts.command()
@click.argument("alert_id", metavar="ALERT_ID")
@click.option("--reason", type=SENTENCE, default="", help="Why, for the record.")
@wait_option
@json_option
def unsuppress(alert_id: str, reason: str, wait_s: float, json_file: Path | None) -> None:
    """End the suppression of an alert, and of further ones of its kind on its camera.

    ALERT_ID may be its first digits.
    """
    settings = settings_with_broker()
    alert = chosen(_records(settings), alert_id, also_over=True)
    command = command_on(alert, "unsuppress", getpass.getuser(), clock.now_ms(), reason=reason)
    _carry_out(settings, alert, command, "is not suppressed any more", wait_s, json_file)


@alerts.command()
@click.argument("alert_id", metavar="ALERT_ID")
@click.option("--reason", type=SENTENCE, default="", help="Why, for the record.")
@wait_option
@json_option
def acknowledge(alert_id: str, reason: str, wait_s: float, json_file: Path | None) -> None:
    """Acknowledge an alert: somebody has seen it; ALERT_ID may be its first digits.

    It stays open, and is acknowledged until its kind or severity changes.
    """
    settings = settings_with_broker()
    alert = _chosen(settings, alert_id)
    command = command_on(alert, "acknowledge", getpass.getuser(), clock.now_ms(), reason=reason)
    _carry_out(settings, alert, command, "is acknowledged", wait_s, json_file)


def newest_of(records: list[Alert]) -> list[Alert]:
    """The record that holds of each alert, the alert that opened last first."""
    holds = {alert.alert_id: alert for alert in records}
    return sorted(holds.values(), key=lambda alert: (-_opened_at_ms(alert), alert.alert_id))


def chosen(records: list[Alert], alert_id: str, *, also_over: bool = False) -> Alert:
    """The record that holds of the one alert whose id starts with *alert_id* and that is not over, unless *also_over*.

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
    if found[0].state == "resolved" and not also_over:
        raise Misconfigured(f"alert {found[0].alert_id} is over already")
    return found[0]


def duration_ms(text: str) -> int:
    """Read ``90s``, ``30m``, ``2h``, ``7d``. Raises `Misconfigured`."""
    length = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)([smhd])", text)
    if length is None or not float(length[1]):
        raise Misconfigured(f"--for: {text} is no length of time; it is written 90s, 30m, 2h or 7d")
    return round(float(length[1]) * _UNIT_MS[length[2]])


def _records(settings: Settings) -> list[Alert]:
    return records_of(settings, "alerts")


def _was_seen(settings: Settings, camera: str) -> bool:
    return bool(records_of(settings, "drift.reports", camera=camera))


def _chosen(settings: Settings, alert_id: str) -> Alert:
    return chosen(_records(settings), alert_id)


def _carry_out(
    settings: Settings, alert: Alert, command: AlertCommand, done: str, wait_s: float, json_file: Path | None
) -> None:
    """Write a command and show what became of it. Raises `Unavailable` where incidents has not answered in time."""
    answer = _asked(settings, command, wait_s)
    if answer is None:
        write_json(json_file, msgspec.to_builtins(command))
        raise Unavailable(
            f"incidents has not answered within {wait_s:g} s: is it up? The command {command.command_id} stands; "
            "`catseye alerts list` shows when it is carried out, `catseye dead list` if it is refused"
        )
    if write_json(json_file, msgspec.to_builtins(answer)):
        return
    over = "; it is over by now, and the command holds for the next one of its kind while its time lasts"
    click.echo(f"{alert.kind} on {_where(alert)} {done}{over if answer.state == 'resolved' else ''}")


def _asked(settings: Settings, command: AlertCommand, wait_s: float) -> Alert | None:
    """The record that *command* leads to; None when there is none in time."""
    until_s = time.monotonic() + wait_s
    # Before the command is written, so that its answer cannot be missed.
    with subscribe("alerts", from_="now", timeout_s=wait_s, settings=settings) as records:
        produce(settings, codec_for(settings), "alert.commands", command)
        for record in records:
            if record.command_id == command.command_id:
                return record  # type: ignore[no-any-return]
            if time.monotonic() > until_s:
                break
    return None


def _where(alert: Alert) -> str:
    of_service = alert.signal if alert.kind in OF_SERVICES else None
    return alert.camera or alert.group or of_service or "fleet"


def _opened_at_ms(alert: Alert) -> int:
    """When it opened last."""
    return alert.reopened_at_ms or alert.opened_at_ms


def _row(alert: Alert) -> tuple[Any, ...]:
    return (
        alert.alert_id[:12],
        at(_opened_at_ms(alert)),
        f"{alert.state} ({alert.times_opened} times)" if alert.times_opened > 1 else alert.state,
        alert.severity,
        alert.kind,
        _where(alert),
        alert.explanation,
    )
