"""Records that must not be accepted, each with the one reason that it must be refused for; the pictures are those of
`tests.corpora.jpegs`."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import fastavro

from catseye.contract.codec import SINGLE_OBJECT, Codec, schema_fingerprint
from catseye.contract.errors import Reason
from catseye.contract.limits import FRAME_MAX_BYTES, PUBLIC_MAX_BYTES
from catseye.contract.records import Frame, Label
from tests.corpora.jpegs import CROPS, bad_frames

CODEC = Codec()
CAR = next((CROPS / "car").glob("*.jpg")).read_bytes()
CAMERA = "bad-1"
GOOD = "good-1"  # has counted to `GOOD_SEQUENCE` when the bad records come
GOOD_SEQUENCE = 5_000
MEGABYTE = 1_000_000
DAY_MS = 24 * 3_600_000
LARGEST = 2**63 - 1  # of an Avro long


@dataclass(frozen=True)
class Bad:
    """A record that must be refused.

    Attributes:
        name: What is wrong with it.
        value: Its bytes.
        reason: The one that it must be refused for.
        topic: Where it is published.
        key: Its key there.
        camera: The camera that its partition is chosen by.
    """

    name: str
    value: bytes | None
    reason: Reason
    topic: str = "frames"
    key: bytes | None = CAMERA.encode()
    camera: str = CAMERA


def now_ms() -> int:
    return int(time.time() * 1_000)


def frame(sequence: int = 0, **changed: Any) -> Frame:
    """A sound frame, and what is changed in it."""
    sound: dict[str, Any] = {"camera": CAMERA, "boot": "b", "captured_at_ms": now_ms(), "jpeg": CAR}
    return Frame(**(sound | {"sequence": sequence} | changed))


def label(**changed: Any) -> bytes:
    """Bytes of a sound label, and what is changed in it."""
    sound: dict[str, Any] = {"camera": CAMERA, "boot": "b", "sequence": 0, "label": "car", "source": "person"}
    return CODEC.encode(Label(**(sound | {"labelled_at_ms": now_ms(), "propensity": 1.0} | changed)))


def long(number: int) -> bytes:
    """Avro's coding of a long: zigzag, then seven bits a byte, the least first."""
    rest, coded = number << 1 if number >= 0 else ~(number << 1), bytearray()
    while rest > 0x7F:
        coded.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes([*coded, rest])


def text(string: bytes) -> bytes:
    """Avro's coding of a string or of bytes."""
    return long(len(string)) + string


ENVELOPE = CODEC.encode(frame())[:10]
IDENTITY = text(CAMERA.encode()) + text(b"b") + long(0) + long(0)
WHOLE = CODEC.encode(Frame(camera=CAMERA, boot="b", sequence=0, captured_at_ms=0, jpeg=CAR))[10:]
assert WHOLE.startswith(IDENTITY + text(CAR))
BOMB = long(2**40) + b"\0"  # 7 bytes: an array of 2^40 items, each of no width
assert len(BOMB) == 7


def foreign_schema(schema: dict[str, Any]) -> bytes:
    """Envelope of a record whose schema is not in schemas/."""
    parsed = fastavro.parse_schema(schema, {})
    assert isinstance(parsed, dict)
    return SINGLE_OBJECT + schema_fingerprint(parsed)


NULLS = foreign_schema(
    {"type": "record", "name": "N", "fields": [{"name": "n", "type": {"type": "array", "items": "null"}}]}
)


def longest_value(key: bytes) -> int:
    """Bytes of the longest value that a publisher can write under *key*: the broker counts the whole batch.

    A batch of one record, KIP-98: 61 bytes of header; then length, attributes, two deltas, key, value and the number
    of headers, each as a varint: 4, 1, 1, 1, the key and its length, the value and 4 for its length, 1.
    """
    return PUBLIC_MAX_BYTES - 61 - (4 + 1 + 1 + 1 + len(long(len(key))) + len(key) + 4 + 1)


