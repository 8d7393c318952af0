"""`catseye replay`: what a model would have predicted for recorded frames, by the services' own code."""

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from catseye.cli.common import CAMERA, json_option
from catseye.contract.errors import Misconfigured

_NEEDED = ("cv2", "onnxruntime", "river", "simplejpeg")  # by the services, and not by the library


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of the command, here and in the process that it starts."""
    for option in (
        json_option,
        click.option(
            "--camera", "cameras", type=CAMERA, multiple=True, metavar="NAME", help="Only this camera; may be repeated."
        ),
        click.option(
            "--model",
            required=True,
            type=click.Path(dir_okay=False, path_type=Path),
            metavar="FILE",
            help="The ONNX file of the model that is tried.",
        ),
        click.option("--to", metavar="T", help="Until when, labels too [default: the newest record]"),
        click.option("--from", "from_", metavar="T", help="From when on [default: the first frame that is kept]"),
    ):
        command = option(command)
    return command


@click.command()
@options
@click.pass_context
def replay(
    ctx: click.Context,
    from_: str | None,
    to: str | None,
    model: Path,
    cameras: tuple[str, ...],
    json_file: Path | None,
) -> None:
    """Predict the recorded frames with a model, beside what the champions of the time predicted.

    T is a time in ISO 8601 (UTC where it names no zone), how long ago (-90s, -2h, -7d) or Unix milliseconds. Labels
    count from the moment on at which they really came; alerts are those that drift and incidents, with the settings of
    now, would have raised, had they begun to learn when the span begins. Nothing is written to any topic.
    """
    given = {"--from": from_, "--to": to, "--model": str(model), "--json": json_file and str(json_file)}
    argv = [f"{name}={value}" for name, value in given.items() if value is not None]
    argv += [f"--camera={camera}" for camera in cameras]
    path = os.pathsep.join([str(_root()), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-m", "services.replay", *argv], check=False, env=os.environ | {"PYTHONPATH": path}
    )
    ctx.exit(done.returncode)


def _root() -> Path:
    """The folder that holds `services/`: the working folder, or the checkout that this command is of.

    Raises:
        Misconfigured: neither has it, or what it needs is not installed.
    """
    for folder in (Path.cwd(), Path(__file__).resolve().parents[3]):
        if (folder / "services" / "replay" / "__main__.py").is_file():
            break
    else:
        raise Misconfigured(
            "the services' code, which a replay runs, is not here: call `catseye replay` in a checkout of Catseye"
        )
    if missing := [name for name in _NEEDED if find_spec(name) is None]:
        raise Misconfigured(
            f"a replay runs the services' code, which needs {', '.join(missing)}: "
            f"`pip install -r {folder / 'infra' / 'requirements' / 'runtime.txt'}` installs it"
        )
    return folder
