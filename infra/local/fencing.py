"""What a controller says of a broker's registration: whether it is fenced, so that it leads no partition (KIP-631)."""

import re
from collections.abc import Iterable

_REPLAYED = re.compile(
    r"(?:RegisterBroker|BrokerRegistrationChange)Record\(brokerId=(\d+),.*\bfenced=(1|true|-1|false)\b"
)


def is_fenced(lines: Iterable[str], node_id: int) -> bool:
    """Tell whether the controller is active and the broker leads nothing, by what the controller logs at INFO.

    It logs each record of its log as it reads it, then that it becomes active, then each record that it adds: only when
    it is active is the last one that it told what holds.

    Args:
        lines: Since it was started; of Kafka 4.3's `QuorumController` and `ClusterControlManager`.
        node_id: Of the broker.
    """
    fenced, active = True, False  # one that was never registered leads nothing either
    for line in lines:
        active = active or "Performing controller activation" in line
        replayed = _REPLAYED.search(line)
        if replayed and int(replayed[1]) == node_id:
            fenced = replayed[2] in ("1", "true")
    return active and fenced
