"""A schema change half-way: writers of two versions on the topics of a worker that knows both, and one that it cannot
know. Every record has one end, and no batch is held up."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from catseye.contract.codec import SINGLE_OBJECT, Codec, schema_fingerprint, schema_texts
from catseye.contract.dead_letters import dead_letter, source_of
from catseye.contract.errors import BadRecord, Reason
from catseye.contract.message import Message
from catseye.contract.records import DeadLetter, DriftStatistic
from catseye.runtime.stream import NoState, Output, Tally
from tests.corpora.avro import body_of, earlier
from tests.simulation.worker_in_memory import PREFIX, InMemory, world
from tests.simulation.worker_stories import PARTITIONS, READ, WRITTEN

__all__ = ["world"]

CODEC = Codec()
DEAD = "dead-letters"
RECORDS = 120  # of each partition


class Passing(Tally):
    """Reads statistics and writes them as they came to it; what it cannot read is a dead letter."""

    new_state = NoState

    def on_batch(self, batch: Sequence[Message], states: Mapping[int, NoState], now_ms: int) -> list[Output]:
        outputs = []
        for message in batch:
            try:
                value = CODEC.encode(CODEC.decode(message.value(), DriftStatistic))
                outputs.append(Output(PREFIX + WRITTEN, message.partition(), message.key(), value))
                self.events["passed"] += 1
            except BadRecord as fault:
                letter = CODEC.encode(dead_letter("passing", message, fault, now_ms))
                outputs.append(Output(PREFIX + DEAD, message.partition(), source_of(message), letter))
                self.events[f"dead_{fault.reason}"] += 1
        return outputs

    def on_time(self, states: Mapping[int, NoState], now_ms: int) -> list[Output]:
        return []


def schemas_by_version() -> list[dict[str, Any]]:
    """The statistic as it was, as it is, and with a field that this library has not heard of."""
    (before,) = [schema for schema in earlier() if schema["name"] == "DriftStatistic"]
    today = json.loads(schema_texts()["catseye.DriftStatistic"])
    added = {"name": "weather", "type": "string", "default": "", "doc": "Added by a later version."}
    return [before, today, {**today, "fields": [*today["fields"], added]}]


def values_of(count: int) -> dict[str, Any]:
    """A statistic that can be told from its neighbours, with the fields of every version."""
    named = dict.fromkeys(("camera", "signal", "phase", "detector", "model", "version", "reference_name"), "x")
    numbers = dict.fromkeys(("estimate", "reference", "evidence", "threshold"), 0.5)
    times = {"at_ms": count, "count": count, "learning_left": 0, "suspect_since_ms": None}
    return {**named, **numbers, **times, "low": 0.25, "high": 0.75, "valid": True, "weather": "rain"}


def test_every_record_of_a_change_half_way_has_one_end(world: InMemory) -> None:
    """Both versions come out as today's, in order; the unknown one is refused, and what follows it is read."""
    schemas = schemas_by_version()
    envelopes = [SINGLE_OBJECT + schema_fingerprint(schema) for schema in schemas]
    expected: list[tuple[int, DriftStatistic]] = []
    for partition in range(PARTITIONS):
        for count in range(RECORDS):
            version = (count * 7 + partition) % 3
            fields = {field["name"]: values_of(count)[field["name"]] for field in schemas[version]["fields"]}
            value = envelopes[version] + body_of(schemas[version], fields)
            world.broker.append((PREFIX + READ, partition), b"x", value)
            if version < 2:
                expected.append((partition, DriftStatistic(**fields)))
    core: Any = Passing()
    worker, probe = world.worker(core, state=False)
    worker.run(world.until(lambda: probe.records >= PARTITIONS * RECORDS))

    found = [(place, CODEC.decode(value, DriftStatistic)) for place, _, value in world.seen()]
    letters = [CODEC.decode(value, DeadLetter) for _, _, value in world.broker.committed(PREFIX + DEAD)]
    unknown = PARTITIONS * RECORDS // 3
    assert found == expected
    assert {(letter.reason, (letter.value or b"")[:10]) for letter in letters} == {("unknown_schema", envelopes[2])}
    assert probe.events == Counter({"passed": 2 * unknown, f"dead_{Reason.UNKNOWN_SCHEMA}": unknown})
    assert probe.causes == []
