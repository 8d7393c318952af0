"""What docker-compose.yml starts can start: read from it, the Dockerfiles and .dockerignore, without an engine."""

import subprocess
import sys

import pytest

from catseye.cli.settings import service_settings
from catseye.settings import Settings, listed
from tests.simulation.images import COMPOSE, DOCKERFILES, JOBS, OURS, Image, built, let_through

RUNNABLE = """
import sys
from importlib.util import find_spec

def runs(name):
    try:
        spec = find_spec(name)
    except ModuleNotFoundError:
        return False
    # As `python -m` has it: a package is run by its __main__.
    return spec is not None and (spec.submodule_search_locations is None or runs(name + ".__main__"))

print([name for name in sys.argv[1:] if not runs(name)])
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Image]:
    """Each image of ours, by its name."""
    return {image: built(image, tmp_path_factory.mktemp(image)) for image in DOCKERFILES}


def not_runnable(image: Image, modules: list[str]) -> str:
    """Which *modules* `python -m` could not run in *image*."""
    return subprocess.run(
        [sys.executable, "-c", RUNNABLE, *modules],
        env={"PYTHONPATH": image.python_path},
        cwd=image.work_dir,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


@pytest.mark.parametrize("image", DOCKERFILES)
def test_every_command_is_a_module_that_its_image_can_run(images: dict[str, Image], image: str) -> None:
    """Those of the jobs too: while one of them fails, nothing starts that waits for it."""
    modules = [service["command"][0] for service in OURS.values() if service["image"] == image]
    assert modules
    assert images[image].entrypoint == ["python", "-m"]
    assert not_runnable(images[image], modules) == "[]"


def test_a_package_without_main_and_a_module_that_is_not_there_are_found_out(images: dict[str, Image]) -> None:
    """The negative control."""
    wrong = ["catseye.client", "services.nobody", "nobody.at_all"]
    assert not_runnable(images["catseye-service"], [*wrong, "catseye"]) == str(wrong)


def test_files_that_commands_name_are_in_their_images(images: dict[str, Image]) -> None:
    """Such as the first model."""
    named = {
        argument: images[service["image"]].work_dir / argument
        for service in OURS.values()
        for argument in service["command"]
        if "/" in argument
    }
    assert list(named) == ["infra/example/vehicles.onnx"]
    assert [argument for argument, file in named.items() if not file.is_file()] == []


def test_the_build_gets_what_it_copies_and_nothing_else() -> None:
    """No key, no log and none of the 600 crops."""
    assert let_through("shared/catseye/__main__.py")
    assert let_through("infra/requirements/runtime.txt")
    for path in ("infra/example/crops/car/car541.jpg", ".catseye/keys/model-signing.pem", "tests/conftest.py"):
        assert not let_through(path)
    assert not let_through("shared/catseye/__pycache__/codec.cpython-311.pyc")


def test_everything_waits_for_the_jobs() -> None:
    """And `up --wait` takes a job that has ended for done only where something that runs waits for its end."""
    done = {"condition": "service_completed_successfully"}
    assert JOBS
    for name, service in OURS.items():
        waits_for = service["depends_on"]
        assert waits_for["kafka"] == {"condition": "service_healthy"}
        if name not in JOBS:
            jobs = [job for job in JOBS if name not in OURS[job]["depends_on"]]  # not those that wait for it
            assert {job: waits_for.get(job) for job in jobs} == dict.fromkeys(jobs, done), name


def test_jobs_are_distinguished_from_services_that_died() -> None:
    """A job is not started again, and nobody asks it whether it is healthy."""
    assert [OURS[name]["healthcheck"] for name in JOBS] == [{"disable": True}] * len(JOBS)


def test_each_image_is_built_once_and_searched_for_nowhere() -> None:
    """Two builds of one name at the same time may fail with "already exists"; no registry has an image of ours."""
    builds = [service["image"] for service in OURS.values() if "build" in service]
    assert sorted(builds) == sorted(DOCKERFILES)
    assert {service["image"] for service in OURS.values()} == set(DOCKERFILES)
    assert {service["pull_policy"] for service in OURS.values()} == {"never"}


def test_all_share_the_folder_of_keys_and_artifacts(images: dict[str, Image]) -> None:
    """Where one signs and the others look: the data folder of each image is the volume."""
    for name, service in OURS.items():
        assert service["volumes"] == [f"data:{images[service['image']].env['CATSEYE_DATA_DIR']}"], name
    assert "data" in COMPOSE["volumes"]


def test_every_variable_is_a_setting(images: dict[str, Image]) -> None:
    """A service refuses to start on a `CATSEYE_` variable that is none."""
    kinds: list[type[Settings]] = [Settings, *(kind for _, kind in service_settings())]
    known = {variable for kind in kinds for variable, _, _ in listed(kind)}
    given = {variable for image in images.values() for variable in image.env if variable.startswith("CATSEYE_")}
    given |= {variable for service in OURS.values() for variable in service["environment"]}
    assert given - known == set()
