"""The negative control: the bare loop with one record lost, or written twice, which the check must report.

A check that has never failed proves nothing.
"""

from __future__ import annotations

from confluent_kafka import Message

from infra.benches.peers.bare import Core, Outgoing, copy, counting, run
from infra.benches.peers.flags import parse

AT = 1_000
"""Which record it happens to."""


def breaking(core: Core, fault: str) -> Core:
    """Wrap *core* so that record number `AT` is left out (`drop`) or comes twice (`repeat`)."""
    before = 0

    def broken(messages: list[Message]) -> tuple[Outgoing, Outgoing]:
        nonlocal before
        out, changed = core(messages)
        at = AT - before
        before += len(messages)
        if 0 <= at < len(out):
            out[at : at + 1] = [] if fault == "drop" else [out[at], out[at]]
        return out, changed

    return broken


def main() -> None:
    """Run the broken loop."""
    flags = parse(__doc__ or "")
    run(flags, breaking(copy if flags.mode == "copy" else counting(), flags.fault))


if __name__ == "__main__":
    main()
