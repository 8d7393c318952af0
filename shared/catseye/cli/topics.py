"""`catseye topics`: the table of topics and what of it the broker has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from catseye.cli.common import json_option, settings_with_broker, table, write_json
from catseye.contract.topics import TOPICS, Kept, Topic, full_name
from catseye.kafka.admin import admin, create_topics

if TYPE_CHECKING:
    from catseye.settings import Settings


@click.group(invoke_without_command=True)
@click.pass_context
def topics(ctx: click.Context) -> None:
    """Show or create the topics; alone it describes them."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(describe)


@topics.command()
@json_option
def create(json_file: Path | None) -> None:
    """Create the topics that are missing; those that are there take records as long as new ones do."""
    settings = settings_with_broker()
    created = create_topics(settings)
    if write_json(json_file, {"created": created, "there": len(TOPICS) - len(created)}):
        return
    for name in created:
        click.echo(name)
    click.echo(f"{len(created)} topics created, {len(TOPICS) - len(created)} were there")


@topics.command()
@json_option
def describe(json_file: Path | None = None) -> None:
    """List the topics: what they carry, by which key, how long, on how many partitions."""
    settings = settings_with_broker()
    there = admin(settings).list_topics(timeout=10).topics
    rows = [_row(topic, settings, there) for topic in TOPICS]
    if write_json(json_file, {"topics": rows}):
        return
    head = ("TOPIC", "RECORD", "KEY", "KEPT", "PARTITIONS")
    table([head, *[(r["name"], r["record"], r["key"], r["kept"], str(r["partitions"] or "missing")) for r in rows]])


def _row(topic: Topic, settings: Settings, there: dict[str, Any]) -> dict[str, Any]:
    name = full_name(topic.name, settings.topic_prefix)
    return {
        "name": name,
        "record": topic.record.__name__ if topic.record else "(state)",
        "key": "/".join(topic.key),
        "kept": _kept(topic.kept, settings),
        "partitions": len(there[name].partitions) if name in there else 0,
    }


def _kept(kept: Kept, settings: Settings) -> str:
    if kept is Kept.HORIZON:
        return f"{settings.label_horizon_h + settings.archive_margin_h:g} h"
    if kept is Kept.COMPACTED:
        return "last of each key"
    return "for ever" if kept.value is None else f"{kept.value} h"
