"""The command line `infra/stack`, on top of `infra.local.stack`."""

import os
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import msgspec

from catseye.cli.common import OutFile, write_file
from catseye.cli.models import serving
from catseye.cli.service_faults import Services, services_now
from catseye.cli.streams import print_anything
from catseye.contract.errors import Misconfigured, Unavailable
from catseye.contract.masking import masked
from catseye.kafka.registry import codec_for
from catseye.models.register import register_first
from catseye.settings import Settings, load
from infra.local import files, ports
from infra.local.jvm import ROOT
from infra.local.services import OF_THE_LOOP, OF_THE_PAGES, SERVICES, WATCHING, Service
from infra.local.set_up import need_loop
from infra.local.stack import Plan, Stack
from infra.local.stack_logs import follow, newest, sources
from infra.local.supervise import MISCONFIGURED

EXAMPLE = ROOT / "infra" / "example" / "vehicles.onnx"
PATH_OF_COMMANDS = ROOT / "infra" / "bin"
BY = "infra/stack"
INTERRUPTED = 130
INTERRUPTED_UP = (
    "stopped; what it had started goes on (infra/stack status shows it); infra/stack up does the rest, down stops it"
)


def describe(status: Mapping[str, Any]) -> str:
    """Say in lines what `Stack.status` found."""
    if status["bootstrap_servers"] is None:
        return "The stack is down; infra/stack up starts it."
    answers = "" if status["answers"] else "  does not answer"
    lines = [f"{'Kafka':<16}{status['bootstrap_servers']}{answers}"]
    lines += [f"{'':<16}{_absent(broker['port'])}" for broker in status["brokers"] if not broker["pid"]]
    if status["redis_url"]:
        lines.append(f"{'Redis':<16}{masked(status['redis_url'])}")
    if status["pages"]:
        lines.append(f"{'pages':<16}{status['pages']}")
    for service in status["services"]:
        state = "ready" if service["ready"] else "not ready" if service["pid"] else "not running"
        if service["refuses"]:
            state = f"refuses to start: {service['refuses']}"
        process = f", process {service['pid']}" if service["pid"] else ""
        again = f", started {service['starts']} times" if (service["starts"] or 1) > 1 else ""
        lines.append(f"{service['name']:<16}{service['health']}  {state}{process}{again}")
    if not status["services"]:
        lines.append("no service runs; infra/stack up starts them, infra/stack down stops Kafka")
    return "\n".join(lines)


def _absent(port: int) -> str:
    taken = "" if ports.is_free(port) else ", which another program has: after infra/stack down, up chooses another"
    return f"no broker at port {port}{taken}"


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
    first = register_first(settings, codec_for(settings), EXAMPLE.read_bytes(), by=BY, because=because)
    whose = f", the example's; {how} names yours" if first.by == BY else ""  # else somebody was quicker
    return f"{first.model} {first.version}{whose}"


def _report(line: str) -> None:
    click.echo(line, err=True)


def _stack(services: Sequence[Service] = WATCHING, report: Callable[[str], None] = lambda _: None) -> Stack:
    os.chdir(ROOT)  # so that .env and relative settings are the repository's, wherever the command is called from
    return Stack(load(Settings), services=services, report=report)


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
@click.option("--pages/--no-pages", default=True, help="With the pages, which need Redis; default: with them.")
@json_option
def up(brokers: str | None, workers: dict[str, int], loop: bool | None, pages: bool, json_file: Path | None) -> None:
    """Start what does not run or has ended; return when everything is ready.

    Settings are checked before anything is stopped. A service whose settings changed is started anew.
    """
    started_s = time.monotonic()
    if loop is None:
        running = _stack()
        loop = running.plan is not None and any(child.name.startswith(OF_THE_LOOP) for child in running.children)
    wanted = SERVICES if loop else WATCHING
    stack = _stack([service for service in wanted if pages or service.name not in OF_THE_PAGES], _report)
    if loop:
        stack.check(workers)
        need_loop()
    plan = stack.up(brokers=int(brokers) if brokers else None, workers=workers)
    _report("asking which model predicts")
    model = first_model(plan)
    found = stack.status()
    click.echo(describe(found))
    _write(json_file, {**found, "setup_s": round(time.monotonic() - started_s, 3)})
    if not found["ready"]:
        raise Unavailable("not everything is ready any more, see above")
    click.echo(f"{'model':<16}{model}")
    if plan.bootstrap_servers != load(Settings).kafka_bootstrap_servers:
        click.echo(f"for programs of yours: export KAFKA_BOOTSTRAP_SERVERS={plan.bootstrap_servers}")
    if (found_at := shutil.which("catseye")) is None or Path(found_at) != PATH_OF_COMMANDS / "catseye":
        click.echo(f'for the command catseye: export PATH="{PATH_OF_COMMANDS}:$PATH"')
    click.echo(f"up in {time.monotonic() - started_s:.1f} s")


