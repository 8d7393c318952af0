"""What stands on the state topic: values of `JoinState` behind their format numbers.

In memory values have no number: a waiting prediction costs no byte more. Values from before numbers are known by their
length, by their first byte, or, predictions of shadows and labels that wait, by byte 7, the top byte of a
time: 00 or ff. Since then a byte stands there that no time has; later formats keep it.
"""

from typing import Final

from catseye.runtime.state_format import Format, Unnumbered, same_body

PREDICTION, SHADOW, EARLY, BOOT, MODEL, SIGHTING = (
    b"p",
    b"s",
    b"e",
    b"l",
    b"m",
    b"t",
)  # first byte of a key on the state topic
NUMBER: Final = b"\x01"
_MARK: Final = b"\x5a"
_MARK_AT: Final = 7  # in a value: 6 in its body


def _with_mark(what: str) -> Format[bytes]:
    def written(known: bytes) -> bytes:
        return known[: _MARK_AT - 1] + _MARK + known[_MARK_AT - 1 :]

    def read(body: bytes) -> bytes:
        return body[: _MARK_AT - 1] + body[_MARK_AT:]

    before = Unnumbered(lambda value: value[_MARK_AT : _MARK_AT + 1] in (b"\x00", b"\xff"), bytes)
    return Format("ground_truth", what, write=written, readers={1: read}, unnumbered=before)


FORMATS: Final = {
    PREDICTION: same_body("ground_truth", "a prediction that waits", lambda value: len(value) % 2 == 0),
    SHADOW: _with_mark("a prediction of a shadow"),
    EARLY: _with_mark("a label that waits"),
    BOOT: same_body("ground_truth", "the mark of a boot", lambda value: len(value) in (8, 16)),
    MODEL: same_body("ground_truth", "a model", lambda value: value[:1] == b"\x93"),
    SIGHTING: same_body("ground_truth", "what is known of an object", lambda _value: False),
}
"""By the first byte of the key."""


def as_written(key: bytes, known: bytes | None) -> bytes | None:
    """What is known under *key* as it stands on the topic; None where it is removed."""
    if known is None:
        return None
    # Nearly all are predictions: their format written out costs a fifth of the calls.
    return NUMBER + known if key[:1] == PREDICTION else FORMATS[key[:1]].write(known)


def as_known(key: bytes, value: bytes | None) -> bytes | None:
    """What stands on the topic as it is known. Raises `Misconfigured` where it is of a format from the future."""
    if value is None:
        return None
    if value[:1] == NUMBER and len(value) % 2 and key[:1] == PREDICTION:
        return value[1:]
    return FORMATS[key[:1]].read(value)
