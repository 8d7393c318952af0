"""The stack on this machine: Kafka, the topics, the services. What the demo, the tests and `infra/stack` use."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from catseye.cli.settings import check_services
from catseye.contract.errors import Misconfigured, Unavailable
from catseye.kafka.admin import create_topics, wait_for_broker
from catseye.models.signing import key_folder, make_keys
from catseye.settings import Settings, load
from infra.local import kafka, ports, redis
from infra.local.files import write_whole
from infra.local.groups import wait_until_settled
from infra.local.kafka import KafkaCluster
from infra.local.processes import Process
from infra.local.redis import RedisServer
from infra.local.service_processes import READY_S, ServiceProcesses
from infra.local.services import OF_THE_PAGES, WATCHING, Service, with_work
from infra.local.supervise import Child
from services.notifier.settings import NotifierSettings

_STORED = ("artifacts", "faust", "lineage.sqlite", "mlruns", "redis")
"""Of the data folder, beside the brokers' folders and the logs: they speak of places on topics that a reset deletes."""
PAGES_PORT = "CATSEYE_GATEWAY_PORT"
CUSTOMARY_PAGES_PORT = 8080
LINKED_PAGES = "CATSEYE_NOTIFIER_PAGES"


class Plan(msgspec.Struct, frozen=True):
    """What an `up` made, for the next `up`, `status` and `down`.

    Attributes:
        brokers: Brokers of the cluster that it started; 0 for a cluster that was there.
        bootstrap_servers: Where clients start from.
        workers: How many of each service, by name, where it is not one.
        redis_url: Where Redis is; None if nothing needs it.
        pages_port: Port of the pages; None if there are none.
    """

    brokers: int
    bootstrap_servers: str
    workers: dict[str, int]
    redis_url: str | None = None
    pages_port: int | None = None

    @property
    def pages(self) -> str | None:
        """Address of the pages."""
        return None if self.pages_port is None else f"http://{ports.LOOPBACK}:{self.pages_port}/"


