"""A model file that runs: onnxruntime on the processor, checked against its own golden crops before it serves."""

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from catseye.contract.errors import BadModel, BadRecord
from catseye.models.batches import check_batches, check_rows
from catseye.models.describing import contract_of
from catseye.models.jpeg import decode_rgb
from catseye.models.model_file import (
    ACTIVATION_MAPS,
    FEATURES,
    LOGITS,
    ModelSpec,
    check_golden,
    check_graph,
    probabilities,
    to_input,
    to_logits,
)
from catseye.onnx_files import FAULTS, session_of

EMBEDDING_SIZE = 16
MICRO_BATCH = 16
"""Most frames of one run, unless an operator says otherwise."""

Crop = NDArray[np.uint8]


class Answer(NamedTuple):
    """What a net says of N crops.

    Attributes:
        probabilities: float32 [N, C], calibrated; each row sums to 1.
        embedding: float32 [N, 16], or [N, 0] when the net gives no features.
        maps: float32 [N, C, h, w] class activation maps, or None when the net gives none.
    """

    probabilities: NDArray[np.float32]
    embedding: NDArray[np.float32]
    maps: NDArray[np.float32] | None


class Graph:
    """A graph that runs as its spec says, whatever its golden crops say.

    Args:
        session: It, as `catseye.onnx_files.session_of` gives it.
        spec: How crops become its input, and its output logits.

    Attributes:
        outputs: Names of the contract's outputs that it has, `LOGITS` first.

    Raises:
        BadModel: its inputs or outputs are not as *spec* says.
    """

    def __init__(self, session: ort.InferenceSession, spec: ModelSpec) -> None:
        self._session = session
        self.spec = spec
        self.outputs = check_graph(spec, session.get_inputs(), session.get_outputs())
        self._names = [spec.output_name, *self.outputs[1:]]

    def run(self, inputs: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Outputs of what `to_input` gave, in the order of `outputs`. Raises `BadModel` when it fails over them."""
        size = self.spec.batch
        if not size:
            return self._run(inputs)
        runs = [self._filled_up(inputs[start : start + size]) for start in range(0, len(inputs), size)]
        return [np.concatenate(rows) for rows in zip(*runs, strict=True)]

    def probabilities(self, crops: Sequence[Crop]) -> NDArray[np.float32]:
        """float32 [N, C], calibrated. Raises as `run` does."""
        return probabilities(self.run(to_input(crops, self.spec))[0], self.spec.temperature)

    def _filled_up(self, inputs: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """Outputs of at most `spec.batch` crops: the last one is repeated until the batch is full."""
        missing = self.spec.batch - len(inputs)
        full = np.concatenate([inputs, inputs[-1:].repeat(missing, axis=0)]) if missing else inputs
        return [rows[: len(inputs)] for rows in self._run(full)]

    def _run(self, inputs: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        try:
            rows: list[NDArray[np.float32]] = self._session.run(self._names, {self.spec.input_name: inputs})
        except FAULTS as fault:
            raise BadModel(f"the net fails for {len(inputs)} crops: {str(fault)[:300]}") from fault
        check_rows(self._names, rows, len(inputs))
        return [to_logits(rows[0], self.spec), *rows[1:]]


class Net:
    """A loaded model.

    Args:
        onnx: The file.
        threads: Threads of one run, 1 or more.
        micro_batch: Most crops that will be classified at once.

    Raises:
        BadModel: it breaks the contract of `catseye.models.model_file`, its weights lie elsewhere, its golden crops
            come out differently, or a crop comes out otherwise in company than alone.
    """

    def __init__(self, onnx: bytes, threads: int = 1, micro_batch: int = MICRO_BATCH) -> None:
        session = session_of(onnx, threads)
        self.spec = contract_of(
            session.get_modelmeta().custom_metadata_map, session.get_inputs(), session.get_outputs()
        )
        self._graph = Graph(session, self.spec)
        try:
            golden = [decode_rgb(crop.jpeg) for crop in self.spec.golden]
        except BadRecord as fault:
            raise BadModel(f"a golden crop cannot be decoded: {fault}") from fault
        inputs = to_input(golden, self.spec)
        check_golden(self.spec, probabilities(self._graph.run(inputs)[0], self.spec.temperature))
        check_batches(self._graph.run, self._graph.outputs, inputs, micro_batch)

    def predict(self, crops: Sequence[Crop]) -> Answer:
        """Classify RGB crops of any sizes, uint8 [h, w, 3] each. Raises `BadModel` when the net fails over them."""
        found = dict(zip(self._graph.outputs, self._graph.run(to_input(crops, self.spec)), strict=True))
        features = found.get(FEATURES)
        embedding = (
            np.zeros((len(crops), 0), np.float32) if features is None else features @ projection(features.shape[1])
        )
        return Answer(probabilities(found[LOGITS], self.spec.temperature), embedding, found.get(ACTIVATION_MAPS))


@lru_cache(maxsize=8)
def projection(size: int) -> NDArray[np.float32]:
    """The fixed projection of *size* features to 16 numbers: random signs over the root of *size*.

    Signs come from a hash, so that every version of every library makes the same ones (Achlioptas, 2003,
    "Database-friendly random projections").
    """
    bits = b"".join(blake2b(b"catseye projection %d" % row, digest_size=2).digest() for row in range(size))
    signs = np.unpackbits(np.frombuffer(bits, np.uint8)).reshape(size, EMBEDDING_SIZE).astype(np.float32) * 2 - 1
    return signs / np.float32(np.sqrt(size))