@main.command()
@json_option
def status(json_file: Path | None) -> None:
    """Say what runs, and what is wrong with services wherever they run; exit with 1 unless all is well."""
    found = _stack().status()
    click.echo(describe(found))
    services = _services(found)
    for line in services.lines:
        click.echo(line)
    _write(json_file, {**found, "faults": services.to_json()})
    sys.exit(0 if found["ready"] and not services.lines else 1)


def _services(status: Mapping[str, Any]) -> Services:
    """What is wrong with services by their heartbeats, wherever they run; nothing while the stack has no broker."""
    if status["bootstrap_servers"] is None or not all(broker["pid"] for broker in status["brokers"]):
        return Services([], incidents_runs=False)
    return services_now(load(Settings).model_copy(update={"kafka_bootstrap_servers": status["bootstrap_servers"]}))


@main.command()
def down() -> None:
    """Stop everything; data and logs stay."""
    ran = _stack().down()
    click.echo("The stack is down." if ran else "The stack was down.")


@main.command()
@click.argument("service", required=False)
@click.option("-f", "--follow", "following", is_flag=True, help="Go on with what is written from now on, until Ctrl-C.")
@click.option("-n", "--lines", default=20, show_default=True, type=click.IntRange(0), help="Newest lines of each log.")
def logs(service: str | None, following: bool, lines: int) -> None:
    """Print what the processes wrote: of SERVICE (ingest, ingest-0, broker, supervisor …), else of all."""
    found = sources(_stack().data_dir, service)
    name_them = len(found) > 1
    for name, line in newest(found, lines):
        click.echo(f"{name}: {line}" if name_them else line)
    if following:
        with suppress(KeyboardInterrupt):
            for name, line in follow(found):
                click.echo(f"{name}: {line}" if name_them else line)


@main.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
def reset(yes: bool) -> None:
    """Stop everything and delete its data: topics, models, state and logs. Keys and installed packages stay."""
    stack = _stack()
    folders = stack.stored()
    if not folders and stack.status()["bootstrap_servers"] is None:
        click.echo("There is nothing to delete.")
        return
    for folder in folders:
        if folder.suffix != ".log":
            click.echo(f"{folder}  {_size(folder)}")
    click.echo(f"and {sum(path.suffix == '.log' for path in folders)} logs")
    if (plan := stack.plan) is not None and not plan.brokers:
        click.echo(f"The topics at {plan.bootstrap_servers} stay: this stack did not start that cluster.")
    if not yes and not _agreed("Stop the stack and delete these for good?"):
        click.echo("Nothing was stopped or deleted; --yes does it without asking.")
        sys.exit(1)
    stack.reset()
    click.echo("The stack is down and its data are gone; infra/stack up begins anew.")


def _agreed(question: str) -> bool:
    try:
        return click.confirm(question)
    except click.Abort:  # Ctrl-C, or nobody is there to answer
        click.echo()
        return False


def _size(folder: Path) -> str:
    parts = [folder] if folder.is_file() else [part for part in folder.rglob("*") if part.is_file()]
    megabytes = sum(part.stat().st_blocks * 512 for part in parts) / 2**20
    return f"{megabytes:.0f} MiB"


def _write(json_file: Path | None, found: Mapping[str, Any]) -> None:
    if json_file:
        write_file(json_file, msgspec.json.encode(found))


def run(argv: Sequence[str]) -> int:
    """Run one command of `infra/stack`; return its exit status: 0, 1 it failed, 2 a person must act, 130 Ctrl-C."""
    print_anything()
    try:
        return main(argv, prog_name="infra/stack", standalone_mode=False) or 0
    except click.ClickException as fault:
        fault.show()
        return fault.exit_code
    except click.Abort:
        what, status = INTERRUPTED_UP if argv[:1] == ["up"] else "stopped; the same command does the rest", INTERRUPTED
    except Misconfigured as fault:
        what, status = str(fault), MISCONFIGURED
    except Unavailable as fault:
        what, status = str(fault), 1
    except OSError as fault:
        what, status = files.reason(fault, load(Settings).data_dir.resolve()), 1
    click.echo(f"infra/stack: {what}", err=True)
    return status
