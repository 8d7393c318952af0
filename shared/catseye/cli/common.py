"""What commands share: settings, a broker that answers, tables, JSON."""

from __future__ import annotations

import codecs
import csv
import json
import re
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from catseye.contract.errors import BadRecord, Misconfigured, Unavailable
from catseye.contract.names import SENTENCE_MAX, camera_of, check_text, label_of, name_of, shown

if TYPE_CHECKING:
    from catseye.settings import Settings

_ANSWER_S = 10.0
FORMULA_BEGINS = ("=", "+", "-", "@")
"""What a spreadsheet takes for the begin of a formula."""


class OutFile(click.Path):
    """A file that a command will write: whether it can is found out before the work, and missing folders are made.

    Args:
        dash: Whether - stands for standard output.
    """

    def __init__(self, *, dash: bool = False) -> None:
        super().__init__(dir_okay=False, writable=True, allow_dash=dash, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path = Path(str(super().convert(value, param, ctx)))
        if str(path) == "-":
            return path
        path = path.absolute()  # wherever the command goes to work; links stay, for /dev/stdout is one to no path
        if not path.exists():
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()
                path.unlink()
            except OSError as fault:
                self.fail(f"{value} cannot be written: {fault.strerror}", param, ctx)
        return path


class Name(click.ParamType[str]):
    """A name that a person gives, folded by the one rule of names.

    Args:
        name: What it names.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._folded = {"camera": camera_of, "label": label_of}.get(name, partial(name_of, name))

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return self._folded(value)
        except BadRecord as fault:
            self.fail(fault.detail, param, ctx)


class Sentence(click.ParamType[str]):
    """A reason that a person gives for the record: no control characters, nothing that is not seen."""

    name = "text"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            check_text(param.opts[0] if param and param.opts else "it", value, SENTENCE_MAX)
        except BadRecord as fault:
            self.fail(fault.detail, param, ctx)
        return value


CAMERA = Name("camera")
SENTENCE = Sentence()

json_option = click.option(
    "--json",
    "json_file",
    type=OutFile(dash=True),
    help="Write one JSON object here; - prints.",
)


def settings_with_broker() -> Settings:
    """The environment's settings, once the broker answers. Raises `Misconfigured`, also for what a service would
    refuse, and `Unavailable`."""
    settings = settings_of_publisher()
    ask_broker(settings, _ANSWER_S)
    return settings


def settings_of_publisher() -> Settings:
    """The environment's settings. Raises `Misconfigured`, also for what a service would refuse."""
    # Here, so that `--help` comes at once.
    from stamina.instrumentation import set_on_retry_hooks  # noqa: PLC0415

    from catseye.cli.settings import check_services_if_set  # noqa: PLC0415
    from catseye.settings import DoorSettings, load  # noqa: PLC0415

    set_on_retry_hooks([])  # a command prints its result in one sentence, not each attempt
    settings = load(DoorSettings, service="ingest")
    check_services_if_set()
    return settings


def ask_broker(settings: Settings, timeout_s: float) -> None:
    """Return when the broker answers. Raises `Unavailable` after *timeout_s* seconds without."""
    from confluent_kafka import KafkaException  # noqa: PLC0415 - as above

    from catseye.kafka.admin import admin  # noqa: PLC0415

    try:
        admin(settings).list_topics(timeout=timeout_s)
    except KafkaException as fault:
        raise Unavailable(
            f"no Kafka broker answers at {settings.kafka_bootstrap_servers}: is it up, and is KAFKA_BOOTSTRAP_SERVERS "
            "right? `infra/stack up` starts one"
        ) from fault


def records_of(settings: Settings, topic: str, *, camera: str | None = None) -> list[Any]:
    """All records of a topic so far. Raises as `catseye.client.subscribe` does."""
    from catseye.client import subscribe  # noqa: PLC0415 - as in `settings_with_broker`

    with subscribe(topic, camera=camera, from_="beginning", until_end=True, settings=settings) as records:
        return list(records)


def is_address(source: str) -> bool:
    """Whether *source* is an address and no path: ``rtsp://…``."""
    return "://" in source


def write_json(json_file: Path | None, content: dict[str, Any]) -> bool:
    """Write one object; bytes come as base64.

    Returns:
        Whether it went to standard output, which then carries nothing else.

    Raises:
        Misconfigured: the file cannot be written.
    """
    if json_file is None:
        return False
    import msgspec  # noqa: PLC0415 - as in `settings_with_broker`

    text = msgspec.json.format(msgspec.json.encode(content), indent=1).decode() + "\n"
    if str(json_file) == "-":
        echo_json(text)
        return True
    write_file(json_file, text.encode())
    return False


def echo_json(text: str) -> None:
    """Print JSON; where standard output is no UTF-8, its other characters by number, as JSON has them."""
    if codecs.lookup(sys.stdout.encoding or "ascii").name != "utf-8":
        text = re.sub(r"[^\x00-\x7f]", lambda found: json.dumps(found[0])[1:-1], text)
    click.echo(text, nl=False)


def write_file(file: Path, content: bytes) -> None:
    """Write what an `OutFile` names. Raises `Misconfigured` when it can be written no more."""
    try:
        file.write_bytes(content)
    except OSError as fault:
        raise Misconfigured(f"{file} cannot be written: {fault.strerror}") from fault


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[str | int]]) -> str:
    """Head and rows. What a spreadsheet would take for a formula begins with an apostrophe."""
    written = StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_as_text(cell) for cell in row] for row in rows)
    return written.getvalue()


def _as_text(cell: str | int) -> str | int:
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in FORMULA_BEGINS else cell


def packages_missing(missing: ModuleNotFoundError, before: str) -> Misconfigured:
    """What a command says that looks into a model file, where a package for that is not installed.

    Args:
        missing: The package.
        before: What is done with the file then.
    """
    return Misconfigured(
        f"a model file is looked into before it is {before}, which needs the package {missing.name}: "
        "`pip install '.[models]'` in the folder of Catseye's sources installs it"
    )


def table(rows: Sequence[Sequence[str]]) -> None:
    """Print *rows* in columns; the first one is the head.

    On a terminal long cells are folded. Elsewhere each row is one line, whole, without colours: scripts cut it up.
    """
    # Not at the top: help needs no tables.
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Column, Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    # As text, not as markup, and nothing that turns or hides what stands beside it: whoever publishes chooses that.
    head, *body = [[Text(shown(cell), overflow="fold") for cell in row] for row in rows]
    printed = Table(*[Column(name, overflow="fold") for name in head], box=None, pad_edge=False)
    for row in body:
        printed.add_row(*row)
    if sys.stdout.isatty():
        Console().print(printed)
        return
    console = Console(file=StringIO(), color_system=None)
    console.width = console.measure(printed, options=console.options.update(max_width=10**6)).maximum
    with console.capture() as lines:
        console.print(printed)
    for line in lines.get().splitlines():
        click.echo(line.rstrip())


def at(at_ms: int) -> str:
    """Unix milliseconds as a person reads them, UTC."""
    return datetime.fromtimestamp(at_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%S")
