"""`catseye replay`: what a model would have predicted for recorded frames, by the services' own code."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from catseye.cli.common import CAMERA, json_option
from catseye.cli.services_code import run_service

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
    ctx.exit(run_service("services.replay", argv, needs=_NEEDED, what="a replay", command="catseye replay"))
