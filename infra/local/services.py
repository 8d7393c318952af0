"""The services that a stack starts, once: a test holds `docker-compose.yml` and the scrape targets against this."""

import http.client
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

from infra.local import ports
from infra.local.supervise import Child


@dataclass(frozen=True)
class Service:
    """One kind of process.

    Attributes:
        name: Folder under `services/`, or the name that a second kind of process of one has.
        health_port: Preferred port of /live, /ready and /metrics of its first worker; the next workers' follow. 0 has
            no preference: what runs beside other stacks, such as a demo, does not race them for the customary ports.
        argv: Program and arguments; left out, the service of that name.
        variables: Of its environment beside those of all. Where they are others than before, it is started anew.
    """

    name: str
    health_port: int
    argv: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def command(self) -> tuple[str, ...]:
        """Program and arguments."""
        return self.argv or (sys.executable, "-m", f"services.{self.name}")


def _python_of(environment: str) -> str:
    return str(Path(__file__).resolve().parents[2] / ".catseye" / f"venv-{environment}" / "bin" / "python")


SERVICES = (
    Service("ingest", 8110),
    Service("inference", 8120),
    Service("inference_shadow", 8125, (sys.executable, "-m", "services.inference", "--shadow")),
    Service("ground_truth", 8130),
    Service("vehicles", 8135),
    Service("drift", 8140),
    Service("incidents", 8150),
    Service("rollout", 8160),
    # Faust needs an environment of its own: `need_python retrain_trigger` of infra/bootstrap.sh makes it.
    Service("retrain_trigger", 8170, (_python_of("retrain_trigger"), "-m", "services.retrain_trigger")),
    # Torch is large: `need_python trainer` makes its environment.
    Service("trainer", 8180, (_python_of("trainer"), "-m", "services.trainer")),
    Service("view", 8190),
    Service("gateway", 8200),
    Service("notifier", 8210),
)


OF_THE_LOOP = ("inference_shadow", "retrain_trigger", "trainer")
"""Who makes a new model and proves it; without them a stack predicts, joins, watches, alerts, and rollout carries out
what people ask for."""

ENVIRONMENTS_OF_THE_LOOP = ("retrain_trigger", "trainer")
"""What `need_python` of infra/bootstrap.sh makes for them."""

OF_THE_PAGES = ("view", "gateway")
"""Who shows it all to browsers; they need Redis, and nobody needs them."""

OF_MESSAGES = ("notifier",)
"""Who tells people; started where somebody wrote routes, see `with_work`."""

WATCHING = tuple(service for service in SERVICES if service.name not in OF_THE_LOOP)

PASSING = tuple(replace(service, health_port=0) for service in SERVICES)
"""The same for a stack that comes and goes beside others."""

PASSING_SHOWN = tuple(service for service in PASSING if service.name not in OF_THE_LOOP)

PASSING_WATCHING = tuple(service for service in PASSING_SHOWN if service.name not in (*OF_THE_PAGES, *OF_MESSAGES))


def with_work(services: Iterable[Service], data_dir: Path, routes: Path | None) -> list[Service]:
    """Those of *services* that there is work for: without routes nobody can be told anything.

    The notifier reads its routes once. Its environment names what is in the file, so that it is started anew when that
    is something else.

    Args:
        services: What would be started.
        data_dir: Data folder of the stack.
        routes: File of routes that a setting names: where it is missing, the notifier refuses to start and says so.
    """
    file = routes or data_dir / "notify.yaml"
    content = file.read_bytes() if file.is_file() else b""
    of_routes = {"NOTIFY_ROUTES_SHA256": sha256(content).hexdigest()}
    has_routes = routes is not None or file.exists()
    return [
        replace(service, variables=of_routes) if service.name in OF_MESSAGES else service
        for service in services
        if has_routes or service.name not in OF_MESSAGES
    ]


def children(
    services: Iterable[Service], workers: Mapping[str, int], env: Mapping[str, str], before: Iterable[Child]
) -> list[Child]:
    """List the processes of a stack.

    Args:
        services: What to start.
        workers: How many of each, by service name; 1 where it is not named.
        env: Settings that all share.
        before: Processes that run already: they keep their ports, so that they need not start again.
    """
    ports_before = {child.name: child.port for child in before}
    taken = set(ports_before.values())
    listed = []
    for service in services:
        for instance in range(workers.get(service.name, 1)):
            name = f"{service.name}-{instance}"
            preferred = service.health_port + instance if service.health_port else 0
            port = ports_before.get(name) or ports.choose(preferred, taken=taken)
            taken.add(port)
            listed.append(
                Child(name, service.command, {**env, **service.variables, "CATSEYE_INSTANCE": str(instance)}, port)
            )
    return listed


def is_ready(port: int, pid: int) -> bool:
    """Ask process *pid* for its /ready; what does not answer within a second, or is another process, is not ready."""
    connection = http.client.HTTPConnection(ports.LOOPBACK, port, timeout=1)
    try:
        connection.request("GET", "/ready")
        answer = connection.getresponse()
        return answer.status == http.HTTPStatus.OK and answer.getheader("Catseye-Pid") == str(pid)
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