def bad_records() -> Iterator[Bad]:
    """Every kind of bad record, and every reason there is."""
    for picture in bad_frames():
        yield Bad(picture.name, CODEC.encode(frame(jpeg=picture.jpeg)), picture.reason)
    yield from bad_bytes()
    yield from bad_fields()
    yield from bad_labels()


def bad_bytes() -> Iterator[Bad]:
    """What is no frame in Avro."""
    yield Bad("a tombstone", None, Reason.UNKNOWN_FORMAT)
    yield Bad("an empty value", b"", Reason.UNKNOWN_FORMAT)
    yield Bad("a tombstone without a key", None, Reason.UNKNOWN_FORMAT, key=None)
    yield Bad("JSON", b'{"camera": "gate-7"}', Reason.UNKNOWN_FORMAT)
    yield Bad("a JPEG without a record", CAR, Reason.UNKNOWN_FORMAT)
    yield Bad("an array bomb of 7 bytes", BOMB, Reason.UNKNOWN_FORMAT)
    yield Bad("an array bomb under its own schema", NULLS + BOMB, Reason.UNKNOWN_SCHEMA)
    yield Bad("a schema id, and no registry", b"\0" + (7).to_bytes(4, "big") + WHOLE, Reason.UNKNOWN_SCHEMA)
    yield Bad("another record", label(), Reason.WRONG_RECORD)
    yield Bad("an envelope and no body", ENVELOPE, Reason.MALFORMED_AVRO)
    yield Bad("half an envelope", ENVELOPE[:6], Reason.UNKNOWN_FORMAT)
    yield Bad("an array bomb for a body", ENVELOPE + BOMB, Reason.MALFORMED_AVRO)
    yield Bad("a camera of 2^62 bytes", ENVELOPE + long(2**62) + b"x", Reason.MALFORMED_AVRO)
    yield Bad("a camera of -1 bytes", ENVELOPE + long(-1) + b"x" * 30, Reason.MALFORMED_AVRO)
    yield Bad("a camera that is not UTF-8", ENVELOPE + text(b"\xff\xfe") + WHOLE, Reason.MALFORMED_AVRO)
    yield Bad("a JPEG of 2^40 bytes", ENVELOPE + IDENTITY + long(2**40) + CAR, Reason.MALFORMED_AVRO)
    yield Bad("2^40 readings", ENVELOPE + IDENTITY + text(CAR) + long(2**40), Reason.MALFORMED_AVRO)
    yield Bad("-2^63 readings", ENVELOPE + IDENTITY + text(CAR) + long(-(2**63)) + long(1), Reason.MALFORMED_AVRO)
    yield Bad("a number without an end", ENVELOPE + b"\xff" * 2_000, Reason.MALFORMED_AVRO)
    yield Bad("half a frame", (ENVELOPE + WHOLE)[:900], Reason.MALFORMED_AVRO)
    yield Bad("a frame and a byte", ENVELOPE + WHOLE + b"\0", Reason.TRAILING_BYTES)
    yield Bad("a frame twice", (ENVELOPE + WHOLE) * 2, Reason.TRAILING_BYTES)
    yield Bad(
        "more than is looked at",
        CODEC.encode(frame(jpeg=CAR + bytes(FRAME_MAX_BYTES - len(CAR)))),
        Reason.RECORD_TOO_LARGE,
    )
    yield Bad("the longest that can be written", bytes(longest_value(CAMERA.encode())), Reason.RECORD_TOO_LARGE)


