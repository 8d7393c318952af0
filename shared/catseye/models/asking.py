"""The command about a model that a person means, if it can be carried out as the register stands. Pure."""

from collections.abc import Iterable, Sequence

from catseye.contract.errors import BadRecord, Misconfigured
from catseye.contract.identity import digest
from catseye.contract.records import ModelAction, ModelCommand, ModelEvent, TrainingRequest
from catseye.models.commands import KnownModels, carried_out, known_models
from catseye.models.stages import Version, champion_in

_AT_LEAST = 4  # characters of a version that must be given


def asked(
    events: Sequence[ModelEvent],
    action: ModelAction,
    version: str,
    model: str | None,
    *,
    because: str = "",
    by: str,
    at_ms: int,
) -> ModelCommand:
    """The command that a person means, if it can be carried out as the register stands.

    Args:
        events: Of all models, oldest first.
        action: What is to be done.
        version: First characters of a version; empty for the champion.
        model: Name of the model; None where *version* tells, or the champion is meant.
        because: Why; may be empty.
        by: Who asks.
        at_ms: Unix milliseconds.

    Raises:
        Misconfigured: nothing or several things are meant, or it cannot be done; says why.
    """
    known = known_models(events)
    name, exact = _champion_of(known, model) if action == "roll_back" else _version_of(known, version, model)
    command = ModelCommand(
        command_id=digest(action, name, exact or "", by, because, at_ms),
        action=action,
        model=name,
        version=exact,
        seen_event_id=events[-1].event_id if events else None,
        reason=because,
        by=by,
        at_ms=at_ms,
    )
    try:
        carried_out(known, command, at_ms)
    except BadRecord as fault:
        raise Misconfigured(fault.detail) from fault
    return command


def request(events: Iterable[ModelEvent], by: str, reason: str, now_ms: int) -> TrainingRequest:
    """What a person asks for, of the model of the champion. Raises `Misconfigured` while there is no champion.

    Args:
        events: Of all models, oldest first.
        by: Who asks.
        reason: Why; may be empty.
        now_ms: Unix milliseconds.
    """
    champion = champion_in(events)
    if champion is None:
        raise Misconfigured(
            "no model is champion yet, so there is none to train on: "
            "`catseye models register FILE --stage champion` names one"
        )
    return TrainingRequest(
        request_id=digest("request", champion.model, by, now_ms, reason),
        model=champion.model,
        reason=reason,
        by=by,
        at_ms=now_ms,
    )


def _version_of(known: KnownModels, version: str, model: str | None) -> Version:
    """Name and version of the one version that *version* begins. Raises `Misconfigured` for none or several."""
    all_ = [each for each in known.newest if model in (None, each[0])]
    exact = [found for found in all_ if found[1] == version]
    found = exact or [found for found in all_ if len(version) >= _AT_LEAST and found[1].startswith(version)]
    if not found:
        raise Misconfigured(f"no version begins with {version}; `catseye models list` shows them")
    if len(found) > 1:
        raise Misconfigured(f"{len(found)} versions begin with {version}: give more of it, or --model")
    return found[0]


def _champion_of(known: KnownModels, model: str | None) -> tuple[str, str | None]:
    """The champion, if it is of *model*; else that name, so that the command is refused with the reason."""
    if known.champion is not None and model in (None, known.champion[0]):
        return known.champion
    return model or "", None
