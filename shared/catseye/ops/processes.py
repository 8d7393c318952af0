"""Which processes are there, and what they refuse, as their heartbeats say it. Pure."""

from collections.abc import Iterable

from catseye.contract.records import Heartbeat

_MISSED = 4
"""Heartbeats in a row after which a process counts as gone."""
_ENDED = frozenset({"stopped", "failed"})


def present(heartbeats: Iterable[Heartbeat], now_ms: int) -> list[Heartbeat]:
    """The newest heartbeat of each process that is there.

    Args:
        heartbeats: All that are kept, oldest first.
        now_ms: Unix milliseconds.
    """
    newest = {(beat.service, beat.instance): beat for beat in heartbeats}
    return [
        beat for beat in newest.values() if beat.state not in _ENDED and now_ms - beat.at_ms <= _MISSED * beat.every_ms
    ]


def refused_models(beats: Iterable[Heartbeat]) -> dict[tuple[str, str], str]:
    """Model and version of what processes were told to serve and refuse, and why."""
    return {
        (problem.model, problem.version): problem.detail
        for beat in beats
        for problem in beat.problems
        if problem.kind == "model_refused"
    }
