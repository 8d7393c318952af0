"""Builds of the worker that break the promise on purpose: `python -m tests.chaos.broken SERVICE BUILD FOLDER`.

The checker must see what they do. Each is paired with a build that goes through the same without being broken.
"""

import importlib
import runpy
import sys
import time
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer

from catseye.kafka.clients import reader_config
from catseye.runtime import service
from catseye.runtime.outbox import Aborted
from catseye.runtime.worker import Worker

ABORT_EVERY = 5  # transactions
SLOW_FROM = 5  # transactions that pass before one is slow
SLOW_S = 1.0
IN_TRANSACTION = "in-transaction"
FOLDER = Path()


class Aborting(Worker[Any]):
    """Whole, but every fifth transaction comes to nothing, as if a server had refused it."""

    _transactions = 0

    def _commit(self, positions: Any) -> None:
        self._transactions += 1
        if self._transactions % ABORT_EVERY == 0:
            self._outbox.producer.abort_transaction(10)
            raise Aborted("on purpose")
        super()._commit(positions)


class WithoutSeek(Aborting):
    """Broken: after an abort it goes on from where it had read to."""

    def _back_to_last_commit(self) -> None:
        for state in self._states.values():
            state.rollback()


class Slow(Worker[Any]):
    """Whole, but one transaction takes long, and a file says that it is open."""

    _transactions = 0

    def _commit(self, positions: Any) -> None:
        self._transactions += 1
        if self._transactions == SLOW_FROM:
            self._outbox.producer.flush()
            (FOLDER / f"{IN_TRANSACTION}-{self._settings.instance}").touch()
            time.sleep(SLOW_S)
        super()._commit(positions)


class WithoutMetadata(Slow):
    """Broken: it sends offsets in the name of a consumer that never joined the group, so nobody can tell that it has
    lost its place there."""

    def _group_metadata(self) -> object:
        stranger = Consumer(reader_config(self._settings, self._group))
        try:
            return stranger.consumer_group_metadata()
        finally:
            stranger.close()


BUILDS: dict[str, type[Worker[Any]]] = {
    "aborting": Aborting,
    "without-seek": WithoutSeek,
    "slow": Slow,
    "without-metadata": WithoutMetadata,
}


def main(name: str, build: str, folder: str) -> None:
    global FOLDER  # noqa: PLW0603 - the worker is made by catseye.runtime.service, which knows of no folder
    FOLDER = Path(folder)
    vars(service)["Worker"] = BUILDS[build]
    del sys.argv[1:]  # ours, not the service's
    runpy.run_module(f"services.{name}", run_name="__main__")


if __name__ == "__main__":
    # Else the classes above, which look at FOLDER, would be those of another copy of this module.
    importlib.import_module("tests.chaos.broken").main(*sys.argv[1:])
