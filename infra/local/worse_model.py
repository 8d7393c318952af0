"""Makes a worse model of a good one: the same file with noise on its weights, for demos of what happens then.

The demo's environment has no `onnx`: weights are changed where they stand (`catseye.models.onnx_fields`).
"""

import json
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from catseye.contract.errors import BadModel
from catseye.models.jpeg import decode_rgb
from catseye.models.model_file import GOLDEN, ModelSpec, spec_from_metadata, spec_to_metadata
from catseye.models.net import Graph
from catseye.models.onnx_fields import GRAPH, fields, with_metadata
from catseye.onnx_files import session_of

Crop = NDArray[np.uint8]
AGREES: Final = 0.75
"""Share of crops on which the worse model still says the same, at most."""
STEPS: Final = 24
_FIRST_NOISE: Final = 0.05
_GROWTH: Final = 1.25
_FLOAT: Final = 1
_INITIALIZER: Final = 5  # of GraphProto, in onnx.proto
_DIMENSION, _TYPE, _RAW = 1, 2, 9  # of TensorProto


def worse(onnx: bytes, crops: Sequence[Crop], seed: int = 1) -> bytes:
    """The model file with just so much noise that it contradicts itself on a quarter of *crops* or more.

    Raises:
        BadModel: it has no weights that noise could be put on, or none helps.
    """
    places = list(_weights(onnx))
    if not places:
        raise BadModel("the model has no float weights that could be made worse")
    spec = spec_from_metadata(session_of(onnx).get_modelmeta().custom_metadata_map)
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
    return with_metadata(onnx, {GOLDEN: json.dumps(golden)})


def _answers(onnx: bytes, crops: Sequence[Crop], spec: ModelSpec) -> NDArray[np.float32]:
    return Graph(session_of(onnx), spec).probabilities(crops)


def _weights(onnx: bytes) -> Iterator[tuple[int, int]]:
    """Where the raw bytes of each float tensor of two or more dimensions stand."""
    for graph in fields(onnx, 0, len(onnx)):
        if graph.number != GRAPH:
            continue
        for tensor in fields(onnx, graph.body, graph.end):
            if tensor.number != _INITIALIZER:
                continue
            parts = list(fields(onnx, tensor.body, tensor.end))
            is_float = any(part.number == _TYPE and part.value == _FLOAT for part in parts)
            if is_float and sum(part.number == _DIMENSION for part in parts) > 1:
                yield from ((part.body, part.end) for part in parts if part.number == _RAW)
