"""`catseye train`: what a person asks for, and how the answer reads."""

import pytest
from msgspec.structs import replace

from catseye.cli.train import sentence
from catseye.contract.errors import Misconfigured
from catseye.models.asking import request
from tests.unit.test_retrain_trigger import START_MS, Trigger, event


def test_a_request_names_the_champion_and_the_person() -> None:
    """By its model, and two requests of one person are two."""
    events = [event("v1", "champion", 0), event("v2", "champion", 1), event("v3", "candidate", 2)]
    asked = request(events, "ada", "snow", START_MS)
    assert (asked.model, asked.by, asked.reason, asked.at_ms) == ("vehicles", "ada", "snow", START_MS)
    assert request(events, "ada", "snow", START_MS + 1).request_id != asked.request_id
    assert request(events, "ada", "", START_MS).reason == ""
    other = [*events, replace(event("w1", "champion", 3), model="lorries")]
    assert request(other, "ada", "snow", START_MS).model == "lorries"


def test_without_a_champion_nobody_can_ask() -> None:
    """A candidate is none."""
    with pytest.raises(Misconfigured, match="no model is champion yet"):
        request([event("v1", "candidate", 0)], "ada", "", START_MS)


def test_the_trigger_answers_what_the_command_asks() -> None:
    """No for want of labels, then yes."""
    trigger = Trigger()
    trigger.state.on_request(request([event("v1", "champion", 0)], "ada", "snow", START_MS))
    (no,) = trigger.evaluate()
    assert sentence(no).startswith("no training: too few labels (ada asked for it; 0 fresh labels of all cameras")
    trigger.labelled("a", {"car": 15, "bus": 5})
    trigger.state.on_request(request([event("v1", "champion", 0)], "ada", "snow", START_MS + 1))
    (yes,) = trigger.evaluate()
    assert sentence(yes) == f"a training starts: {yes.decision_id} ({yes.detail})"
    assert yes.because == "request"
