"""`catseye dead`: what was refused, why, and once more."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from catseye.cli.common import (
    CAMERA,
    OutFile,
    at,
    json_option,
    records_of,
    settings_with_broker,
    table,
    write_file,
    write_json,
)
from catseye.contract.dead_letters import destination
from catseye.contract.errors import Misconfigured
from catseye.contract.records import DeadLetter
from catseye.kafka.producing import produce_rows

if TYPE_CHECKING:
    from catseye.settings import Settings

_ANSWER_S = 120.0  # a broker that restarts is waited for


@click.group()
def dead() -> None:
    """Look at refused records and send them again."""


@dead.command("list")
@click.option("--reason", help="Only those with this code.")
@click.option("--camera", type=CAMERA, help="Only this camera's, where it could be read.")
@click.option("--last", type=click.IntRange(1), default=20, show_default=True, help="How many of the newest to show.")
@json_option
def list_(reason: str | None, camera: str | None, last: int, json_file: Path | None) -> None:
    """Count refused records by reason and list the newest."""
    letters = _letters(settings_with_broker(), reason=reason, camera=camera)
    counts = dict(Counter(letter.reason for letter in letters).most_common())
    shown = letters[-last:]
    content = {"count": len(letters), "by_reason": counts, "newest": [_without_bytes(letter) for letter in shown]}
    if write_json(json_file, content):
        return
    if not letters:
        click.echo("no dead letters")
        return
    table([("REASON", "COUNT"), *[(code, str(count)) for code, count in counts.items()]])
    click.echo()
    head = ("ID", "REFUSED", "SERVICE", "REASON", "FROM", "BYTES")
    table(
        [
            head,
            *[
                (each.dead_letter_id, at(each.refused_at_ms), each.service, each.reason, _source(each), _size(each))
                for each in shown
            ],
        ]
    )


@dead.command()
@click.argument("dead_letter_id", metavar="ID")
@click.option("--save", type=OutFile(), help="Write the record's bytes to this file.")
@json_option
def show(dead_letter_id: str, save: Path | None, json_file: Path | None) -> None:
    """Show one refused record; ID may be its first digits."""
    (letter,) = _chosen(settings_with_broker(), (dead_letter_id,))
    if save is not None:
        write_file(save, letter.value or b"")
    if write_json(json_file, _without_bytes(letter) | {"key": letter.key, "value": letter.value}):
        return
    rows = [(name, str(value)) for name, value in _without_bytes(letter).items()]
    table([*rows, ("starts with", (letter.value or b"")[:32].hex(" "))])


@dead.command()
@click.argument("ids", nargs=-1, metavar="[ID…]")
@click.option("--reason", help="All with this code.")
@json_option
def replay(ids: tuple[str, ...], reason: str | None, json_file: Path | None) -> None:
    """Send refused frames and labels once more, byte for byte, to the topic that they came from.

    Worth it after the cause was mended; otherwise they are refused again. What was accepted before in another way is
    dropped as a repeat.
    """
    if bool(ids) == (reason is not None):
        raise click.UsageError("give either IDs or --reason")
    settings = settings_with_broker()
    letters = _chosen(settings, ids) if ids else _letters(settings, reason=reason)
    sent = _sent_again(settings, letters)
    if not write_json(json_file, {"replayed": sent, "ids": [letter.dead_letter_id for letter in letters]}):
        click.echo(f"{sent} records sent again")


def _letters(settings: Settings, *, reason: str | None = None, camera: str | None = None) -> list[DeadLetter]:
    """Refused records, oldest first."""
    letters: list[DeadLetter] = records_of(settings, "dead-letters", camera=camera)
    found = [letter for letter in letters if reason in (None, letter.reason)]
    return sorted(found, key=lambda letter: (letter.refused_at_ms, letter.topic, letter.partition, letter.offset))


def _chosen(settings: Settings, ids: tuple[str, ...]) -> list[DeadLetter]:
    """The letters of *ids* or of what they start with. Raises `Misconfigured` when one is none or many."""
    letters = {letter.dead_letter_id: letter for letter in _letters(settings)}
    chosen = []
    for start in ids:
        found = [letter for name, letter in letters.items() if name.startswith(start)]
        if len(found) != 1:
            raise Misconfigured(
                f"{start} is the start of {len(found)} dead letters; `catseye dead list` shows their ids"
            )
        chosen += found
    return chosen


def _sent_again(settings: Settings, letters: list[DeadLetter]) -> int:
    # All destinations are known before the first record is written: one that has none stops all.
    rows = [(destination(letter, settings.topic_prefix), letter.key, letter.value) for letter in letters]
    produce_rows(settings, rows, _ANSWER_S)
    return len(rows)


def _without_bytes(letter: DeadLetter) -> dict[str, Any]:
    fields = msgspec.structs.asdict(letter)
    del fields["key"], fields["value"]
    return fields | {"value_bytes": len(letter.value or b"")}


def _source(letter: DeadLetter) -> str:
    return f"{letter.topic}-{letter.partition}@{letter.offset}"


def _size(letter: DeadLetter) -> str:
    return str(len(letter.value or b""))
