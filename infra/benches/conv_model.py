"""Models of a wanted cost: stacks of convolutions that keep the contract of
`catseye.models.model_file` and have learnt nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from catseye.models.jpeg import decode_rgb
from catseye.models.model_file import (
    FEATURES,
    IMAGE,
    LOGITS,
    GoldenCrop,
    ModelSpec,
    probabilities,
    spec_to_metadata,
    to_input,
)
from catseye.models.net import Crop, Net

SIDE = 100
CHANNELS = 32
STRIDE = 8  # leaves 13 x 13 places: a layer then costs some hundredths of a millisecond, fine enough to aim with
CLASSES = ("one", "other", "third")
_TRIALS = 9


def conv_model(layers: int, golden_jpeg: bytes) -> bytes:
    """An ONNX file: a convolution that makes 13 x 13 places of 100 x 100, *layers* of 3 x 3 over 32 channels, a sum.

    Args:
        layers: 0 or more.
        golden_jpeg: Any crop; the file will hold what the net says of it.
    """
    chance = np.random.default_rng(0)
    shapes = [(CHANNELS, 3, STRIDE, STRIDE), *[(CHANNELS, CHANNELS, 3, 3)] * layers]
    nodes, weights = [], []
    last = IMAGE
    for nth, shape in enumerate(shapes):
        # He et al., 2015, "Delving Deep into Rectifiers": however deep, numbers neither vanish nor explode.
        drawn = chance.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape).astype(np.float32)
        weights.append(numpy_helper.from_array(drawn, f"weights{nth}"))
        step, edge = (STRIDE, 2) if nth == 0 else (1, 1)
        read = [last, f"weights{nth}"]
        nodes.append(helper.make_node("Conv", read, [f"sums{nth}"], strides=[step] * 2, pads=[edge] * 4))
        nodes.append(helper.make_node("Relu", [f"sums{nth}"], [f"layer{nth}"]))
        last = f"layer{nth}"
    weights.append(numpy_helper.from_array(chance.normal(size=(CHANNELS, len(CLASSES))).astype(np.float32), "last"))
    nodes += [
        helper.make_node("GlobalAveragePool", [last], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], [FEATURES]),
        helper.make_node("MatMul", [FEATURES, "last"], [LOGITS]),
    ]
    outputs = {LOGITS: len(CLASSES), FEATURES: CHANNELS}
    graph = helper.make_graph(
        nodes,
        "convolutions",
        [helper.make_tensor_value_info(IMAGE, TensorProto.FLOAT, ["n", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", size]) for name, size in outputs.items()],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    for key, value in _metadata(model, f"conv-{layers}", golden_jpeg).items():
        model.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def _metadata(model: onnx.ModelProto, name: str, golden_jpeg: bytes) -> dict[str, str]:
    """What the file says of itself, with what the net says of the golden crop."""

    def spec(golden: tuple[GoldenCrop, ...]) -> ModelSpec:
        return ModelSpec(name, CLASSES, SIDE, SIDE, (0.45, 0.45, 0.45), (0.22, 0.22, 0.22), 1.0, golden)

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (logits,) = session.run([LOGITS], {IMAGE: to_input([decode_rgb(golden_jpeg)], spec(()))})
    return spec_to_metadata(spec((GoldenCrop(golden_jpeg, tuple(probabilities(logits, 1.0)[0].tolist())),)))


def crop_cost_ms(onnx_file: bytes, crops: Sequence[Crop]) -> float:
    """CPU time of one crop, decoded already, in one run of the net over *crops*; the fastest of nine, milliseconds."""
    net = Net(onnx_file)
    spent_ns = []
    for _ in range(_TRIALS):
        began_ns = time.process_time_ns()
        net.predict(crops)
        spent_ns.append(time.process_time_ns() - began_ns)
    return min(spent_ns) / len(crops) / 1e6


def model_of_cost(wanted_ms: float, jpegs: Sequence[bytes]) -> bytes:
    """A model whose crops cost about *wanted_ms* of this core.

    Two depths are measured, and what is wanted is read off the line through them.

    Args:
        wanted_ms: Milliseconds a crop, in runs of as many crops as *jpegs* has.
        jpegs: Crops of the net's own size.
    """
    crops = [decode_rgb(jpeg) for jpeg in jpegs]
    few, many = 2, 26
    least_ms, most_ms = (crop_cost_ms(conv_model(layers, jpegs[0]), crops) for layers in (few, many))
    a_layer_ms = (most_ms - least_ms) / (many - few)
    return conv_model(max(0, round(few + (wanted_ms - least_ms) / a_layer_ms)), jpegs[0])
