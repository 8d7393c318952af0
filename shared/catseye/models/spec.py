"""What a model file says of itself, as a value. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple, Protocol

IMAGE: Final = "image"
LOGITS: Final = "logits"
FEATURES: Final = "features"
ACTIVATION_MAPS: Final = "activation_maps"

Resize = Literal["stretch", "center_crop", "letterbox"]
RESIZES: Final[tuple[Resize, ...]] = ("stretch", "center_crop", "letterbox")
STRETCH: Final[Resize] = "stretch"
Layout = Literal["NCHW", "NHWC"]
Channels = Literal["RGB", "BGR"]
Kind = Literal["logits", "probabilities"]
LAYOUTS: Final[tuple[Layout, ...]] = ("NCHW", "NHWC")
CHANNELS: Final[tuple[Channels, ...]] = ("RGB", "BGR")
KINDS: Final[tuple[Kind, ...]] = ("logits", "probabilities")


class GoldenCrop(NamedTuple):
    """A real JPEG and what the model says of it: tests decoding, resizing, the net and softmax in one go."""

    jpeg: bytes
    probabilities: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What a model file says of itself.

    Args:
        name: The model's name, the same for all of its versions.
        classes: Names of the classes in the order of the logits; at least two, all different.
        height: Input height in pixels, 1 to 4096.
        width: Input width in pixels, 1 to 4096.
        mean: Of red, green and blue (of blue, green and red where *channels* is BGR), on the scale 0 to 1.
        std: Likewise, over 0.
        temperature: Logits are divided by it before softmax (Guo et al., 2017, "On Calibration of Modern Neural
            Networks"); over 0, 1 changes nothing.
        golden: At least one crop with the probabilities that belong to it.
        resize: How a crop becomes height x width; see `catseye.models.resizing.resized`.
        attribution: Whom to name for the training frames and under which licence.
        trained: Code version, dataset hash, parameters and metrics, as JSON values.
        short_side: Of resize center_crop: what the shorter side becomes first, pixels; 0 covers height and width.
        fill: Of resize letterbox: grey level of the bars, 0 to 255.
        layout: Order of the input's axes.
        channels: Order of the input's colours.
        input_name: What the graph calls its input.
        batch: Crops of each run, 1 to 1024; 0 is any number. A batch that is not full is filled up.
        output_name: What the graph calls its output.
        output_kind: What it gives there; of probabilities the logarithm stands in for logits.
    """

    name: str
    classes: tuple[str, ...]
    height: int
    width: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    temperature: float
    golden: tuple[GoldenCrop, ...]
    resize: Resize = STRETCH
    attribution: str = ""
    trained: Mapping[str, Any] = field(default_factory=dict)
    short_side: int = 0
    fill: int = 0
    layout: Layout = "NCHW"
    channels: Channels = "RGB"
    input_name: str = IMAGE
    batch: int = 0
    output_name: str = LOGITS
    output_kind: Kind = "logits"

    def has_plain_ends(self) -> bool:
        """Whether the graph takes ``image``, [N, 3, H, W] for any N, and gives ``logits``."""
        ends = (self.input_name, self.layout, self.batch, self.output_name, self.output_kind)
        return ends == (IMAGE, "NCHW", 0, LOGITS, "logits")


class Port(Protocol):
    """An input or output of a graph, as onnxruntime's ``get_inputs`` and ``get_outputs`` describe it."""

    @property
    def name(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def shape(self) -> Sequence[int | str | None]: ...