def bad_fields() -> Iterator[Bad]:
    """Frames in Avro whose fields are out of range."""

    def bad(name: str, reason: Reason, **changed: Any) -> Bad:
        broken = frame(**changed)
        return Bad(name, CODEC.encode(broken), reason, camera=broken.camera)

    yield bad("no camera", Reason.CAMERA_EMPTY, camera="")
    yield bad("a camera of blanks", Reason.CAMERA_EMPTY, camera=" \t\n")
    yield bad("a camera of a megabyte", Reason.TEXT_TOO_LONG, camera="x" * MEGABYTE)
    yield bad("a boot of a megabyte", Reason.TEXT_TOO_LONG, boot="é" * (MEGABYTE // 2))
    yield bad("a reading whose name has a megabyte", Reason.TEXT_TOO_LONG, telemetry={"t" * MEGABYTE: 1.0})
    yield bad("a camera that begins with a zero byte", Reason.FIELD_OUT_OF_RANGE, camera="\0v")
    yield bad("a boot that clears the screen", Reason.FIELD_OUT_OF_RANGE, boot="\x1b[2J")
    yield bad("a negative sequence", Reason.FIELD_OUT_OF_RANGE, sequence=-1)
    yield bad("the largest sequence", Reason.FIELD_OUT_OF_RANGE, sequence=LARGEST)
    yield bad("65 readings", Reason.FIELD_OUT_OF_RANGE, telemetry={str(name): 0.0 for name in range(65)})
    yield bad("100,000 readings", Reason.FIELD_OUT_OF_RANGE, telemetry={str(name): 0.0 for name in range(100_000)})
    yield bad("an hour ahead", Reason.CAPTURED_IN_FUTURE, captured_at_ms=now_ms() + 3_600_000)
    yield bad("the largest time", Reason.CAPTURED_IN_FUTURE, captured_at_ms=LARGEST)
    yield bad("eight days old", Reason.CAPTURED_TOO_LONG_AGO, captured_at_ms=now_ms() - 8 * DAY_MS)
    yield bad("time zero", Reason.CAPTURED_TOO_LONG_AGO, captured_at_ms=0)
    yield bad("the smallest time", Reason.CAPTURED_TOO_LONG_AGO, captured_at_ms=-LARGEST)
    yield bad("far behind", Reason.SEQUENCE_TOO_OLD, camera=GOOD, sequence=GOOD_SEQUENCE - 2_048)


def bad_labels() -> Iterator[Bad]:
    """Labels that nobody can mean."""

    def bad(name: str, reason: Reason, value: bytes | None) -> Bad:
        return Bad(name, value, reason, topic="labels")

    yield bad("a label: a tombstone", Reason.UNKNOWN_FORMAT, None)
    yield bad("a label: another record", Reason.WRONG_RECORD, CODEC.encode(frame()))
    yield bad("a label: too long", Reason.RECORD_TOO_LARGE, label(source="s" * MEGABYTE))
    yield bad("a label: an array bomb", Reason.MALFORMED_AVRO, label()[:10] + BOMB)
    yield bad("a label: a class of 201 characters", Reason.TEXT_TOO_LONG, label(label="c" * 201))
    yield bad("a label: no camera", Reason.CAMERA_EMPTY, label(camera=""))
    yield bad("a label: no class", Reason.FIELD_OUT_OF_RANGE, label(label=""))
    yield bad("a label: a negative sequence", Reason.FIELD_OUT_OF_RANGE, label(sequence=-1))
    yield bad("a label: a negative time", Reason.FIELD_OUT_OF_RANGE, label(labelled_at_ms=-1))
    yield bad("a label: a time in seconds", Reason.FIELD_OUT_OF_RANGE, label(labelled_at_ms=now_ms() // 1_000))
    yield bad("a label: a time in nanoseconds", Reason.FIELD_OUT_OF_RANGE, label(labelled_at_ms=now_ms() * 1_000_000))
    yield bad("a label: propensity 0", Reason.FIELD_OUT_OF_RANGE, label(propensity=0.0))
    yield bad("a label: propensity over 1", Reason.FIELD_OUT_OF_RANGE, label(propensity=1.001))
    yield bad("a label: propensity that is no number", Reason.FIELD_OUT_OF_RANGE, label(propensity=float("nan")))
