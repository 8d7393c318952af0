"""How a refused record is kept: its bytes as they were, a stable reason and where it came from.

Of more bytes than one record of ours holds, only the first are kept. A broker counts a batch as it was sent:
compressed, a record of any size passes it.
"""

from catseye.contract.errors import BadRecord, Misconfigured
from catseye.contract.identity import dead_letter_id
from catseye.contract.limits import PUBLIC_MAX_BYTES
from catseye.contract.message import Message
from catseye.contract.records import DeadLetter
from catseye.contract.topics import TOPICS, full_name

KEPT_MAX_BYTES = PUBLIC_MAX_BYTES  # of key and value together: whatever can be written uncompressed is kept whole
APPEND_TIME = 2  # the broker's clock wrote the timestamp, not the publisher's (Kafka's TimestampType)


def dead_letter(service: str, message: Message, fault: BadRecord, now_ms: int, camera: str | None = None) -> DeadLetter:
    """The record of a refusal of *message* by *service*, with its *camera* where that could be read."""
    key, value, cut = _kept(message)
    return DeadLetter(
        dead_letter_id=dead_letter_id(message.topic(), message.partition(), message.offset()),
        service=service,
        reason=fault.reason,
        detail=fault.detail + cut,
        topic=message.topic(),
        partition=message.partition(),
        offset=message.offset(),
        written_at_ms=written_ms(message, now_ms),
        refused_at_ms=now_ms,
        camera=camera,
        key=key,
        value=value,
    )


def is_cut(letter: DeadLetter) -> bool:
    """Whether bytes of the refused record are missing in *letter*: sent again, it would be another record.

    A whole one of just `KEPT_MAX_BYTES` would be called cut too; only who compresses can write it.
    """
    return len(letter.key or b"") + len(letter.value or b"") == KEPT_MAX_BYTES


def source_of(message: Message) -> bytes:
    """Key of a dead letter: the partition that the refused record came from."""
    return f"{message.topic()}-{message.partition()}".encode()


def written_ms(message: Message, now_ms: int) -> int:
    """The broker's clock for *message*, or *now_ms* where the topic carries the publisher's clock."""
    kind, at_ms = message.timestamp()
    return at_ms if kind == APPEND_TIME else now_ms


def _kept(message: Message) -> tuple[bytes | None, bytes | None, str]:
    """Key and value of *message*, as much of them as has room, and a sentence about what is missing."""
    key, value = message.key(), message.value()
    key_bytes, value_bytes = len(key or b""), len(value or b"")
    if key_bytes + value_bytes <= KEPT_MAX_BYTES:
        return key, value, ""
    key = key and key[:KEPT_MAX_BYTES]
    value = value and value[: KEPT_MAX_BYTES - len(key or b"")]
    kept = f"of its key {len(key or b'')} of {key_bytes} bytes, of its value {len(value or b'')} of {value_bytes}"
    return key, value, f"; kept are {kept}: the whole stands where it came from, as long as that topic keeps it"


def destination(letter: DeadLetter, prefix: str) -> str:
    """Full name of the public topic that *letter* goes back to.

    Raises:
        Misconfigured: it came from a topic that only a service writes to, or bytes of the record are missing.
    """
    if is_cut(letter):
        raise Misconfigured(
            f"{letter.dead_letter_id} has only the first bytes of a record that was too large: sent again it would be "
            "another one"
        )
    public = [full_name(topic.name, prefix) for topic in TOPICS if topic.public]
    source = full_name("frames", prefix) if letter.topic == full_name("frames.rekeyed", prefix) else letter.topic
    if source not in public:
        raise Misconfigured(
            f"{letter.dead_letter_id} came from {letter.topic}, which only a service writes to; only records from "
            f"{' and '.join(public)} can be sent again"
        )
    return source
