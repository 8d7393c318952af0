"""A broker is fenced when the controller that is active says so last; lines are those of Kafka 4.3.1."""

import pytest

from infra.local.fencing import is_fenced

_WHO = "INFO ClusterControlManager: [QuorumController id=1] Replayed"
ACTIVE = "WARN QuorumController: [QuorumController id=1] Performing controller activation."
REGISTERED = (
    f"{_WHO} initial RegisterBrokerRecord for broker 1: RegisterBrokerRecord(brokerId=1, isMigratingZkBroker=false, "
    "brokerEpoch=20, rack=null, fenced=true, inControlledShutdown=false, logDirs=[], cordonedLogDirs=null)"
)


def changed(fenced: int, node_id: int = 1) -> str:
    return (
        f"{_WHO} BrokerRegistrationChangeRecord modifying the registration for broker {node_id}: "
        f"BrokerRegistrationChangeRecord(brokerId={node_id}, brokerEpoch=20, fenced={fenced}, "
        "inControlledShutdown=0, logDirs=[], cordonedLogDirs=null)"
    )


LEFT, OTHER, FENCED = changed(-1), changed(0), changed(1)


@pytest.mark.parametrize(
    ("lines", "fenced"),
    [
        ([], False),
        ([REGISTERED, LEFT], False),  # read back so far; more may follow
        ([REGISTERED, LEFT, FENCED], False),
        ([REGISTERED, LEFT, OTHER, ACTIVE], False),
        ([REGISTERED, LEFT, FENCED, REGISTERED, OTHER, LEFT, ACTIVE], False),
        ([REGISTERED, LEFT, ACTIVE, changed(1, node_id=11)], False),
        ([REGISTERED, LEFT, ACTIVE, FENCED], True),
        ([REGISTERED, LEFT, ACTIVE, FENCED, OTHER], True),
        ([REGISTERED, LEFT, FENCED, ACTIVE], True),
        ([REGISTERED, ACTIVE], True),  # killed before it was let in
        ([ACTIVE], True),  # killed before it was known
    ],
)
def test_a_broker_is_fenced_when_the_active_controller_says_so_last(lines: list[str], fenced: bool) -> None:
    """What is read back is no word of now: it counts only once the controller is active."""
    assert is_fenced(lines, 1) is fenced
