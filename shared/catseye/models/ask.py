"""Ask rollout for something about a model, and wait for the event that answers. It needs a broker and no model: who
rolls back may have nothing that runs one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from catseye.client import subscribe
from catseye.contract.codec import Codec
from catseye.contract.errors import Unavailable
from catseye.contract.records import ModelCommand, ModelEvent
from catseye.kafka.producing import produce

if TYPE_CHECKING:
    from catseye.settings import Settings

WAIT_S: Final = 30.0
"""How long an answer is waited for where nobody says otherwise."""


def ask(settings: Settings, codec: Codec, command: ModelCommand) -> None:
    """Write *command* and wait until the broker has it. Raises `Unavailable`."""
    produce(settings, codec, "model.commands", command)


def answers(settings: Settings, command: ModelCommand, wait_s: float = WAIT_S) -> list[ModelEvent]:
    """The events that *command* led to.

    Args:
        settings: Where the broker is.
        command: That was written.
        wait_s: For each of them, seconds.

    Raises:
        Unavailable: rollout does not answer in time.
    """
    expected = 2 if command.action == "roll_back" else 1
    found: list[ModelEvent] = []
    with subscribe("models", from_="beginning", timeout_s=wait_s, settings=settings) as events:
        for event in events:
            if event.command_id == command.command_id:
                found.append(event)
            if len(found) == expected:
                return found
    raise _no_answer(command, wait_s)


def first_champion(settings: Settings, command: ModelCommand, wait_s: float = WAIT_S) -> ModelEvent:
    """The event that made a version champion first: that of *command*, which is `only_as_first`, or an earlier one.

    The register has one order, so the first champion in it tells which of the two it was.

    Args:
        settings: Where the broker is.
        command: That was written.
        wait_s: For each event, seconds.

    Raises:
        Unavailable: rollout does not answer in time.
    """
    with subscribe("models", from_="beginning", timeout_s=wait_s, settings=settings) as events:
        first: ModelEvent | None = next((event for event in events if event.stage == "champion"), None)
    if first is None:
        raise _no_answer(command, wait_s)
    return first


def _no_answer(command: ModelCommand, wait_s: float) -> Unavailable:
    return Unavailable(
        f"rollout did not answer within {wait_s:g} s: is it up? The command {command.command_id} stands; "
        "`catseye dead list` shows it if it was refused"
    )
