"""No name ends a command: terminals that cannot encode one are shown it otherwise, and JSON stays JSON."""

import json
import os
import pty
import subprocess
import sys

import click
import pytest

from catseye.cli.common import CAMERA, SENTENCE, Name, table

PROGRAM = r"""
import sys
from pathlib import Path
import click
from catseye.cli import ended
from catseye.cli.common import table, write_json

@click.command()
def command():
    name = "S\u00fcd-Tor \U0001f6a6 \u202e \udcfc"
    table([("CAMERA", "WHY"), (name, name)])
    print(name, flush=True)
    print(name, file=sys.stderr)
    click.echo(name.replace("\udcfc", ""))
    write_json(Path("-"), {"camera": "S\u00fcd-Tor \U0001f6a6"})

ended(command)
"""


def environment(encoding: str) -> dict[str, str]:
    """A locale of old, without the modes by which Python mends it."""
    return os.environ | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": encoding}


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_name_that_cannot_be_encoded_is_printed_all_the_same(encoding: str) -> None:
    """In part by numbers, and no command fails for it; JSON can be read whatever the terminal."""
    command = [sys.executable, "-c", PROGRAM]
    ran = subprocess.run(command, env=environment(encoding), capture_output=True, check=False)
    assert (ran.returncode, b"Traceback" in ran.stderr) == (0, False), ran.stderr
    printed, _, written = ran.stdout.partition(b"{")
    assert printed.count(b"-Tor") == 4
    assert json.loads("{" + written.decode("utf-8" if encoding == "utf-8" else "ascii")) == {"camera": "Süd-Tor 🚦"}


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_table_on_a_terminal_is_printed(encoding: str) -> None:
    """There long cells are folded, by another road."""
    ours, its = pty.openpty()
    command = [sys.executable, "-c", PROGRAM]
    ran = subprocess.run(command, env=environment(encoding), stdout=its, stderr=its, check=False)
    os.close(its)
    seen = os.read(ours, 65_536)
    os.close(ours)
    assert ran.returncode == 0, seen
    assert seen.count(b"-Tor") == 6


def test_a_stream_that_is_left_alone_fails() -> None:
    """Negative control: what these tests are of."""
    command = [sys.executable, "-c", PROGRAM.replace("ended(command)", "command()")]
    ran = subprocess.run(command, env=environment("latin-1"), capture_output=True, check=False)
    assert b"UnicodeEncodeError" in ran.stderr


def test_a_table_shows_what_turns_or_hides_by_its_number(capsys: pytest.CaptureFixture[str]) -> None:
    """Dead letters have names that strangers chose."""
    table([("CAMERA",), ("gate\u202e7\u200b",)])
    assert capsys.readouterr().out == "CAMERA\ngate\\u202e7\\u200b\n"


@pytest.mark.parametrize(
    ("kind", "given", "taken"),
    [
        (CAMERA, " Su\u0308d ", "Süd"),
        (Name("label"), "truck\u00a0", "truck"),
        (Name("model"), "vehicles ", "vehicles"),
        (SENTENCE, "it rains", "it rains"),
    ],
)
def test_options_take_names_by_the_one_rule(kind: click.ParamType[str], given: str, taken: str) -> None:
    """Folded."""
    assert kind.convert(given, None, None) == taken


@pytest.mark.parametrize(
    ("kind", "given", "why"),
    [
        (CAMERA, " ", "camera is empty"),
        (CAMERA, "cam\u200b01", "camera has U+200B ZERO WIDTH SPACE at 3"),
        (Name("label"), " ", "label is empty"),
        (SENTENCE, "it rains\x1b[2J", "it has the control character U+001B"),
    ],
)
def test_options_refuse_what_is_no_name(kind: click.ParamType[str], given: str, why: str) -> None:
    """In one sentence."""
    with pytest.raises(click.BadParameter) as refused:
        kind.convert(given, None, None)
    assert refused.value.message.startswith(why)