class Stack:
    """Kafka, topics and services in one data folder.

    Args:
        settings: As the services will read them. If they name a cluster (`KAFKA_BOOTSTRAP_SERVERS`), none is started.
        services: What to start; the notifier only where there are routes for it.
        report: Gets a line for people before each step that takes seconds.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        services: Sequence[Service] = WATCHING,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.data_dir = settings.data_dir.resolve()
        self._settings = settings
        self._services = services
        self._with_pages = any(service.name in OF_THE_PAGES for service in services)
        self._run_dir = self.data_dir / "run"
        self._redis = RedisServer(self.data_dir / "redis", preferred_port=redis.CUSTOMARY_PORT)
        self._running = ServiceProcesses(self.data_dir, report)
        self._report = report

    def up(self, *, brokers: int | None = None, workers: Mapping[str, int] | None = None) -> Plan:
        """Start what does not run and return when everything is ready.

        Args:
            brokers: 1 or 3; None for what runs, else 1.
            workers: How many processes of a service, by its name; those that are left out stay as they are, else 1.

        Raises:
            Misconfigured: What is asked for does not fit what runs, or a service refused its settings.
            Unavailable: Something did not get ready; the message names its log.
        """
        self.check(workers or {})
        with self._locked():
            before = self.plan
            plan = Plan(
                *self._kafka_up(before, brokers), workers={**(before.workers if before else {}), **(workers or {})}
            )
            self._write(plan)  # whatever fails from here on, `status` and `down` know the brokers
            settings = self._settings.model_copy(update={"kafka_bootstrap_servers": plan.bootstrap_servers})
            create_topics(settings)
            make_keys(key_folder(settings))
            if self._with_pages:
                plan = msgspec.structs.replace(plan, redis_url=self._redis_up(), pages_port=self._pages_port(before))
                self._write(plan)
            self._services_up(plan, settings)
            return plan

    def check(self, workers: Mapping[str, int]) -> None:
        """Judge what is asked for, and all settings. Raises `Misconfigured` before anything is started or stopped."""
        names = [service.name for service in self._services]
        for name, count in workers.items():
            if name not in names:
                raise Misconfigured(f"there is no service {name}; there are {', '.join(names)}")
            if count < 1:
                raise Misconfigured(f"{name} needs 1 worker at least, not {count}")
        check_services()

    def down(self) -> bool:
        """Stop everything that an `up` started; data and logs stay. Tell whether anything ran."""
        with self._locked():
            ran = self.plan is not None or self._redis.process is not None
            ran |= self._running.down()
            self._redis.stop()
            for size in kafka.SIZES:
                cluster = self._cluster(size)
                if cluster.brokers:
                    ran |= cluster.runs
                    cluster.stop()
            self._plan_file.unlink(missing_ok=True)
            return ran

    def stored(self) -> list[Path]:
        """Return the folders and files that hold what the stack knows: topics, models, state, logs.

        Keys are left out, since what they signed elsewhere must stay valid, and what people had written (`reports`).
        """
        paths = [self._cluster(size).directory for size in kafka.SIZES]
        paths += [self.data_dir / name for name in _STORED]
        return [path for path in (*paths, *self._running.logs) if path.exists()]

    def reset(self) -> None:
        """Stop everything and delete `stored`. Topics of a cluster that was there stay on it."""
        self.down()
        with self._locked():
            for path in self.stored():
                shutil.rmtree(path) if path.is_dir() else path.unlink()

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
        return self._running.children

    @property
    def supervisor(self) -> Process | None:
        """Who starts services again, if it runs."""
        return self._running.supervisor

    def cluster(self) -> KafkaCluster:
        """Return the cluster that the last `up` started. Raises `Unavailable` if there is none."""
        plan = self.plan
        if plan is None or not plan.brokers:
            raise Unavailable("no broker was started by this stack")
        return self._cluster(plan.brokers)

    def processes(self, service: str) -> list[Process]:
        """Return the running processes of a service, first worker first."""
        names = (child for child in self.children if child.name.rpartition("-")[0] == service)
        return [process for child in names if (process := self._running.find(child))]

    def status(self) -> dict[str, Any]:
        """Describe what runs: an object for JSON, with `ready` for the whole."""
        plan = self.plan
        clusters = [cluster for size in kafka.SIZES if (cluster := self._cluster(size)).runs]
        if plan and plan.brokers and plan.brokers not in [len(cluster.brokers) for cluster in clusters]:
            clusters = [self._cluster(plan.brokers)]
        brokers = [
            {"port": broker.port, "pid": process.pid if (process := cluster.process(broker.node_id)) else None}
            for cluster in clusters
            for broker in cluster.brokers
        ]
        servers = plan.bootstrap_servers if plan else ",".join(cluster.bootstrap_servers for cluster in clusters)
        answers = any(ports.listens(server) for server in servers.split(",")) if servers else False
        # A service that has lost its broker may take some seconds to notice.
        listed = [{**service, "ready": service["ready"] and answers} for service in self._running.status()]
        return {
            "ready": answers
            and bool(listed)
            and all(broker["pid"] for broker in brokers)
            and all(service["ready"] for service in listed),
            "bootstrap_servers": servers or None,
            "answers": answers,
            "brokers": brokers,
            "redis_url": plan.redis_url if plan else None,
            "pages": plan.pages if plan else None,
            "services": listed,
        }

    @property
    def _plan_file(self) -> Path:
        return self._run_dir / "stack.json"

    def _write(self, plan: Plan) -> None:
        write_whole(self._plan_file, msgspec.json.encode(plan))

    def _cluster(self, size: int) -> KafkaCluster:
        # One folder a size: the data of one broker are not a third of the data of three.
        directory = self.data_dir / "kafka" / f"brokers-{size}"
        passing = not any(service.health_port for service in self._services)
        return KafkaCluster(directory, brokers=size, first_port=0 if passing else kafka.CUSTOMARY_PORT)

    def _kafka_up(self, before: Plan | None, brokers: int | None) -> tuple[int, str]:
        """Return how many brokers were started, 0 for a cluster that was there, and the addresses."""
        if "kafka_bootstrap_servers" in self._settings.model_fields_set:
            servers = self._settings.kafka_bootstrap_servers
            # Asked plainly first: a Kafka client that finds nobody there fills the terminal with its own lines.
            if not any(ports.listens(server) for server in servers.split(",")):
                raise Unavailable(
                    f"nobody listens at {servers}, which KAFKA_BOOTSTRAP_SERVERS names; "
                    "start that cluster, or unset it and infra/stack up starts one"
                )
            wait_for_broker(self._settings, timeout_s=10)
            return 0, servers
        running = before.brokers if before else 0
        size = brokers or running or 1
        if running and size != running:
            raise Misconfigured(
                f"the stack runs on {running} broker{'s' * (running > 1)}; "
                f"to change to {size}, run infra/stack down first (each size has data of its own)"
            )
        cluster = self._cluster(size)
        if not cluster.runs:
            self._report("starting Kafka")
        cluster.start()
        return size, cluster.bootstrap_servers

    def _redis_up(self) -> str:
        """Address of Redis; one is started unless the settings name one."""
        if "redis_url" in self._settings.model_fields_set:
            return self._settings.redis_url
        self._redis.start()
        return self._redis.url

    def _pages_port(self, before: Plan | None) -> int:
        """The port of the last `up`, what the settings say, or one that is free."""
        if chosen := int(os.environ.get(PAGES_PORT, "0")):
            return chosen
        if before is not None and before.pages_port is not None:
            return before.pages_port
        passing = not any(service.health_port for service in self._services)
        return ports.choose(0 if passing else CUSTOMARY_PAGES_PORT)

    def _services_up(self, plan: Plan, settings: Settings) -> None:
        notifier = load(NotifierSettings, service="notifier")
        where = {"KAFKA_BOOTSTRAP_SERVERS": plan.bootstrap_servers, "CATSEYE_DATA_DIR": str(self.data_dir)}
        if plan.redis_url:
            where["REDIS_URL"] = plan.redis_url
        if plan.pages_port:
            where[PAGES_PORT] = str(plan.pages_port)
            where[LINKED_PAGES] = notifier.notifier_pages or str(plan.pages)

        def settled(names: Sequence[str]) -> None:
            wait_until_settled(settings, {name: plan.workers.get(name, 1) for name in names}, READY_S)

        services = with_work(self._services, self.data_dir, notifier.notifier_file)
        self._report("starting what does not run of " + ", ".join(service.name for service in services))
        self._running.up(services, plan.workers, where, self._own_brokers(plan), settled)

    def _own_brokers(self, plan: Plan) -> list[str]:
        return [str(self._cluster(plan.brokers).directory), str(plan.brokers)] if plan.brokers else []

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One `up` or `down` at a time in this data folder."""
        self._run_dir.mkdir(parents=True, exist_ok=True)
        with (self._run_dir / "stack.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
