"""A worse model is the same file with noise: it keeps the contract, says other things, and always the same ones."""

from functools import cache
from pathlib import Path

import pytest

from catseye.contract.errors import BadModel
from catseye.models.jpeg import decode_rgb
from catseye.models.net import Net
from infra.local.worse_model import AGREES, Crop, worse

EXAMPLE = Path(__file__).parents[2] / "infra" / "example"
GOOD = (EXAMPLE / "vehicles.onnx").read_bytes()


@cache
def crops() -> tuple[list[Crop], list[str]]:
    """Some of each class, with their classes."""
    files = [file for folder in sorted((EXAMPLE / "crops").iterdir()) for file in sorted(folder.glob("*.jpg"))[:4]]
    return [decode_rgb(file.read_bytes()) for file in files], [file.parent.name for file in files]


def test_a_worse_model_errs_and_keeps_the_contract() -> None:
    """Its golden crops are its own, so that it can be registered; the same seed makes the same file."""
    pictures, labels = crops()
    bad = worse(GOOD, pictures, seed=3)
    net, good = Net(bad), Net(GOOD)
    assert (net.spec.name, net.spec.classes) == (good.spec.name, good.spec.classes)
    reported, should = (each.predict(pictures).probabilities.argmax(axis=1) for each in (net, good))
    assert (reported == should).mean() <= AGREES
    right = [net.spec.classes[place] == label for place, label in zip(reported, labels, strict=True)]
    assert sum(right) / len(right) < 0.85
    assert worse(GOOD, pictures, seed=3) == bad


def test_a_model_without_weights_cannot_be_made_worse() -> None:
    """It says so."""
    with pytest.raises(BadModel, match="no float weights"):
        worse(b"\x08\x09", [])
