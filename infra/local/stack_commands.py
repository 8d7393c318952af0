"""The command line `infra/stack`, on top of `infra.local.stack`."""

import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from catseye.cli.common import OutFile, write_file
from catseye.cli.models import serving
from catseye.contract.errors import Misconfigured, Unavailable
from catseye.kafka.registry import codec_for
from catseye.models.register import register
from catseye.settings import Settings, load
from infra.local.jvm import ROOT
from infra.local.services import OF_THE_LOOP, SERVICES, WATCHING, Service
from infra.local.stack import Plan, Stack

EXAMPLE = ROOT / "infra" / "example" / "vehicles.onnx"


def describe(status: Mapping[str, Any]) -> str:
    """Say in lines what `Stack.status` found."""
    if status["bootstrap_servers"] is None:
        return "The stack is down; infra/stack up starts it."
    lines = [f"{'Kafka':<16}{status['bootstrap_servers']}"]
    lines += [f"{'':<16}no broker at port {broker['port']}" for broker in status["brokers"] if not broker["pid"]]
    if status["redis_url"]:
        lines.append(f"{'Redis':<16}{status['redis_url']}")
    for service in status["services"]:
        state = "ready" if service["ready"] else "not ready" if service["pid"] else "not running"
        process = f", process {service['pid']}" if service["pid"] else ""
        again = f", started {service['starts']} times" if (service["starts"] or 1) > 1 else ""
        lines.append(f"{service['name']:<16}{service['health']}  {state}{process}{again}")
    return "\n".join(lines)


def first_model(plan: Plan) -> str:
    """A cluster that the stack started predicts from the start: by the example's model, until another is champion.

    Returns:
        Which model predicts, or what to do when none does.
    """
    settings = load(Settings).model_copy(update={"kafka_bootstrap_servers": plan.bootstrap_servers})
    champion = serving(settings)
    if champion is not None:
        return f"{champion.model} {champion.version}"
    how = "`catseye models register FILE --stage champion`"
    if not plan.brokers:  # somebody else's cluster gets no model that nobody asked for
        return f"none is champion, so nothing is predicted: {how} names one"
    because = "the example's, since there was none"
    champion = register(
        settings, codec_for(settings), EXAMPLE.read_bytes(), "champion", by="infra/stack", because=because
    )
    return f"{champion.model} {champion.version}, the example's; {how} names yours"


def _stack(services: Sequence[Service] = WATCHING) -> Stack:
    os.chdir(ROOT)  # so that .env and relative settings are the repository's, wherever the command is called from
    return Stack(load(Settings), services=services)


def _workers(_: click.Context, __: click.Parameter, given: Sequence[str]) -> dict[str, int]:
    workers = {}
    for item in given:
        service, _sign, count = item.partition("=")
        if not count.isdecimal():
            raise click.BadParameter(f"{item!r} is not SERVICE=N, for example inference=3")
        workers[service] = int(count)
    return workers


json_option = click.option(
    "--json",
    "json_file",
    type=OutFile(),
    help="Write one object here.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Run Kafka and the services on this machine, on loopback addresses; data and logs are in .catseye/.

    With KAFKA_BOOTSTRAP_SERVERS set, that cluster is used and no broker is started.
    """


@main.command()
@click.option("--brokers", type=click.Choice(("1", "3")), help="Size of the cluster; default: what runs, else 1.")
@click.option("--workers", multiple=True, metavar="SERVICE=N", callback=_workers, help="Processes of a service.")
@click.option(
    "--loop/--no-loop",
    default=None,
    help=f"With what retrains: {', '.join(OF_THE_LOOP)}; default: what runs, else without.",
)
@json_option
def up(brokers: str | None, workers: dict[str, int], loop: bool | None, json_file: Path | None) -> None:
    """Start what does not run; return when everything is ready."""
    started_s = time.monotonic()
    if loop is None:
        running = _stack()
        loop = running.plan is not None and any(child.name.startswith(OF_THE_LOOP) for child in running.children)
    stack = _stack(SERVICES if loop else WATCHING)
    plan = stack.up(brokers=int(brokers) if brokers else None, workers=workers)
    model = first_model(plan)
    status = stack.status()
    click.echo(describe(status))
    click.echo(f"{'model':<16}{model}")
    if plan.bootstrap_servers != load(Settings).kafka_bootstrap_servers:
        click.echo(f"for programs of yours: export KAFKA_BOOTSTRAP_SERVERS={plan.bootstrap_servers}")
    click.echo(f"up in {time.monotonic() - started_s:.1f} s")
    _write(json_file, {**status, "setup_s": round(time.monotonic() - started_s, 3)})


@main.command()
@json_option
def status(json_file: Path | None) -> None:
    """Say what runs; exit with 1 unless everything is ready."""
    found = _stack().status()
    click.echo(describe(found))
    _write(json_file, found)
    sys.exit(0 if found["ready"] else 1)


@main.command()
def down() -> None:
    """Stop everything; data and logs stay."""
    ran = _stack().down()
    click.echo("The stack is down." if ran else "The stack was down.")


def _write(json_file: Path | None, found: Mapping[str, Any]) -> None:
    if json_file:
        write_file(json_file, msgspec.json.encode(found))


if __name__ == "__main__":
    try:
        main(prog_name="infra/stack")
    except (Misconfigured, Unavailable) as fault:
        sys.exit(f"infra/stack: {fault}")
