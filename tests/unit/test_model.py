"""The model contract: what a file says of itself is read back as it was, and each breach has its own sentence."""

import json
from typing import Any, NamedTuple

import numpy as np
import pytest

from catseye.contract.errors import BadModel
from catseye.models import model_file
from catseye.models.model_file import GoldenCrop, ModelSpec

SPEC = ModelSpec(
    name="vehicles",
    classes=("bike", "car", "lorry"),
    height=4,
    width=6,
    mean=(0.5, 0.25, 0.0),
    std=(0.5, 0.25, 1.0),
    temperature=1.5,
    golden=(GoldenCrop(b"\xff\xd8one", (0.5, 0.25, 0.25)), GoldenCrop(b"\xff\xd8two", (0.0, 1.0, 0.0))),
    attribution="Somebody, CC BY 4.0",
    trained={"epochs": 3, "metrics": {"accuracy": 0.5}},
)


class FakePort(NamedTuple):
    """What onnxruntime says of an input or output."""

    name: str
    type: str
    shape: list[int | str | None]


IMAGE = FakePort("image", "tensor(float)", ["n", 3, 4, 6])
LOGITS = FakePort("logits", "tensor(float)", ["n", 3])
FEATURES = FakePort("features", "tensor(float)", ["n", 8])
MAPS = FakePort("activation_maps", "tensor(float)", [None, 3, 2, 2])


def with_metadata(key: str, value: Any) -> dict[str, str]:
    """The metadata of `SPEC`, with one value replaced: text as it is, anything else as JSON."""
    text = value if isinstance(value, str) else json.dumps(value)
    return model_file.spec_to_metadata(SPEC) | {key: text}


def with_input(**changes: Any) -> dict[str, str]:
    """The metadata of `SPEC` with some of its input description replaced."""
    return with_metadata(model_file.INPUT, json.loads(model_file.spec_to_metadata(SPEC)[model_file.INPUT]) | changes)


def with_crop(**changes: Any) -> dict[str, str]:
    """The metadata of `SPEC` with its second golden crop changed."""
    golden = json.loads(model_file.spec_to_metadata(SPEC)[model_file.GOLDEN])
    return with_metadata(model_file.GOLDEN, [golden[0], golden[1] | changes])


def test_a_spec_is_read_back_as_it_was_written() -> None:
    """Metadata holds the whole spec."""
    assert model_file.spec_from_metadata(model_file.spec_to_metadata(SPEC)) == SPEC


def test_names_are_folded_as_labels_are() -> None:
    """Else no label could be of a class with a blank at its end, or with its accents apart."""
    metadata = with_metadata(model_file.CLASSES, ["truck ", "Su\u0308d", "car"]) | {model_file.NAME: " Süd\u00a0"}
    spec = model_file.spec_from_metadata(metadata)
    assert (spec.name, spec.classes) == ("Süd", ("truck", "Süd", "car"))


def test_attribution_and_training_may_be_missing() -> None:
    """A model that somebody brings along needs not say where it comes from."""
    metadata = model_file.spec_to_metadata(SPEC)
    del metadata[model_file.ATTRIBUTION], metadata[model_file.TRAINED]
    spec = model_file.spec_from_metadata(metadata)
    assert (spec.attribution, spec.trained) == ("", {})


@pytest.mark.parametrize(
    "key", [model_file.NAME, model_file.CLASSES, model_file.INPUT, model_file.TEMPERATURE, model_file.GOLDEN]
)
def test_what_is_required_is_named_when_it_is_missing(key: str) -> None:
    """The sentence names the missing key."""
    metadata = model_file.spec_to_metadata(SPEC)
    del metadata[key]
    with pytest.raises(BadModel, match=f"^the model's metadata has no {key}.$"):
        model_file.spec_from_metadata(metadata)


