"""Consumer groups as the broker sees them: waited for when workers leave for good."""

import time
from collections.abc import Mapping

from confluent_kafka import ConsumerGroupState, KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from catseye.contract.errors import Unavailable
from catseye.kafka.admin import admin
from catseye.settings import Settings

_MOVING = (ConsumerGroupState.PREPARING_REBALANCING, ConsumerGroupState.COMPLETING_REBALANCING)
_LATER = (
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
)
"""The group's broker is being chosen, or reads what it must know: after the first group of a cluster, for one."""
_ANSWER_S = 10.0


def wait_until_settled(settings: Settings, members: Mapping[str, int], timeout_s: float) -> None:
    """Return when no group has more members than it should and every partition of a group with members has an owner.

    Args:
        settings: Where the brokers are.
        members: Group, without prefix, to the most members that it should have.
        timeout_s: How long to wait at most, seconds.

    Raises:
        Unavailable: a group is not so after that time, or the broker does not answer.
    """
    client = admin(settings)
    until = time.monotonic() + timeout_s
    for name, most in members.items():
        while not _is_settled(client, settings.topic_prefix + name, most):
            if time.monotonic() > until:
                raise Unavailable(f"the partitions of {name} have no new owners after {timeout_s:.0f} s")
            time.sleep(0.05)


def _is_settled(client: AdminClient, group: str, most: int) -> bool:
    (answer,) = client.describe_consumer_groups([group], request_timeout=_ANSWER_S).values()
    try:
        found = answer.result()
    except KafkaException as fault:
        code = fault.args[0].code()
        if code == KafkaError.GROUP_ID_NOT_FOUND:
            return True
        if code in _LATER:
            return False
        raise Unavailable(f"group {group} cannot be described: {fault}") from fault
    return found.state not in _MOVING and len(found.members) <= most
