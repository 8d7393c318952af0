"""The lifecycle of an alert: a table that says all, and nothing that it does not say."""

import pytest

from services.incidents.lifecycle import OVER, TRANSITIONS, LifecycleEvent, LifecycleState, is_written, next_state

COMMANDS = {LifecycleEvent.ACKNOWLEDGE, LifecycleEvent.SUPPRESS, LifecycleEvent.UNSUPPRESS}
WITHOUT_ALERT = {LifecycleState.WAITING, LifecycleState.BLOCKED}
STEPS = [(state, event) for state, events in TRANSITIONS.items() for event in events]


def test_every_state_is_reached_from_the_first() -> None:
    """And none follows on an end."""
    reached, left = set[LifecycleState](), {LifecycleState.WAITING}
    while left:
        reached |= left
        left = {after for state in left for after in TRANSITIONS.get(state, {}).values()} - reached
    assert reached == set(LifecycleState)
    assert set(TRANSITIONS) == set(LifecycleState) - set(OVER)


def test_whatever_is_under_way_can_end() -> None:
    """With a record where there was one before, and without where there was none."""
    for state in TRANSITIONS:
        over = next_state(state, LifecycleEvent.ENDED)
        assert over is (LifecycleState.DROPPED if state in WITHOUT_ALERT else LifecycleState.RESOLVED)
        assert is_written(state, LifecycleEvent.ENDED) is (over is LifecycleState.RESOLVED)


def test_a_person_may_command_every_alert_and_is_always_answered() -> None:
    """An alert that did not open yet has no id to command it by."""
    for state, events in TRANSITIONS.items():
        assert COMMANDS & set(events) == (set() if state in WITHOUT_ALERT else COMMANDS)
        assert all(is_written(state, event) for event in COMMANDS & set(events))


def test_a_step_that_readers_cannot_see_is_not_written() -> None:
    """Those before it opened, and one kind of quiet that follows on the other."""
    silent = {step for step in STEPS if not is_written(*step)}
    assert silent == {
        (LifecycleState.WAITING, LifecycleEvent.FAULT),
        (LifecycleState.WAITING, LifecycleEvent.ENDED),
        (LifecycleState.BLOCKED, LifecycleEvent.FAULT_OVER),
        (LifecycleState.BLOCKED, LifecycleEvent.ENDED),
        (LifecycleState.SUPPRESSED, LifecycleEvent.FAULT),
    }


@pytest.mark.parametrize("state", [*LifecycleState])
def test_a_step_that_the_table_does_not_have_is_a_bug(state: LifecycleState) -> None:
    """Of the caller: nothing is guessed."""
    for event in LifecycleEvent:
        if event not in TRANSITIONS.get(state, {}):
            with pytest.raises(KeyError):
                next_state(state, event)


def test_a_person_s_word_outlasts_a_fault() -> None:
    """What was seen comes back as seen, and what is suppressed is not opened by the end of a fault."""
    held = LifecycleState.HELD_BACK
    assert next_state(held, LifecycleEvent.ACKNOWLEDGE) is held
    assert next_state(held, LifecycleEvent.FAULT_OVER_AS_SEEN) is LifecycleState.ACKNOWLEDGED
    assert next_state(held, LifecycleEvent.SUPPRESS) is LifecycleState.SUPPRESSED
    assert LifecycleEvent.FAULT_OVER not in TRANSITIONS[LifecycleState.SUPPRESSED]
