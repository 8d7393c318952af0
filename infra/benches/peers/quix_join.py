"""Labels joined to predictions on quixstreams, exactly once: two streams of one key meet in one state.

Both topics are keyed by frame already, which spares it a `group_by` and its topic. Whichever side comes first waits
in the state; quixstreams' state does not expire, which spares it that work too.
"""

from __future__ import annotations

import json
import logging
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
from fastavro.schema import fingerprint, to_parsing_canonical_form
from quixstreams import Application, State

from infra.benches.peers.flags import parse

SCHEMAS = Path(__file__).resolve().parents[3] / "schemas"
SAME = (
    *("camera", "boot", "sequence", "captured_at_ms", "received_at_ms", "predicted_at_ms", "prediction_id", "model"),
    *("version", "role", "frame_partition", "frame_offset", "brightness"),
)
Fields = dict[str, Any]


def schema_of(name: str) -> Any:
    """Parse one of the public schemas."""
    return fastavro.parse_schema(json.loads((SCHEMAS / f"{name}.avsc").read_text()), {})


PREDICTION, LABEL, OUTCOME = schema_of("prediction"), schema_of("accepted_label"), schema_of("outcome")
HEADER = b"\xc3\x01" + bytes.fromhex(fingerprint(to_parsing_canonical_form(OUTCOME), "CRC-64-AVRO"))


def prediction(value: bytes) -> tuple[str, Fields]:
    """Read a prediction and keep what an outcome needs."""
    fields: Any = fastavro.schemaless_reader(BytesIO(value[10:]), PREDICTION, None)
    kept = {name: fields[name] for name in SAME}
    kept["predicted"] = fields["label"]
    kept["probabilities"] = fields["probabilities"]
    return "prediction", kept


def label(value: bytes) -> tuple[str, Fields]:
    """Read a label."""
    fields: Any = fastavro.schemaless_reader(BytesIO(value[10:]), LABEL, None)
    return "label", fields


def join(arrival: tuple[str, Fields], state: State) -> bytes | None:
    """Pair it with what waits, or let it wait."""
    kind, fields = arrival
    state.set(kind, fields)
    other = state.get("label" if kind == "prediction" else "prediction")
    if other is None:
        return None
    return outcome(fields, other) if kind == "prediction" else outcome(other, fields)


def outcome(predicted: Fields, truth: Fields) -> bytes:
    """Write the outcome of a pair."""
    probabilities = predicted["probabilities"]
    fields = {name: predicted[name] for name in SAME} | {
        "predicted": predicted["predicted"],
        "confidence": probabilities[predicted["predicted"]],
        "change": "matched",
        "label": truth["label"],
        "correct": predicted["predicted"] == truth["label"],
        "label_probability": probabilities.get(truth["label"], 0.0),
        "source": truth["source"],
        "propensity": truth["propensity"],
        "labelled_at_ms": truth["labelled_at_ms"],
        "label_received_at_ms": truth["received_at_ms"],
        "label_delay_ms": truth["received_at_ms"] - predicted["received_at_ms"],
    }
    buffer = BytesIO()
    buffer.write(HEADER)
    fastavro.schemaless_writer(buffer, OUTCOME, fields)
    return buffer.getvalue()


def main() -> None:
    """Build the dataframe and run it."""
    flags = parse(__doc__ or "")
    app: Any = Application(
        broker_address=flags.bootstrap,
        consumer_group=flags.group,
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        commit_interval=flags.commit_ms / 1_000,
        state_dir=flags.directory,
        loglevel=logging.WARNING,
        consumer_extra_config={"fetch.wait.max.ms": 20},
        producer_extra_config={
            "linger.ms": flags.linger_ms,
            "batch.size": flags.batch_bytes,
            "batch.num.messages": 10_000,
        },
    )

    def read(name: str, decode: Any) -> Any:
        topic = app.topic(name, key_deserializer="bytes", value_deserializer="bytes")
        return app.dataframe(topic).apply(decode)

    both = read(flags.input, prediction).concat(read(flags.labels, label))
    outcomes = app.topic(flags.output, key_serializer="bytes", value_serializer="bytes")
    both.apply(join, stateful=True).filter(lambda value: value is not None).to_topic(outcomes)
    app.run()


if __name__ == "__main__":
    main()
