"""The load of the benches lies where it is told to lie."""

from pathlib import Path

from infra.benches.load import LoadRecord, send

ROOT = Path(__file__).parents[2]
RECORDS = [LoadRecord(b"key", b"%d" % number, number % 4) for number in range(40)]


class Queue:
    """A producer with room for three records, which a poll takes away."""

    def __init__(self) -> None:
        self.waiting: list[tuple[str, bytes, int]] = []
        self.sent: list[tuple[str, bytes, int]] = []

    def produce(self, topic: str, value: bytes, key: bytes, partition: int) -> None:
        if len(self.waiting) == 3:
            raise BufferError
        self.waiting.append((topic, value, partition))

    def poll(self, timeout: float) -> int:
        self.sent += self.waiting
        self.waiting = []
        return len(self.sent)


def test_each_record_goes_once_to_its_partition_in_order() -> None:
    """Also those that found the queue full."""
    queue = Queue()
    send(queue, "topic", RECORDS)
    assert queue.sent == [("topic", record.value, record.partition) for record in RECORDS]


def test_nobody_uses_the_call_that_forgets_the_partition() -> None:
    """`produce_batch` accepts one and ignores it, without an error (findings/)."""
    code = [
        file
        for part in ("infra", "services", "shared", "tests")
        for file in (ROOT / part).rglob("*.py")
        if file != Path(__file__)
    ]
    assert len(code) > 100
    assert [str(file) for file in code if ".produce_batch(" in file.read_text()] == []
