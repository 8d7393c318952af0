"""What has to be said of a graph that was made elsewhere, and which command says it. Pure.

All that is missing is found in one go: who brings a file along gets one answer and one command.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from catseye.contract.errors import BadModel
from catseye.models.metadata import CLASSES, INPUT, NAME, Faults, classes_in, input_in, spec_from_metadata
from catseye.models.model_file import check_graph
from catseye.models.spec import LOGITS, Channels, Kind, Layout, ModelSpec, Port, Resize

FILE, OUT = "FILE", "OUT"
"""In a command that is named: the file that it is about, and the one that it writes."""
_FEW = 12  # classes that are spelled out in a command


class InputShape(NamedTuple):
    """What a graph's input says of itself; 0 is any.

    Attributes:
        layout: Order of the axes; NCHW where the graph does not say.
        height: Pixels.
        width: Pixels.
        batch: Crops of a run.
    """

    layout: Layout
    height: int
    width: int
    batch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a person says of a graph; None and empty is what it says itself.

    Args:
        name: Of the model.
        classes: Names in the order of the output.
        size: Height and width of the input, pixels.
        mean: As `ModelSpec` has it.
        std: Likewise.
        resize: Likewise.
        short_side: Likewise.
        fill: Likewise.
        layout: Likewise.
        channels: Likewise.
        batch: Likewise.
        output: What the graph calls its output.
        kind: What it gives there.
        temperature: As `ModelSpec` has it.
        attribution: Likewise.
    """

    name: str
    classes: tuple[str, ...] = ()
    size: tuple[int, int] | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    resize: Resize = "stretch"
    short_side: int = 0
    fill: int = 0
    layout: Layout | None = None
    channels: Channels = "RGB"
    batch: int | None = None
    output: str | None = None
    kind: Kind | None = None
    temperature: float = 1.0
    attribution: str = ""


def contract_of(metadata: Mapping[str, str], inputs: Sequence[Port], outputs: Sequence[Port]) -> ModelSpec:
    """What a model file says of itself, once its graph is as it says.

    Raises:
        BadModel: All that is missing or wrong, and the command that writes it.
    """
    faults = Faults()
    spec = faults.tried(spec_from_metadata, metadata)
    if spec is None:
        faults.found += _beyond_words(inputs, outputs)
    else:
        faults.tried(check_graph, spec, inputs, outputs)
    if not faults.found:
        assert spec is not None
        return spec
    raise BadModel(
        f"{' '.join(faults.found)} `{command(metadata, inputs, outputs)}` writes what a file must say of itself; "
        "the words in capitals are yours to fill in, and a --preset knows mean, std and size."
    )


def command(metadata: Mapping[str, str], inputs: Sequence[Port], outputs: Sequence[Port]) -> str:
    """The command that describes a file, filled in as far as the file says what it needs."""
    known = Faults()
    classes = (known.tried(classes_in, metadata) if CLASSES in metadata else None) or ()
    given = (known.tried(input_in, metadata) if INPUT in metadata else None) or {}
    shape = input_shape(inputs[0]) if len(inputs) == 1 else None
    size = (given.get("height") or (shape and shape.height), given.get("width") or (shape and shape.width))
    parts = {
        "--classes": ",".join(classes) or _placeholders(outputs),
        "--size": f"{size[0]}x{size[1]}" if all(size) else "HxW",
        "--mean": ",".join(f"{value:g}" for value in given.get("mean", ())) or "R,G,B",
        "--std": ",".join(f"{value:g}" for value in given.get("std", ())) or "R,G,B",
        "--golden": "DIR",
        "-o": OUT,
    }
    if metadata.get(NAME, "").strip():
        parts = {"--name": metadata[NAME], **parts}
    return f"catseye models describe {FILE} " + " ".join(
        f"{option} {_quoted(value)}" for option, value in parts.items()
    )


