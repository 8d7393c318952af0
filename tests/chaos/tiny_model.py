"""A model that costs next to nothing: the mean colour of a crop times fixed weights. For tests of delivery."""

import numpy as np
import onnx
from numpy.typing import NDArray
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

SIDE = 32


def tiny_model(classes: tuple[str, ...], golden_jpeg: bytes) -> bytes:
    """An ONNX file that keeps the contract of `catseye.models.model_file`.

    Args:
        classes: Names of its classes.
        golden_jpeg: Any crop; the file will hold what the net says of it.
    """
    weights = np.random.default_rng(0).normal(size=(3, len(classes))).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", [IMAGE], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], [FEATURES]),
            helper.make_node("MatMul", [FEATURES, "weights"], [LOGITS]),
        ],
        "tiny",
        [helper.make_tensor_value_info(IMAGE, TensorProto.FLOAT, ["n", 3, SIDE, SIDE])],
        [
            helper.make_tensor_value_info(LOGITS, TensorProto.FLOAT, ["n", len(classes)]),
            helper.make_tensor_value_info(FEATURES, TensorProto.FLOAT, ["n", 3]),
        ],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    bare = ModelSpec("tiny", classes, SIDE, SIDE, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), 1.0, ())
    features: NDArray[np.float32] = to_input([decode_rgb(golden_jpeg)], bare).mean(axis=(2, 3))
    chances = probabilities(features @ weights, bare.temperature)[0]
    spec = ModelSpec(
        bare.name,
        classes,
        SIDE,
        SIDE,
        bare.mean,
        bare.std,
        bare.temperature,
        (GoldenCrop(golden_jpeg, tuple(chances.tolist())),),
    )
    for key, value in spec_to_metadata(spec).items():
        model.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content
