"""The data folder of a demo: its own while it runs."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path

from catseye.contract.errors import Unavailable
from catseye.settings import Settings, load
from infra.local.stack import Stack


@contextmanager
def own_folder(parent: Path) -> Iterator[Path]:
    """A data folder that no other demo uses now, empty but for what earlier demos may share.

    A demo that was killed leaves its stack behind: it is stopped first.
    """
    for number in range(1, 100):
        folder = parent / f"run-{number}"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            try:
                flock(lock, LOCK_EX | LOCK_NB)
            except BlockingIOError:
                continue
            os.environ["CATSEYE_DATA_DIR"] = str(folder)
            Stack(load(Settings)).down()
            for name in ("kafka", "logs", "run", "artifacts", "films", "rings", "ledger.jsonl"):
                path = folder / name
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink(missing_ok=True)
            yield folder
            return
    raise Unavailable(f"a hundred demos run already in {parent}")
