"""What a command about a model leads to, or why it cannot be carried out. Pure.

Rollout decides by it, at the moment at which the command is carried out; the command line looks by it beforehand, so
that a person who asks for something impossible is told at once.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from catseye.contract.errors import BadRecord, Reason
from catseye.contract.identity import digest
from catseye.contract.records import ModelCommand, ModelEvent, Stage

_GONE: tuple[Stage, ...] = ("rejected", "retired")
_BY_HAND = "said by hand"
_SHA256_DIGITS = 64


@dataclass(frozen=True, kw_only=True)
class KnownModel:
    """What is known of one model.

    Attributes:
        name: Its name.
        newest: The newest event of each version.
        champion: Version that is champion of all cameras; empty while there is none.
        former: Those that were champion before, the newest first.
        awaits_approval: Version that was found better and that a person has to approve; empty while there is none.
    """

    name: str
    newest: Mapping[str, ModelEvent] = field(default_factory=dict)
    champion: str = ""
    former: Sequence[str] = ()
    awaits_approval: str = ""


def known_models(events: Iterable[ModelEvent]) -> dict[str, KnownModel]:
    """What the events of the `models` topic say of each model, by its name.

    Args:
        events: Of all models, oldest first.
    """
    newest: dict[str, dict[str, ModelEvent]] = {}
    champions: dict[str, list[str]] = {}
    for event in events:
        own = newest.setdefault(event.model, {})
        before = own.get(event.version)
        if event.stage == "candidate" and before is not None and before.stage not in _GONE:
            own[event.version] = replace(event, stage=before.stage)  # handed in once more, it stays what it became
        else:
            own[event.version] = event
        if event.stage == "champion" and not event.cameras:
            made = champions.setdefault(event.model, [])
            champions[event.model] = [event.version, *(version for version in made if version != event.version)]
    return {
        name: KnownModel(
            name=name,
            newest=own,
            champion=(champions.get(name) or [""])[0],
            former=champions.get(name, [])[1:],
            awaits_approval=next((version for version, event in own.items() if _awaits_approval(event)), ""),
        )
        for name, own in newest.items()
    }


def carried_out(known: KnownModel, command: ModelCommand, at_ms: int) -> list[ModelEvent]:
    """The events that *command* leads to, in their order.

    Args:
        known: Of the model that it names.
        command: What is asked for.
        at_ms: When it is carried out, Unix milliseconds.

    Raises:
        BadRecord: it cannot be carried out; says why.
    """
    match command.action:
        case "register":
            return [_registered(known, command, at_ms)]
        case "promote" | "approve":
            return [_promoted(known, command, at_ms)]
        case "reject":
            return [_rejected(known, command, at_ms)]
        case _:  # roll_back
            return _rolled_back(known, command, at_ms)


def _registered(known: KnownModel, command: ModelCommand, at_ms: int) -> ModelEvent:
    version, stage, sha256 = command.version, command.stage, command.sha256
    if not command.model or not version:
        raise _refused("a model is registered by its name and its version, and the command lacks one of them")
    if stage not in ("candidate", "champion", "rejected"):
        raise _refused(f"a version is registered as candidate, champion or rejected, not as {stage}")
    if stage == "rejected":
        if version == known.champion:
            raise _refused(_serves(known, version))
    elif sha256 is None or len(sha256) != _SHA256_DIGITS or not command.signature:
        raise _refused(f"{known.name} {version} cannot be {stage} without the hash of its file and a signature")
    return ModelEvent(
        event_id=_event_id(command, version, stage),
        model=command.model,
        version=version,
        stage=stage,
        sha256=sha256 or "",
        signature=command.signature or b"",
        because=command.reason or _BY_HAND,
        by=command.by,
        at_ms=at_ms,
        metrics=command.metrics,
        dataset_sha256=command.dataset_sha256,
        decision_id=command.decision_id,
        command_id=command.command_id,
    )


def _promoted(known: KnownModel, command: ModelCommand, at_ms: int) -> ModelEvent:
    chosen = _meant(known, command)
    if chosen.version == known.champion:
        raise _refused(f"{known.name} {chosen.version} is the champion already")
    if command.action == "approve" and chosen.version != known.awaits_approval:
        raise _refused(f"{known.name} {chosen.version} waits for no approval")
    return _step(chosen, command, "champion", at_ms, previous=known.champion or None)


def _rejected(known: KnownModel, command: ModelCommand, at_ms: int) -> ModelEvent:
    chosen = _meant(known, command)
    if chosen.version == known.champion:
        raise _refused(_serves(known, chosen.version))
    if chosen.stage == "rejected":
        raise _refused(f"{known.name} {chosen.version} is rejected already")
    return _step(chosen, command, "rejected", at_ms)


def _rolled_back(known: KnownModel, command: ModelCommand, at_ms: int) -> list[ModelEvent]:
    """The champion before as champion, and the champion as rejected."""
    name, champion = known.name, known.champion
    if not champion:
        raise _refused(f"{name} has no champion: there is nothing to roll back")
    if command.version not in (None, champion):
        raise _refused(f"{name} {command.version} is not the champion any more: {champion} is")
    standing = [version for version in known.former if known.newest[version].stage != "rejected"]
    if not standing:
        raise _refused(f"{name} {champion} has no champion before it that was not rejected: promote another one")
    return [
        _step(known.newest[standing[0]], command, "champion", at_ms, previous=champion),
        _step(known.newest[champion], command, "rejected", at_ms),
    ]


def _meant(known: KnownModel, command: ModelCommand) -> ModelEvent:
    """The newest event of the version that *command* names."""
    found = known.newest.get(command.version or "")
    if found is None:
        raise _refused(f"{known.name} has no version {command.version}")
    return found


def _step(
    newest: ModelEvent, command: ModelCommand, stage: Stage, at_ms: int, *, previous: str | None = None
) -> ModelEvent:
    """The next event of a version; what is known of its making stays on it."""
    return replace(
        newest,
        event_id=_event_id(command, newest.version, stage),
        stage=stage,
        previous_version=previous,
        because=command.reason or _BY_HAND,
        by=command.by,
        at_ms=at_ms,
        cameras=[],
        metrics={},
        command_id=command.command_id,
    )


def _event_id(command: ModelCommand, version: str, stage: Stage) -> str:
    return digest("command", command.command_id, command.model, version, stage)


def _serves(known: KnownModel, version: str) -> str:
    return (
        f"{known.name} {version} is the champion: `catseye models rollback` puts the one before in its place, "
        "`catseye models promote VERSION` another"
    )


def _awaits_approval(event: ModelEvent) -> bool:
    return event.stage == "shadow" and event.because.startswith("approval:")


def _refused(why: str) -> BadRecord:
    return BadRecord(Reason.COMMAND_REFUSED, why)
