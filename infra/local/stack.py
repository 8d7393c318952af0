"""The stack on this machine: Kafka, the topics, the services. `infra/stack up | status | down`.

`Stack` is what the demo and the tests use; the command line at the end is thin.
"""

import fcntl
import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import msgspec

from catseye.cli.common import OutFile, write_file
from catseye.cli.models import serving
from catseye.contract.errors import Misconfigured, Unavailable
from catseye.kafka.admin import create_topics, wait_for_broker
from catseye.kafka.registry import codec_for
from catseye.models.register import register
from catseye.models.signing import key_folder, make_keys
from catseye.settings import Settings, load
from infra.local import kafka, ports, processes, redis
from infra.local.groups import wait_until_settled
from infra.local.jvm import ROOT
from infra.local.kafka import KafkaCluster
from infra.local.processes import Process
from infra.local.redis import RedisServer
from infra.local.services import OF_THE_LOOP, SERVICES, WATCHING, Service, children, is_ready
from infra.local.supervise import GRACE_S, MISCONFIGURED, Child, read_children, write_children

EXAMPLE = ROOT / "infra" / "example" / "vehicles.onnx"
READY_S = 90.0
ENDS_AGAIN_AND_AGAIN = 4
_SUPERVISOR = "supervisor"
_SETTINGS = ("CATSEYE_", "KAFKA_", "REDIS_URL", "SCHEMA_REGISTRY_URL")


class Plan(msgspec.Struct, frozen=True):
    """What an `up` made, for the next `up`, `status` and `down`.

    Attributes:
        brokers: Brokers of the cluster that it started; 0 for a cluster that was there.
        bootstrap_servers: Where clients start from.
        workers: How many of each service, by name, where it is not one.
        redis_url: Where Redis is; None if nothing needs it.
    """

    brokers: int
    bootstrap_servers: str
    workers: dict[str, int]
    redis_url: str | None = None


