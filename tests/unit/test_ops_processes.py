"""Which processes are there and what they refuse, by their heartbeats."""

from catseye.contract.records import Heartbeat, Problem, ProcessState
from catseye.ops.processes import present, refused_models

NOW_MS = 1_800_000_000_000


def beat(service: str, ago_ms: int, state: ProcessState = "ready", *problems: Problem) -> Heartbeat:
    """One that comes every three seconds."""
    return Heartbeat(
        service=service,
        instance="0",
        host="h",
        pid=1,
        started_at_ms=NOW_MS - 60_000,
        at_ms=NOW_MS - ago_ms,
        every_ms=3_000,
        state=state,
        problems=list(problems),
    )


def test_who_ended_or_fell_silent_is_gone() -> None:
    """The newest heartbeat decides; some may be late."""
    beats = [
        beat("trainer", 6_000),
        beat("trainer", 3_000, "stopped"),
        beat("drift", 13_000),
        beat("ingest", 13_000, "failed"),
        beat("ingest", 11_000, "starting"),
    ]
    assert [each.service for each in present(beats, NOW_MS)] == ["ingest"]


def test_refused_models_are_told_from_other_problems() -> None:
    """By model and version, with the reason."""
    problems = [
        Problem(kind="model_refused", subject="m 2", detail="why", since_ms=NOW_MS, model="m", version="2"),
        Problem(kind="other", subject="s", detail="what", since_ms=NOW_MS),
    ]
    assert refused_models([beat("inference", 0, "ready", *problems), beat("drift", 0)]) == {("m", "2"): "why"}
