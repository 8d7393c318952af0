"""Which fault comes when: drawn from a seed, pure."""

from random import Random
from typing import Literal, NamedTuple

Kind = Literal["kill", "pause", "kill_broker"]
SPREAD_S = 0.8  # how far a fault may lie from its even place, of the distance between two


class Fault(NamedTuple):
    """One fault.

    Attributes:
        at_s: Since publishing began.
        kind: kill -9, SIGSTOP past the session, or kill -9 of the broker.
        service: Of the worker; empty for the broker.
        worker: Which of its workers, from 0.
        down_s: How long the broker stays away.
    """

    at_s: float
    kind: Kind
    service: str = ""
    worker: int = 0
    down_s: float = 0.0


def schedule(seed: int, services: tuple[str, ...], workers: int, span_s: float) -> list[Fault]:
    """Draw every fault of a run: each service is killed three times (as in Kafka's transactions_test) and paused
    once, the broker is killed once.

    Args:
        seed: Of all chance.
        services: Names.
        workers: How many of each.
        span_s: The faults spread evenly over so long, in random order.
    """
    chance = Random(f"faults/{seed}")
    kinds: list[Kind] = ["kill", "kill", "kill", "pause"]
    faults = [Fault(0, kind, service, chance.randrange(workers)) for service in services for kind in kinds]
    faults.append(Fault(0, "kill_broker", down_s=chance.uniform(0.5, 3.0)))
    chance.shuffle(faults)
    step_s = span_s / len(faults)
    return [
        fault._replace(at_s=(number + 0.5 + SPREAD_S * chance.uniform(-0.5, 0.5)) * step_s)
        for number, fault in enumerate(faults)
    ]
