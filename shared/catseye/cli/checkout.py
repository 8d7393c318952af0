"""Lets a command find the stack, the data folder and the `.env` of a checkout, wherever in it the command is called."""

import os
from pathlib import Path

import msgspec
from dotenv import dotenv_values

SERVERS, DATA_DIR = "KAFKA_BOOTSTRAP_SERVERS", "CATSEYE_DATA_DIR"


class _Stack(msgspec.Struct):
    """What is wanted of the record that `infra/stack up` writes, gone after `infra/stack down`."""

    bootstrap_servers: str


def enter(cwd: Path, sources: Path) -> None:
    """Set in the environment what it lacks: settings of the checkout's `.env`, its data folder, its stack's brokers.

    The checkout is the one that these sources lie in, else the one that the working folder lies in. What the
    environment or the working folder's `.env` say stays.

    Args:
        cwd: Working folder, absolute.
        sources: Folder that holds the sources' `shared`, if they lie in a checkout.
    """
    present = dotenv_values(cwd / ".env").keys() | os.environ.keys()
    checkout = next((place for place in (sources, cwd, *cwd.parents) if (place / "infra" / "stack").is_file()), None)
    if checkout is not None:
        found = {name: value for name, value in dotenv_values(checkout / ".env").items() if value is not None}
        found[DATA_DIR] = str(checkout / found.get(DATA_DIR, ".catseye"))
        for name in found.keys() - present:
            os.environ[name] = found[name]
        present |= found.keys()
    folder = Path(os.environ.get(DATA_DIR) or dotenv_values(cwd / ".env").get(DATA_DIR) or ".catseye")
    if SERVERS not in present and (servers := _servers(cwd / folder)):
        os.environ[SERVERS] = servers


def _servers(data_dir: Path) -> str | None:
    try:
        return msgspec.json.decode((data_dir / "run" / "stack.json").read_bytes(), type=_Stack).bootstrap_servers
    except FileNotFoundError:
        return None
