"""Makes a worse model of a good one: the same file with noise on its weights, for demos of what happens then.

The demo's environment has no `onnx`: the few fields that matter are found by Protocol Buffers' wire format (keys and
lengths as varints; developers.google.com/protocol-buffers/docs/encoding) and changed where they stand.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from catseye.contract.errors import BadModel
from catseye.models.jpeg import decode_rgb
from catseye.models.model_file import (
    GOLDEN,
    IMAGE,
    LOGITS,
    ModelSpec,
    probabilities,
    spec_from_metadata,
    spec_to_metadata,
    to_input,
)

Crop = NDArray[np.uint8]
AGREES: Final = 0.75
"""Share of crops on which the worse model still says the same, at most."""
STEPS: Final = 24
_FIRST_NOISE: Final = 0.05
_GROWTH: Final = 1.25
_FLOAT: Final = 1
_GRAPH, _METADATA = 7, 14  # fields of ModelProto, in onnx.proto
_INITIALIZER: Final = 5  # of GraphProto
_DIMENSION, _TYPE, _RAW = 1, 2, 9  # of TensorProto
_VARINT, _LENGTH, _FIXED_BYTES = 0, 2, {1: 8, 5: 4}


class Field(NamedTuple):
    """One field of a message.

    Attributes:
        number: As its `.proto` says.
        value: A varint's number; 0 of what has bytes.
        start: Where the key begins.
        body: Where the bytes begin.
        end: Behind the last byte.
    """

    number: int
    value: int
    start: int
    body: int
    end: int


def worse(onnx: bytes, crops: Sequence[Crop], seed: int = 1) -> bytes:
    """The model file with just so much noise that it contradicts itself on a quarter of *crops* or more.

    Raises:
        BadModel: it has no weights that noise could be put on, or none helps.
    """
    places = list(_weights(onnx))
    if not places:
        raise BadModel("the model has no float weights that could be made worse")
    spec = spec_from_metadata(_session(onnx).get_modelmeta().custom_metadata_map)
    good = _answers(onnx, crops, spec).argmax(axis=1)
    chance = np.random.default_rng(seed)
    noises = [chance.standard_normal((end - start) // 4, np.float32) for start, end in places]
    for step in range(STEPS):
        noisy = _with_noise(onnx, places, noises, _FIRST_NOISE * _GROWTH**step)
        if (_answers(noisy, crops, spec).argmax(axis=1) == good).mean() <= AGREES:
            return _with_golden(noisy, spec)
    raise BadModel("the model says the same whatever noise is put on its weights")


def _with_noise(
    onnx: bytes, places: Sequence[tuple[int, int]], noises: Sequence[NDArray[np.float32]], share: float
) -> bytes:
    """Noise of *share* of the spread of each tensor."""
    changed = bytearray(onnx)
    for (start, end), noise in zip(places, noises, strict=True):
        weights = np.frombuffer(onnx[start:end], "<f4")
        changed[start:end] = (weights + share * weights.std() * noise).astype("<f4").tobytes()
    return bytes(changed)


def _with_golden(onnx: bytes, spec: ModelSpec) -> bytes:
    """The file with what it says itself of its golden crops: the contract asks for that."""
    answers = _answers(onnx, [decode_rgb(crop.jpeg) for crop in spec.golden], spec)
    golden = json.loads(spec_to_metadata(spec)[GOLDEN])
    for crop, chances in zip(golden, answers.tolist(), strict=True):
        crop["probabilities"] = chances
    entry = _text(1, GOLDEN) + _text(2, json.dumps(golden))
    kept = [
        onnx[field.start : field.end]
        for field in _fields(onnx, 0, len(onnx))
        if field.number != _METADATA or not onnx[field.body : field.end].startswith(_text(1, GOLDEN))
    ]
    return b"".join([*kept, _key(_METADATA, _LENGTH), _varint(len(entry)), entry])


def _session(onnx: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])


def _answers(onnx: bytes, crops: Sequence[Crop], spec: ModelSpec) -> NDArray[np.float32]:
    (logits,) = _session(onnx).run([LOGITS], {IMAGE: to_input(crops, spec)})
    return probabilities(logits, spec.temperature)


def _weights(onnx: bytes) -> Iterator[tuple[int, int]]:
    """Where the raw bytes of each float tensor of two or more dimensions stand."""
    for graph in _fields(onnx, 0, len(onnx)):
        if graph.number != _GRAPH:
            continue
        for tensor in _fields(onnx, graph.body, graph.end):
            if tensor.number != _INITIALIZER:
                continue
            parts = list(_fields(onnx, tensor.body, tensor.end))
            is_float = any(part.number == _TYPE and part.value == _FLOAT for part in parts)
            if is_float and sum(part.number == _DIMENSION for part in parts) > 1:
                yield from ((part.body, part.end) for part in parts if part.number == _RAW)


def _fields(message: bytes, at: int, end: int) -> Iterator[Field]:
    while at < end:
        start = at
        key, at = _read_varint(message, at)
        kind, value = key & 7, 0
        body = at
        if kind == _VARINT:
            value, at = _read_varint(message, at)
        elif kind == _LENGTH:
            length, body = _read_varint(message, at)
            at = body + length
        else:
            at += _FIXED_BYTES[kind]
        yield Field(key >> 3, value, start, body, at)


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = message[at]
        number |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return number, at


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


def _key(number: int, kind: int) -> bytes:
    return _varint(number << 3 | kind)


def _text(number: int, text: str) -> bytes:
    content = text.encode()
    return _key(number, _LENGTH) + _varint(len(content)) + content
