"""The services that a stack starts are the same in the table, in docker-compose.yml and in the scrape targets."""

from pathlib import Path

import yaml

from infra.local.services import OF_MESSAGES, SERVICES, children, with_work
from tests.simulation.images import COMPOSE, JOBS, OURS

ROOT = Path(__file__).parents[2]
NAMES = [service.name for service in SERVICES]


def test_compose_runs_the_services_of_the_table_and_no_others() -> None:
    """Whatever runs an image of ours and goes on running; that each can start is tests/unit/test_compose.py's."""
    ours = {name: service["command"] for name, service in OURS.items() if name not in JOBS}
    assert ours == {service.name: list(service.command[2:]) for service in SERVICES}


def test_every_service_of_the_table_is_a_folder() -> None:
    """`python -m services.FOLDER` is what both ways start; a second kind of process of one has an option besides."""
    modules = [service.command[1:3] for service in SERVICES]
    assert {switch for switch, _ in modules} == {"-m"}
    folders = [ROOT / module.replace(".", "/") for _, module in modules]
    assert [folder.parent for folder in folders] == [ROOT / "services"] * len(SERVICES)
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


def test_compose_publishes_on_the_loopback_address_only() -> None:
    """A published port without an address is open to the whole network."""
    published = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    assert published
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []


def test_prometheus_scrapes_every_service() -> None:
    """At the port that the image listens on."""
    config = yaml.safe_load((ROOT / "infra/prometheus/prometheus.yml").read_text())
    (job,) = config["scrape_configs"]
    (group,) = job["static_configs"]
    assert group["targets"] == [f"{name}:8100" for name in NAMES]


def test_workers_keep_their_instance_and_their_port() -> None:
    """The instance makes the transactional id; a port that changed would start a running worker anew."""
    one = children(SERVICES[:1], {}, {"A": "1"}, [])
    two = children(SERVICES[:1], {SERVICES[0].name: 2}, {"A": "1"}, one)
    assert two[:1] == one
    assert [child.env["CATSEYE_INSTANCE"] for child in two] == ["0", "1"]
    assert len({child.port for child in two}) == 2


def test_the_notifier_is_started_where_there_are_routes_for_it(tmp_path: Path) -> None:
    """In the data folder, or where a setting says; everything else is started in any case."""
    names = {service.name for service in SERVICES}

    def started(routes: Path | None) -> set[str]:
        return {service.name for service in with_work(SERVICES, tmp_path, routes)}

    assert started(None) == names - set(OF_MESSAGES)
    assert started(tmp_path / "elsewhere.yaml") == names
    (tmp_path / "notify.yaml").touch()
    assert started(None) == names


def test_changed_routes_start_the_notifier_anew(tmp_path: Path) -> None:
    """A supervisor starts anew what has another environment; everything else keeps its own."""
    routes = tmp_path / "notify.yaml"

    def environments() -> dict[str, dict[str, str]]:
        listed = children(with_work(SERVICES, tmp_path, None), {}, {"A": "1"}, [])
        return {child.name: child.env for child in listed}

    routes.write_text("routes: []")
    before = environments()
    assert environments() == before
    routes.write_text("routes: [{}]")
    assert {name for name, env in environments().items() if env != before[name]} == {"notifier-0"}