class Stack:
    """Kafka, topics and services in one data folder.

    Args:
        settings: As the services will read them. If they name a cluster (`KAFKA_BOOTSTRAP_SERVERS`), none is started.
        services: What to start.
        with_redis: Whether one of the services uses Redis.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        services: Sequence[Service] = WATCHING,
        with_redis: bool = False,
    ) -> None:
        self.data_dir = settings.data_dir.resolve()
        self._settings = settings
        self._services = services
        self._with_redis = with_redis
        self._run_dir = self.data_dir / "run"
        self._redis = RedisServer(self.data_dir / "redis", preferred_port=redis.CUSTOMARY_PORT)

    def up(self, *, brokers: int | None = None, workers: Mapping[str, int] | None = None) -> Plan:
        """Start what does not run and return when everything is ready.

        Args:
            brokers: 1 or 3; None for what runs, else 1.
            workers: How many processes of a service, by its name; those that are left out stay as they are, else 1.

        Raises:
            Misconfigured: What is asked for does not fit what runs, or a service refused its settings.
            Unavailable: Something did not get ready; the message names its log.
        """
        self._check(workers or {})
        with self._locked():
            before = self.plan
            bootstrap_servers, started = self._kafka_up(before, brokers)
            settings = self._settings.model_copy(update={"kafka_bootstrap_servers": bootstrap_servers})
            create_topics(settings)
            make_keys(key_folder(settings))
            if self._with_redis:
                self._redis.start()
            plan = Plan(
                brokers=started,
                bootstrap_servers=bootstrap_servers,
                workers={**(before.workers if before else {}), **(workers or {})},
                redis_url=self._redis.url if self._with_redis else None,
            )
            self._run_dir.mkdir(parents=True, exist_ok=True)
            self._plan_file.write_bytes(msgspec.json.encode(plan))
            self._services_up(plan)
            return plan

    def down(self) -> bool:
        """Stop everything that an `up` started; data and logs stay. Tell whether anything ran."""
        with self._locked():
            plan = self.plan
            supervisor = self.supervisor
            if supervisor:
                supervisor.stop(GRACE_S + 5)
            # Normally none: the supervisor stops them.
            orphans = [process for child in self.children if (process := self._find(child))]
            processes.stop_all(orphans, GRACE_S)
            self._redis.stop()
            for size in kafka.SIZES:
                self._cluster(size).stop()
            for name in (_SUPERVISOR, *(child.name for child in self.children)):
                processes.forget(self._run_dir, name)
            write_children(self._run_dir, [])
            self._plan_file.unlink(missing_ok=True)
            return plan is not None or supervisor is not None or bool(orphans)

    @property
    def plan(self) -> Plan | None:
        """What runs by the last `up`; None after `down`."""
        try:
            return msgspec.json.decode(self._plan_file.read_bytes(), type=Plan)
        except FileNotFoundError:
            return None

    @property
    def children(self) -> list[Child]:
        """The service processes of the last `up`."""
        return read_children(self._run_dir)

    @property
    def supervisor(self) -> Process | None:
        """Who starts services again, if it runs."""
        return processes.find(self._run_dir, _SUPERVISOR)

    def cluster(self) -> KafkaCluster:
        """Return the cluster that the last `up` started. Raises `Unavailable` if there is none."""
        plan = self.plan
        if plan is None or not plan.brokers:
            raise Unavailable("no broker was started by this stack")
        return self._cluster(plan.brokers)

    def processes(self, service: str) -> list[Process]:
        """Return the running processes of a service, first worker first."""
        names = (child for child in self.children if child.name.rpartition("-")[0] == service)
        return [process for child in names if (process := self._find(child))]

    def status(self) -> dict[str, Any]:
        """Describe what runs: an object for JSON, with `ready` for the whole."""
        plan = self.plan
        if plan is None:
            return {"ready": False, "bootstrap_servers": None, "brokers": [], "redis_url": None, "services": []}
        brokers = []
        if plan.brokers:
            cluster = self._cluster(plan.brokers)
            for broker in cluster.brokers:
                process = cluster.process(broker.node_id)
                brokers.append({"port": broker.port, "pid": process.pid if process else None})
        listed = []
        for child in self.children:
            running = self._find(child)
            listed.append(
                {
                    "name": child.name,
                    "pid": running.pid if running else None,
                    "ready": running is not None and is_ready(child.port, running.pid),
                    "health": f"http://127.0.0.1:{child.port}",
                    "starts": running.starts if running else None,
                    "log": str(self._log(child)),
                }
            )
        return {
            "ready": all(broker["pid"] for broker in brokers) and all(service["ready"] for service in listed),
            "bootstrap_servers": plan.bootstrap_servers,
            "brokers": brokers,
            "redis_url": plan.redis_url,
            "services": listed,
        }

    @property
    def _plan_file(self) -> Path:
        return self._run_dir / "stack.json"

    def _cluster(self, size: int) -> KafkaCluster:
        # One folder a size: the data of one broker are not a third of the data of three.
        directory = self.data_dir / "kafka" / f"brokers-{size}"
        passing = not any(service.health_port for service in self._services)
        return KafkaCluster(directory, brokers=size, first_port=0 if passing else kafka.CUSTOMARY_PORT)

    def _find(self, child: Child) -> Process | None:
        return processes.find(self._run_dir, child.name)

    def _is_ready(self, child: Child) -> bool:
        running = self._find(child)
        return running is not None and is_ready(child.port, running.pid)

    def _log(self, child: Child) -> Path:
        return self.data_dir / "logs" / f"{child.name}.log"

    def _check(self, workers: Mapping[str, int]) -> None:
        names = [service.name for service in self._services]
        for name, count in workers.items():
            if name not in names:
                raise Misconfigured(f"there is no service {name}; there are {', '.join(names)}")
            if count < 1:
                raise Misconfigured(f"{name} needs 1 worker at least, not {count}")

    def _kafka_up(self, before: Plan | None, brokers: int | None) -> tuple[str, int]:
        """Return the addresses and how many brokers were started, 0 for a cluster that was there."""
        if "kafka_bootstrap_servers" in self._settings.model_fields_set:
            servers = self._settings.kafka_bootstrap_servers
            # Asked plainly first: a Kafka client that finds nobody there fills the terminal with its own lines.
            if not any(ports.listens(server) for server in servers.split(",")):
                raise Unavailable(
                    f"nobody listens at {servers}, which KAFKA_BOOTSTRAP_SERVERS names; "
                    "start that cluster, or unset it and infra/stack up starts one"
                )
            wait_for_broker(self._settings, timeout_s=10)
            return servers, 0
        running = before.brokers if before else 0
        size = brokers or running or 1
        if running and size != running:
            raise Misconfigured(
                f"the stack runs on {running} broker{'s' * (running > 1)}; "
                f"to change to {size}, run infra/stack down first (each size has data of its own)"
            )
        cluster = self._cluster(size)
        cluster.start()
        return cluster.bootstrap_servers, size

    def _services_up(self, plan: Plan) -> None:
        env = {name: value for name, value in os.environ.items() if name.startswith(_SETTINGS)}
        env |= {"KAFKA_BOOTSTRAP_SERVERS": plan.bootstrap_servers, "CATSEYE_DATA_DIR": str(self.data_dir)}
        if plan.redis_url:
            env["REDIS_URL"] = plan.redis_url
        supervisor = self.supervisor
        listed = self.children
        before = [child for child in listed if self._keeps_its_port(child)] if supervisor else []
        wanted = children(self._services, plan.workers, env, before)
        if supervisor is None:
            for child in listed:
                self._forget_ended(child)
        write_children(self._run_dir, wanted)
        starts = {child.name: self._starts(child) for child in wanted}
        if supervisor is None:
            Process.start(
                _SUPERVISOR,
                [sys.executable, "-m", "infra.local.supervise", str(self._run_dir), *self._own_brokers(plan)],
                records=self._run_dir,
                log=self.data_dir / "logs" / f"{_SUPERVISOR}.log",
                env={name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS)},
                cwd=ROOT,
            )
        elif wanted != listed:
            supervisor.hang_up()
            self._wait_until_left(listed, wanted, plan)
        self._wait_until_ready(wanted, starts)

    def _own_brokers(self, plan: Plan) -> list[str]:
        return [str(self._cluster(plan.brokers).directory), str(plan.brokers)] if plan.brokers else []

    def _keeps_its_port(self, child: Child) -> bool:
        return self._find(child) is not None or ports.is_free(child.port)

    def _forget_ended(self, child: Child) -> None:
        if self._find(child) is None:
            processes.forget(self._run_dir, child.name)

    def _starts(self, child: Child) -> int:
        process = processes.read(self._run_dir, child.name)
        return process.starts if process else 0

    def _wait_until_left(self, before: Sequence[Child], wanted: Sequence[Child], plan: Plan) -> None:
        """Wait until workers that are not wanted any more are gone and others have their partitions.

        Those who stay say that they are ready until they hear of it, so their group is asked.
        """
        kept = {child.name for child in wanted}
        leaving = [child for child in before if child.name not in kept]
        until = time.monotonic() + GRACE_S + 5
        while left := [child for child in leaving if self._find(child)]:
            if time.monotonic() > until:
                raise Unavailable(f"{left[0].name} does not end (log: {self._log(left[0])})")
            time.sleep(0.05)
        services = {child.name.rpartition("-")[0] for child in leaving}
        members = {name: plan.workers.get(name, 1) for name in services}
        settings = self._settings.model_copy(update={"kafka_bootstrap_servers": plan.bootstrap_servers})
        wait_until_settled(settings, members, READY_S)

    def _wait_until_ready(self, wanted: Sequence[Child], starts: Mapping[str, int]) -> None:
        until = time.monotonic() + READY_S
        # All at the same time: a worker that joins takes partitions from the others, who are not ready meanwhile.
        while waiting := [child for child in wanted if not self._is_ready(child)]:
            for child in waiting:
                log = self._log(child)
                process = processes.read(self._run_dir, child.name)
                if process and process.exit_status == MISCONFIGURED:
                    raise Misconfigured(f"{child.name} refuses to start: {processes.last_line(log)}")
                if self._starts(child) - starts[child.name] >= ENDS_AGAIN_AND_AGAIN:
                    raise Unavailable(f"{child.name} ends again and again: {processes.last_line(log)} (log: {log})")
                if time.monotonic() > until:
                    raise Unavailable(f"{child.name} is not ready after {READY_S:.0f} s (log: {log})")
            time.sleep(0.05)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One `up` or `down` at a time in this data folder."""
        self._run_dir.mkdir(parents=True, exist_ok=True)
        with (self._run_dir / "stack.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


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
        again = f", started {service['starts']} times" if (service["starts"] or 1) > 1 else ""
        lines.append(f"{service['name']:<16}{service['health']}  {state}{again}")
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
