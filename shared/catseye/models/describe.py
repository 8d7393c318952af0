"""Writes what a model file must say of itself into one that was made elsewhere."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from catseye.contract.errors import BadModel
from catseye.models.describing import Wanted, spec_for
from catseye.models.jpeg import decode_rgb
from catseye.models.metadata import spec_to_metadata
from catseye.models.model_file import is_probabilities, to_input
from catseye.models.net import Graph, Net
from catseye.models.onnx_fields import with_metadata
from catseye.models.spec import GoldenCrop, ModelSpec
from catseye.onnx_files import session_of


class Described(NamedTuple):
    """A file that says all that it must.

    Attributes:
        onnx: It.
        spec: What it says.
        predicted: Class of each golden crop.
    """

    onnx: bytes
    spec: ModelSpec
    predicted: tuple[str, ...]


def described(onnx: bytes, wanted: Wanted, golden: Sequence[bytes]) -> Described:
    """The file with its metadata, and proof that it can serve: it was loaded as a service loads it.

    Args:
        onnx: Any ONNX classifier of pictures; its graph stays as it is.
        wanted: What a person says of it.
        golden: At least one JPEG that ingest would let in.

    Raises:
        BadModel: It cannot be loaded, something is missing, or it would be refused all the same.
    """
    session = session_of(onnx)
    spec = spec_for(wanted, session.get_inputs(), session.get_outputs(), len(golden))
    crops = [decode_rgb(jpeg) for jpeg in golden]
    rows = Graph(session, replace(spec, output_kind="logits")).run(to_input(crops, spec))[0]
    if rows.shape[1:] != (len(spec.classes),):
        raise BadModel(
            f"--classes has {len(spec.classes)} names, and the output {spec.output_name!r} gives {rows.shape[1]}."
        )
    if not np.isfinite(rows).all():
        raise BadModel(f"{spec.output_name} has numbers that are none for a golden crop: are --mean and --std right?")
    if wanted.kind is None and is_probabilities(rows):
        spec = replace(spec, output_kind="probabilities")
    chances = Graph(session, spec).probabilities(crops)
    spec = replace(
        spec,
        golden=tuple(
            GoldenCrop(jpeg, tuple(round(chance, 6) for chance in row))
            for jpeg, row in zip(golden, chances.tolist(), strict=True)
        ),
    )
    content = with_metadata(onnx, spec_to_metadata(spec))
    Net(content)
    return Described(content, spec, tuple(spec.classes[place] for place in chances.argmax(axis=1).tolist()))
