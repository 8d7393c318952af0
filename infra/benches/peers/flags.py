"""The flags that every Python peer takes. Nothing but the standard library: peers live in their own environments."""

from __future__ import annotations

import argparse


def parse(description: str) -> argparse.Namespace:
    """Read the command line.

    Returns:
        `bootstrap`, `input` (of a join: predictions), `labels`, `output`, `state`, `group`, `mode` (`copy`, `count`,
        `join`), `delivery` (`exactly_once`, `at_least_once`), `partitions`, `commit_ms`, `batch` (records a
        transaction or poll), `linger_ms`, `batch_bytes` (of the producer), `directory` for local state.
    """
    parser = argparse.ArgumentParser(description=description)
    for flag in ("bootstrap", "input", "output", "group"):
        parser.add_argument(f"--{flag}", required=True)
    for flag in ("state", "labels", "schemas", "store", "join"):
        parser.add_argument(f"--{flag}", default="")
    parser.add_argument("--mode", choices=("copy", "count", "join"), required=True)
    parser.add_argument("--delivery", choices=("exactly_once", "at_least_once"), default="exactly_once")
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--commit-ms", type=int, default=100)
    parser.add_argument("--batch", type=int, default=5_000)
    parser.add_argument("--linger-ms", type=int, default=5)
    parser.add_argument("--batch-bytes", type=int, default=1_000_000)
    parser.add_argument("--directory", default="")
    parser.add_argument("--fault", choices=("drop", "repeat"), default="drop", help="of the negative control")
    return parser.parse_args()
