"""The command `catseye`. A command's module is loaded when the command is asked for, so that help comes at once."""

import logging
import sys
from difflib import get_close_matches
from importlib import import_module

import click

from catseye import __version__
from catseye.cli.streams import print_anything
from catseye.contract.errors import BadModel, BadRecord, Misconfigured, Unavailable

# Name, module in this package, its line of `catseye --help`.
COMMANDS = {
    "topics": ("topics", "Show or create the topics."),
    "settings": ("settings", "List every setting: value, default, meaning."),
    "doctor": ("doctor", "Send one marked frame and name the hop that does not answer."),
    "cameras": ("cameras", "List cameras: their model, accuracy and what is wrong."),
    "publish": ("publish", "Publish JPEG files, a video or a live stream as frames of a camera."),
    "roadside": ("roadside", "Publish the vehicles of a camera that shows a whole road."),
    "counts": ("counts", "Count vehicles by minute, class, line and direction."),
    "label": ("label", "Say what a frame showed."),
    "labels": ("labels", "Write the labels that hold into a file: CSV, COCO or Label Studio."),
    "watch": ("watch", "Print predictions, outcomes, statistics or alerts as they come."),
    "alerts": ("alerts", "List alerts; acknowledge, suppress or unsuppress one."),
    "models": ("models", "List, register, promote, approve, reject and roll back models; describe and score files."),
    "train": ("train", "Ask for a training, and print the decision of the retrain trigger."),
    "lineage": ("lineage", "Say where a prediction, a model or a dataset comes from, and what it led to."),
    "report": ("report", "Write a model's card as one HTML file."),
    "replay": ("replay", "Predict recorded frames with a model, scored with the labels at their real delays."),
    "tokens": ("tokens", "Make, list and revoke the tokens that let people in through the gateway."),
    "notify": ("notify", "Check and try the routes by which people are told, and list what they did."),
    "dead": ("dead", "Look at refused records and send them again."),
}
MISCONFIGURED = 2
FAILED = 1


class Commands(click.Group):
    """A group that knows its commands' names and one line of each without loading them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"catseye.cli.{COMMANDS[cmd_name][0]}"), cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click has it, with the nearest name of a command that is not there."""
        if near := args[0] not in COMMANDS and get_close_matches(args[0], COMMANDS, n=1):
            ctx.fail(f"No such command {args[0]!r}. Did you mean {near[0]!r}?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(prog)s %(version)s")
def catseye() -> None:
    """Watch road cameras through one model, and keep that model honest.

    All commands read the settings that the services read; `catseye settings` lists them.
    """


def main(argv: list[str] | None = None) -> None:
    """Run one command of `catseye`, and exit."""
    ended(catseye, argv, "catseye")


def ended(command: click.Command, argv: list[str] | None = None, name: str | None = None) -> None:
    """Run *command*, which people call *name*.

    Exit status: 0 done, 1 it failed, 2 a person must change a setting or the command line.
    """
    print_anything()
    # The clients log that a broker goes and comes; a command prints its result in one sentence.
    logging.getLogger("catseye.client").addHandler(logging.NullHandler())
    logging.getLogger("catseye.client").propagate = False
    try:
        command(argv, prog_name=name)
    except Misconfigured as fault:
        click.echo(f"Error: {fault}", err=True)
        sys.exit(MISCONFIGURED)
    except (Unavailable, BadModel, BadRecord) as fault:
        click.echo(f"Error: {fault}", err=True)
        sys.exit(FAILED)
