"""How a refused record is kept: its bytes as they were, a stable reason and where it came from."""

from catseye.errors import BadRecord
from catseye.identity import dead_letter_id
from catseye.records import DeadLetter
from catseye.stream import Message

APPEND_TIME = 2  # the broker's clock wrote the timestamp, not the publisher's (Kafka's TimestampType)


def dead_letter(service: str, message: Message, fault: BadRecord, now_ms: int, camera: str | None = None) -> DeadLetter:
    """The record of a refusal of *message* by *service*, with its *camera* where that could be read."""
    return DeadLetter(
        dead_letter_id=dead_letter_id(message.topic(), message.partition(), message.offset()),
        service=service,
        reason=fault.reason,
        detail=fault.detail,
        topic=message.topic(),
        partition=message.partition(),
        offset=message.offset(),
        written_at_ms=written_ms(message, now_ms),
        refused_at_ms=now_ms,
        camera=camera,
        key=message.key(),
        value=message.value(),
    )


def source_of(message: Message) -> bytes:
    """Key of a dead letter: the partition that the refused record came from."""
    return f"{message.topic()}-{message.partition()}".encode()


def written_ms(message: Message, now_ms: int) -> int:
    """The broker's clock for *message*, or *now_ms* where the topic carries the publisher's clock."""
    kind, at_ms = message.timestamp()
    return at_ms if kind == APPEND_TIME else now_ms
