"""`catseye notify`: the routes of notify.yaml, by the notifier's own code."""

from pathlib import Path

import click

from catseye.cli.common import json_option
from catseye.cli.services_code import run_service

_NEEDED = ("httpx2", "yaml")  # by the notifier, and not by the library
file_option = click.option(
    "--file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Another file of routes than CATSEYE_NOTIFIER_FILE or notify.yaml of the data folder.",
)


@click.group()
def notify() -> None:
    """Check and try the routes by which people are told of incidents, and list what each did last."""


@notify.command()
@file_option
@click.pass_context
def check(ctx: click.Context, file: Path | None) -> None:
    """Say whether the file of routes is right, or what is wrong in it and where; nothing is sent."""
    ctx.exit(_run("check", file))


@notify.command()
@click.argument("route")
@file_option
@click.pass_context
def test(ctx: click.Context, route: str, file: Path | None) -> None:
    """Send a marked example by ROUTE, and say what its server answered; exit with 1 unless it was delivered."""
    ctx.exit(_run("test", file, route))


@notify.command("list")
@file_option
@json_option
@click.pass_context
def list_(ctx: click.Context, file: Path | None, json_file: Path | None) -> None:
    """List the routes: where each leads to, and what became of the newest message on it."""
    ctx.exit(_run("list", file, *([f"--json={json_file}"] if json_file else [])))


def _run(command: str, file: Path | None, *argv: str) -> int:
    given = [command, *([f"--file={file}"] if file else []), *argv]
    return run_service(
        "services.notifier.commands", given, needs=_NEEDED, what="it", command=f"catseye notify {command}"
    )