@pytest.mark.parametrize(
    ("metadata", "sentence"),
    [
        (with_metadata(model_file.NAME, " "), "catseye.name is empty."),
        (with_metadata(model_file.CLASSES, "[oops"), "catseye.classes is not JSON: Expecting value"),
        (with_metadata(model_file.CLASSES, "[" * 100_000), "catseye.classes is not JSON: "),
        (with_metadata(model_file.CLASSES, "9" * 5000), "catseye.classes is not JSON: "),
        (with_metadata(model_file.CLASSES, {"a": 1}), "catseye.classes must be a JSON list of names."),
        (with_metadata(model_file.CLASSES, ["a", 1]), "catseye.classes must be a JSON list of names."),
        (with_metadata(model_file.CLASSES, ["a", ""]), "catseye.classes must be a JSON list of names."),
        (with_metadata(model_file.CLASSES, ["a"]), "catseye.classes must have 2 to 10000 names, found 1."),
        (with_metadata(model_file.CLASSES, ["a", "b", "a"]), "catseye.classes names a class twice."),
        (with_metadata(model_file.CLASSES, ["a", "b", "a "]), "catseye.classes names a class twice. Blanks at"),
        (with_metadata(model_file.CLASSES, ["a", "\ufe0f"]), "catseye.classes must be a JSON list of names."),
        (with_metadata(model_file.CLASSES, ["a", "b\u200b"]), "a name in catseye.classes has U+200B ZERO WIDTH SPACE"),
        (with_metadata(model_file.NAME, "m\u202e"), "a name in catseye.name has U+202E RIGHT-TO-LEFT OVERRIDE at 1"),
        (with_metadata(model_file.INPUT, [1]), "catseye.input must be a JSON object with height"),
        (
            with_input(resize="crop"),
            "catseye.input: resize must be 'stretch' or 'center_crop' or 'letterbox', found 'crop'.",
        ),
        (with_input(height=0), "catseye.input: height must be a whole number from 1 to 4096, found 0."),
        (with_input(height=True), "catseye.input: height must be a whole number from 1 to 4096, found True."),
        (with_input(width=2.5), "catseye.input: width must be a whole number from 1 to 4096, found 2.5."),
        (with_input(width=None), "catseye.input: width must be a whole number from 1 to 4096, found None."),
        (with_input(mean=[0, 0]), "catseye.input: mean must be three numbers, found [0, 0]."),
        (with_input(mean=0.5), "catseye.input: mean must be three numbers, found 0.5."),
        (with_input(mean=[0, 0, float("nan")]), "catseye.input: mean must be three numbers, found [0, 0, nan]."),
        (with_input(std=[1, 1, 0]), "catseye.input: std must be three numbers over 0, found [1, 1, 0]."),
        (with_metadata(model_file.TEMPERATURE, 0), "catseye.temperature must be a number over 0, found 0."),
        (with_metadata(model_file.TEMPERATURE, 10**400), "catseye.temperature must be a number over 0, found 1000"),
        (with_metadata(model_file.TEMPERATURE, True), "catseye.temperature must be a number over 0, found True."),
        (with_metadata(model_file.TEMPERATURE, "Infinity"), "catseye.temperature must be a number over 0, found inf."),
        (with_metadata(model_file.GOLDEN, []), "catseye.golden must be a JSON list of at least one crop."),
        (with_metadata(model_file.GOLDEN, {}), "catseye.golden must be a JSON list of at least one crop."),
        (
            with_metadata(model_file.GOLDEN, [1]),
            "catseye.golden: crop 0 must be a JSON object with jpeg and probabilities.",
        ),
        (with_crop(jpeg=3), "catseye.golden: crop 1 must be a JSON object with jpeg and probabilities."),
        (with_crop(jpeg="***"), "catseye.golden: the jpeg of crop 1 is not base64."),
        (with_crop(jpeg="é"), "catseye.golden: the jpeg of crop 1 is not base64."),
        (with_crop(probabilities=1), "catseye.golden: crop 1 must have 3 probabilities from 0 to 1."),
        (with_crop(probabilities=[1.0]), "catseye.golden: crop 1 must have 3 probabilities from 0 to 1."),
        (with_crop(probabilities=[2, 0, 0]), "catseye.golden: crop 1 must have 3 probabilities from 0 to 1."),
        (with_metadata(model_file.TRAINED, []), "catseye.trained must be a JSON object."),
    ],
)
def test_each_breach_has_its_own_sentence(metadata: dict[str, str], sentence: str) -> None:
    """Whoever made the file reads what is wrong and what would be right."""
    with pytest.raises(BadModel) as caught:
        model_file.spec_from_metadata(metadata)
    assert sentence == str(caught.value)[: len(sentence)]


def test_a_graph_may_leave_out_features_and_maps() -> None:
    """Only the logits are required of a model that somebody brings along."""
    assert model_file.check_graph(SPEC, [IMAGE], [LOGITS]) == ("logits",)


def test_a_graph_may_have_outputs_that_the_contract_does_not_know() -> None:
    """They are left alone; the known ones come in the contract's order."""
    unknown = FakePort("depth", "tensor(int64)", [1])
    present = model_file.check_graph(SPEC, [IMAGE], [MAPS, unknown, FEATURES, LOGITS])
    assert present == ("logits", "features", "activation_maps")


