"""From a fitted net to the one file that is served, and the proof that both say the same.

The graph is written by torch, then run by onnxruntime on real crops and compared with torch; the golden
probabilities are what onnxruntime says, from the JPEG's bytes on.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray

from catseye.models import model_file
from catseye.models.jpeg import decode_rgb
from catseye.models.model_file import GoldenCrop, ModelSpec
from services.trainer.data import Part
from services.trainer.net import Net, Served

OPSET = 18
"""What onnxruntime 1.14 (2023) and newer read."""

LARGEST_DIFFERENCE = 1e-3
"""Of a logit between torch and onnxruntime: sums in another order differ by about 1e-5."""

_COST_BATCH_CROPS = 4
_COST_REPEATS = 200


class ExportFailed(Exception):
    """The exported graph does not say what the net says; nothing is written."""


def graph_of(net: Net, spec: ModelSpec) -> onnx.ModelProto:
    """The net as an ONNX graph with the inputs and outputs of `catseye.models.model_file`, without metadata."""
    crops = torch.zeros(2, 3, spec.height, spec.width)
    program = torch.onnx.export(
        Served(net).eval(),
        (crops,),
        input_names=[model_file.IMAGE],
        output_names=[model_file.LOGITS, model_file.FEATURES, model_file.ACTIVATION_MAPS],
        dynamic_shapes={"image": {0: torch.export.Dim("crops")}},
        opset_version=OPSET,
        dynamo=True,
        verbose=False,
    )
    graph: onnx.ModelProto = program.model_proto
    without_traces(graph)
    return graph


def without_traces(graph: onnx.ModelProto) -> None:
    """Drop what torch notes of each node: stack traces with the paths of whoever exported."""
    for part in (*graph.graph.node, *graph.graph.value_info, *graph.graph.input, *graph.graph.output):
        del part.metadata_props[:]
        part.doc_string = ""
    del graph.graph.metadata_props[:]


def session_of(graph: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """A session on one core, as a service has it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])


def served_logits(
    session: onnxruntime.InferenceSession, part: Part, spec: ModelSpec, *, batch_crops: int = 64
) -> NDArray[np.float32]:
    """What onnxruntime says of *part*, float32 [N, C]."""
    rows = [
        session.run(
            [model_file.LOGITS], {model_file.IMAGE: model_file.to_input(part.images[start : start + batch_crops], spec)}
        )[0]
        for start in range(0, len(part.images), batch_crops)
    ]
    return np.concatenate(rows)


def check_parity(torch_logits: NDArray[np.float32], onnx_logits: NDArray[np.float32]) -> float:
    """The largest difference of a logit between torch and onnxruntime on the same crops.

    Raises:
        ExportFailed: It is over `LARGEST_DIFFERENCE`, or no number.
    """
    difference = float(np.abs(torch_logits - onnx_logits).max())
    if not difference <= LARGEST_DIFFERENCE:
        raise ExportFailed(f"torch and onnxruntime differ by {difference:.2g} in a logit.")
    return difference


def with_golden(session: onnxruntime.InferenceSession, spec: ModelSpec, jpegs: Sequence[bytes]) -> ModelSpec:
    """*spec* with *jpegs* as golden crops and what onnxruntime says of them."""
    part = Part(tuple(decode_rgb(jpeg) for jpeg in jpegs), np.zeros(len(jpegs), dtype=np.int64))
    chances = model_file.probabilities(served_logits(session, part, spec), spec.temperature)
    golden = tuple(
        GoldenCrop(jpeg, tuple(round(float(chance), 6) for chance in row))
        for jpeg, row in zip(jpegs, chances, strict=True)
    )
    return replace(spec, golden=golden)


def as_bytes(graph: onnx.ModelProto, spec: ModelSpec) -> bytes:
    """The file: *graph* with the metadata of *spec*."""
    del graph.metadata_props[:]
    for key, value in model_file.spec_to_metadata(spec).items():
        graph.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(graph, full_check=True)
    content: bytes = graph.SerializeToString()
    return content


def write(graph: onnx.ModelProto, spec: ModelSpec, out: Path) -> None:
    """Write the file to *out*; a reader sees the old one or the new one, never half."""
    content = as_bytes(graph, spec)
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = out.with_name(out.name + ".unfinished")
    unfinished.write_bytes(content)
    unfinished.replace(out)


def cost_per_crop_ms(session: onnxruntime.InferenceSession, spec: ModelSpec, part: Part) -> float:
    """Milliseconds a crop on one core, without decoding: the fastest of 200 batches of 4.

    The fastest, because other processes can only add to what the net itself takes.
    """
    inputs = model_file.to_input([part.images[place % len(part.images)] for place in range(_COST_BATCH_CROPS)], spec)
    seconds = []
    for _ in range(_COST_REPEATS):
        started_at = time.perf_counter()
        session.run([model_file.LOGITS], {model_file.IMAGE: inputs})
        seconds.append(time.perf_counter() - started_at)
    return min(seconds) * 1000.0 / _COST_BATCH_CROPS