def spec_for(wanted: Wanted, inputs: Sequence[Port], outputs: Sequence[Port], golden_count: int) -> ModelSpec:
    """The spec of a graph, without golden crops; what it gives counts as logits unless *wanted* says so.

    Args:
        wanted: What a person says of it.
        inputs: What it takes.
        outputs: What it gives.
        golden_count: Golden crops that there are.

    Raises:
        BadModel: All that the graph does not say and nobody has said, or that cannot be.
    """
    faults = Faults()
    faults.found += _beyond_words(inputs, outputs)
    shape = input_shape(inputs[0]) if len(inputs) == 1 else None
    count = len(wanted.classes)
    output = faults.tried(_output_of, wanted, outputs)
    if not count:
        has = class_count(output) if output else 0
        many = f"its {has} " if has else ""
        faults.found.append(f"--classes is missing: the names of {many}classes, in the order of its output.")
    elif output and class_count(output) not in (0, count):
        faults.found.append(f"--classes has {count} names, and the output {output.name!r} gives {class_count(output)}.")
    if wanted.mean is None or wanted.std is None:
        faults.found.append("--mean and --std are missing, or a --preset that knows them.")
    size = wanted.size or ((shape.height, shape.width) if shape and shape.height and shape.width else None)
    if size is None and shape is not None:
        faults.found.append("--size is missing: the graph takes any height and width.")
    if not golden_count:
        faults.found.append("--golden is missing: a folder with some real crops, JPEG.")
    if wanted.short_side and size and wanted.short_side < max(size):
        faults.found.append(f"--short-side must be at least {max(size)}.")
    faults.end()
    assert shape is not None
    assert output is not None
    assert size is not None
    assert wanted.mean is not None
    assert wanted.std is not None
    fixed = output.shape[0] if isinstance(output.shape[0], int) else 0
    spec = ModelSpec(
        name=wanted.name,
        classes=wanted.classes,
        height=size[0],
        width=size[1],
        mean=wanted.mean,
        std=wanted.std,
        temperature=wanted.temperature,
        golden=(),
        resize=wanted.resize,
        attribution=wanted.attribution,
        short_side=wanted.short_side,
        fill=wanted.fill,
        layout=wanted.layout or shape.layout,
        channels=wanted.channels,
        input_name=inputs[0].name,
        batch=(shape.batch or fixed) if wanted.batch is None else wanted.batch,
        output_name=output.name,
        output_kind=wanted.kind or "logits",
    )
    check_graph(spec, inputs, outputs)
    return spec


def input_shape(port: Port) -> InputShape | None:
    """What an input says of itself; None where it is no batch of pictures in three colours."""
    if len(port.shape) != 4:
        return None
    batch, *sides = [side if isinstance(side, int) else 0 for side in port.shape]
    if sides[0] == 3 or (sides[0] == 0 and sides[2] != 3):
        return InputShape("NCHW", sides[1], sides[2], batch)
    return InputShape("NHWC", sides[0], sides[1], batch) if sides[2] == 3 else None


def class_count(port: Port) -> int:
    """How many classes an output has a number for; 0 where it does not say."""
    last = port.shape[-1] if port.shape else 0
    return last if isinstance(last, int) else 0


def _beyond_words(inputs: Sequence[Port], outputs: Sequence[Port]) -> list[str]:
    """What no description mends: the graph is not one of a classifier of colour pictures."""
    found = []
    if len(inputs) != 1:
        found.append(f"the graph must have one input, found {[port.name for port in inputs]}.")
    for port in inputs[:1]:
        if port.type != "tensor(float)":
            found.append(f"{port.name} must be float32, found {port.type}: export the net without its own conversion.")
        if input_shape(port) is None:
            found.append(f"{port.name} must be [N, 3, H, W] or [N, H, W, 3], found {list(port.shape)}.")
    if not _candidates(outputs):
        shapes = {port.name: (port.type, list(port.shape)) for port in outputs}
        found.append(f"no output is float32 [N, classes], found {shapes}.")
    return found


def _candidates(outputs: Sequence[Port]) -> list[Port]:
    return [port for port in outputs if port.type == "tensor(float)" and len(port.shape) == 2]


def _output_of(wanted: Wanted, outputs: Sequence[Port]) -> Port | None:
    candidates = _candidates(outputs)
    if wanted.output is not None:
        candidates = [port for port in candidates if port.name == wanted.output]
        if not candidates:
            raise BadModel(f"--output {wanted.output} is no output of float32 [N, classes] of the graph.")
    named = [port for port in candidates if port.name == LOGITS]
    fitting = [port for port in candidates if class_count(port) == len(wanted.classes)]
    for found in (named, candidates, fitting):
        if len(found) == 1:
            return found[0]
    if candidates:
        raise BadModel(f"--output is missing: which of {', '.join(port.name for port in candidates)} has the classes.")
    return None  # `_beyond_words` has said so


def _placeholders(outputs: Sequence[Port]) -> str:
    counts = {class_count(port) for port in _candidates(outputs)}
    count = counts.pop() if len(counts) == 1 else 0
    if not count > 1:
        return "A,B,…"
    return ",".join(f"CLASS_{place}" for place in range(count)) if count <= _FEW else f"A_FILE_OF_{count}_LINES"


def _quoted(value: str) -> str:
    return f"'{value}'" if any(sign in value for sign in " '\"()&|;<>*?$`") else value
