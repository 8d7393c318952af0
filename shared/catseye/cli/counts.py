"""`catseye counts`: vehicles by minute, class, line and direction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from catseye.cli.common import CAMERA, csv_text, json_option, records_of, settings_with_broker, table, write_json
from catseye.contract.records import Vehicle

MINUTE_MS: Final = 60_000
COLUMNS: Final = ("minute", "camera", "class", "line", "direction", "vehicles")
Row = tuple[str, str, str, str, str, int]


class Moment(click.ParamType[int]):
    """A moment as ISO 8601 writes it, in UTC unless it says otherwise: Unix milliseconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no time such as 2026-11-30T08:00 or 2026-11-30", param, ctx)
        return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000)


MOMENT = Moment()


@click.command()
@click.option("--camera", type=CAMERA, help="Of this camera only.")
@click.option("--from", "from_ms", type=MOMENT, help="Seen last then or later, for example 2026-11-30T08:00 (UTC).")
@click.option("--to", "to_ms", type=MOMENT, help="Seen last before then.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV: minute, camera, class, line, direction, vehicles.")
@json_option
def counts(camera: str | None, from_ms: int | None, to_ms: int | None, as_csv: bool, json_file: Path | None) -> None:
    """Count vehicles by minute, class, line and direction, each vehicle once.

    A vehicle is counted some seconds after its last picture. Frames of publishers that do not follow vehicles are not
    counted.
    """
    vehicles = records_of(settings_with_broker(), "vehicles", camera=camera)
    rows = counted(each for each in vehicles if _is_between(each, from_ms, to_ms))
    total = sum(row[-1] for row in rows)
    content = {"vehicles": total, "counts": [dict(zip(COLUMNS, row, strict=True)) for row in rows]}
    if write_json(json_file, content):
        return
    if as_csv:
        click.echo(csv_of(rows), nl=False)
        return
    if not rows:
        click.echo("no vehicle was counted: `catseye roadside` publishes those of a camera's stream", err=True)
        return
    table([COLUMNS, *([str(cell) for cell in row] for row in rows)])
    click.echo(f"{total} vehicles")


def counted(vehicles: Iterable[Vehicle]) -> list[Row]:
    """Rows in the order of time."""
    seen = {each.vehicle_id: each for each in vehicles}
    found = Counter(
        (_minute(each.last_seen_ms), each.camera, each.label, each.line or "", each.direction or "")
        for each in seen.values()
    )
    return [(*key, count) for key, count in sorted(found.items())]


def csv_of(rows: Sequence[Row]) -> str:
    """Head and rows."""
    return csv_text(COLUMNS, rows)


def _minute(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms // MINUTE_MS * 60, UTC).strftime("%Y-%m-%dT%H:%MZ")


def _is_between(vehicle: Vehicle, from_ms: int | None, to_ms: int | None) -> bool:
    at_ms = vehicle.last_seen_ms
    return (from_ms is None or at_ms >= from_ms) and (to_ms is None or at_ms < to_ms)