@pytest.mark.parametrize(
    ("inputs", "outputs", "sentence"),
    [
        ([], [LOGITS], "the graph must have one input named 'image', found []."),
        ([IMAGE, LOGITS], [LOGITS], "the graph must have one input named 'image', found ['image', 'logits']."),
        ([IMAGE._replace(type="tensor(uint8)")], [LOGITS], "image must be float32, found tensor(uint8)."),
        (
            [IMAGE._replace(shape=["n", 3, 8, 6])],
            [LOGITS],
            "image must have the shape [any, 3, 4, 6], found ['n', 3, 8, 6].",
        ),
        ([IMAGE._replace(shape=["n", 72])], [LOGITS], "image must have the shape [any, 3, 4, 6], found ['n', 72]."),
        (
            [IMAGE._replace(shape=[1, 3, 4, 6])],
            [LOGITS],
            "image must leave the number of crops free, found [1, 3, 4, 6].",
        ),
        ([IMAGE], [FEATURES], "the graph has no output named 'logits', found ['features']."),
        ([IMAGE], [LOGITS._replace(shape=["n", 4])], "logits must have the shape [any, 3], found ['n', 4]."),
        (
            [IMAGE],
            [LOGITS, MAPS._replace(shape=["n", 4, 2, 2])],
            "activation_maps must have the shape [any, 3, any, any], found ['n', 4, 2, 2].",
        ),
    ],
)
def test_a_graph_that_breaks_the_contract_is_refused(
    inputs: list[FakePort], outputs: list[FakePort], sentence: str
) -> None:
    """The sentence says what the contract wants and what the graph has."""
    with pytest.raises(BadModel) as caught:
        model_file.check_graph(SPEC, inputs, outputs)
    assert sentence == str(caught.value)


def test_input_is_planes_of_normalised_rgb() -> None:
    """(pixel / 255 - mean) / std, colours first."""
    crop = np.random.default_rng(1).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    expected = ((crop / 255 - np.array(SPEC.mean)) / np.array(SPEC.std)).transpose(2, 0, 1)
    actual = model_file.to_input([crop, crop[::-1]], SPEC)
    assert (str(actual.dtype), actual.shape) == ("float32", (2, 3, 4, 6))
    np.testing.assert_allclose(actual[0], expected, atol=1e-5)
    np.testing.assert_allclose(actual[1], expected[:, ::-1], atol=1e-5)


def test_smaller_is_made_by_averaging_over_areas() -> None:
    """Every pixel of a crop twice the size has the same weight."""
    crop = np.zeros((8, 12, 3), dtype=np.uint8)
    crop[::2, ::2] = 200
    expected = np.full((4, 6), (50 / 255 - SPEC.mean[0]) / SPEC.std[0], dtype=np.float32)
    np.testing.assert_allclose(model_file.to_input([crop], SPEC)[0, 0], expected, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(2, 3), (2, 12), (8, 3)])
def test_larger_is_made_by_straight_lines(height: int, width: int) -> None:
    """As soon as one side has to grow, neighbours are joined by straight lines: nothing new at the ends."""
    crop = np.zeros((height, width, 3), dtype=np.uint8)
    crop[:, width // 2 :] = 255
    blue = model_file.to_input([crop], SPEC)[0, 2]
    assert (blue.shape, blue.min(), round(float(blue.max()), 5)) == ((4, 6), 0.0, 1.0)


def test_no_crops_make_an_empty_input() -> None:
    """A batch whose crops were all refused needs no special case."""
    assert model_file.to_input([], SPEC).shape == (0, 3, 4, 6)


def test_probabilities_sum_to_one_and_survive_large_logits() -> None:
    """Softmax of logits over temperature, without overflow."""
    actual = model_file.probabilities(np.array([[0, np.log(4), 0], [5000, -5000, 0]], dtype=np.float32), 2.0)
    np.testing.assert_allclose(actual, np.array([[0.25, 0.5, 0.25], [1, 0, 0]]), atol=1e-6)
    assert str(actual.dtype) == "float32"


def test_golden_crops_pass_within_the_tolerance() -> None:
    """The largest difference is given back, so that it can be logged."""
    actual = np.array([[0.5, 0.25, 0.25], [0.01, 0.99, 0.0]], dtype=np.float32)
    assert model_file.check_golden(SPEC, actual) == pytest.approx(0.01, abs=1e-6)


@pytest.mark.parametrize(
    ("actual", "sentence"),
    [
        ([[0.5, 0.25, 0.25]], "golden crops: expected probabilities of shape (2, 3), came (1, 3)."),
        ([[0.5, 0.25, 0.25], [0, np.nan, 0]], "golden crops: a probability that came out is not a finite number."),
        (
            [[0.5, 0.25, 0.25], [0.5, 0.5, 0]],
            "golden crops: a probability of crop 1 is off by 0.5000, allowed is 0.02.",
        ),
    ],
)
def test_golden_crops_that_come_out_otherwise_refuse_the_model(actual: list[list[float]], sentence: str) -> None:
    """A model that does not say here what it said where it was made is not swapped in."""
    with pytest.raises(BadModel) as caught:
        model_file.check_golden(SPEC, np.array(actual, dtype=np.float32))
    assert sentence == str(caught.value)
