"""``python -m services.trainer fit --frames DIR``: from a folder of labelled crops to a model file and its card."""

import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path

import click
from rich.console import Console

from catseye.errors import Misconfigured

TEST_SHARE = 0.15625
VALIDATION_SHARE = 0.0625
"""Of 640 crops a class: the last 100 for the test, 40 before them for the temperature, 500 to fit."""


@click.group()
def main() -> None:
    """Make models for Catseye of labelled frames."""


@main.command()
@click.option("--frames", type=click.Path(path_type=Path), required=True, help="One folder of JPEGs a class.")
@click.option("--out", type=click.Path(path_type=Path), help="Model file [default: .catseye/models/NAME.onnx]")
@click.option("--name", help="The model's name [default: that of the folder of frames]")
@click.option("--epochs", type=click.IntRange(1), help="Passes over the training crops [default: the recipe's]")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Of all chance.")
@click.option("--size", type=click.IntRange(32, 512), default=100, show_default=True, help="Input side in pixels.")
@click.option(
    "--validation-share",
    type=click.FloatRange(0, 0.5, min_open=True),
    default=VALIDATION_SHARE,
    show_default=True,
    help="Share of each class for the temperature.",
)
@click.option(
    "--test-share",
    type=click.FloatRange(0, 0.5, min_open=True),
    default=TEST_SHARE,
    show_default=True,
    help="Share of each class, the last crops, for the test.",
)
@click.option("--threads", type=click.IntRange(1), help="Processor cores to use [default: all there are]")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the report as one JSON object.")
def fit(
    frames: Path,
    out: Path | None,
    name: str | None,
    epochs: int | None,
    seed: int,
    size: int,
    validation_share: float,
    test_share: float,
    threads: int | None,
    json_file: Path | None,
) -> None:
    """Fit, calibrate and export a model of the crops in --frames; its card is written beside it as Markdown."""
    if find_spec("torch") is None:
        raise Misconfigured("torch is not installed here: run in an environment made of infra/requirements/trainer.txt")
    # Threads that wait for each other give their core away, for services may run beside the trainer. Spinning, two
    # threads took three times as long on a busy machine. Read once, when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Not at the top: --help and the sentence above must work without torch.
    from services.trainer.run import Order, run  # noqa: PLC0415

    order = Order(
        frames=frames,
        out=out,
        name=name,
        epochs=epochs,
        seed=seed,
        size=size,
        validation_share=validation_share,
        test_share=test_share,
        threads=threads,
    )
    report = run(order, Console(stderr=True))
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except Misconfigured as fault:
        click.echo(f"Error: {fault}", err=True)
        sys.exit(2)
