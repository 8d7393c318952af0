"""What a command about a model leads to, or why it cannot be carried out. Pure.

Rollout decides by it, at the moment at which the command is carried out; the command line looks by it beforehand, so
that a person who asks for something impossible is told at once.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from catseye.contract.errors import BadRecord, Reason
from catseye.contract.identity import digest
from catseye.contract.names import check_words, name_of
from catseye.contract.records import ModelCommand, ModelEvent, Stage
from catseye.models.stages import Stages, Version

_BY_HAND = "said by hand"
_SHA256_DIGITS = 64


@dataclass(frozen=True, kw_only=True)
class KnownModels:
    """What is known of all models.

    Attributes:
        newest: The newest event of each version.
        champions: Versions that were champion of all cameras, of any name: who is so now first, then the newest first;
            empty while there was none.
        awaiting: Versions that were found better and that a person has to approve.
    """

    newest: Mapping[Version, ModelEvent] = field(default_factory=dict)
    champions: Sequence[Version] = ()
    awaiting: Collection[Version] = ()

    @property
    def champion(self) -> Version | None:
        """Who predicts all cameras that have no canary; None for nobody."""
        return self.champions[0] if self.champions else None


def known_models(events: Iterable[ModelEvent]) -> KnownModels:
    """What the events of the `models` topic say, all of them, oldest first."""
    stages = Stages()
    for event in events:
        stages.on_event(event)
    newest = stages.newest()
    awaiting = [version for version, event in newest.items() if _awaits_approval(event)]
    return KnownModels(newest=newest, champions=stages.champions(), awaiting=awaiting)


def carried_out(known: KnownModels, command: ModelCommand, at_ms: int) -> list[ModelEvent]:
    """The events that *command* leads to, in their order; none for a first champion where there was one before.

    Args:
        known: Of all models.
        command: What is asked for.
        at_ms: When it is carried out, Unix milliseconds.

    Raises:
        BadRecord: it cannot be carried out; says why.
    """
    check_words(command.by, command.reason)
    match command.action:
        case "register":
            registered = _registered(known, command, at_ms)
            # Decided here and not by who asks: another champion may be on its way to rollout when they look.
            return [] if command.only_as_first and known.champion else [registered]
        case "promote" | "approve":
            return [_promoted(known, command, at_ms)]
        case "reject":
            return [_rejected(known, command, at_ms)]
        case _:  # roll_back
            return _rolled_back(known, command, at_ms)


def _registered(known: KnownModels, command: ModelCommand, at_ms: int) -> ModelEvent:
    version, stage, sha256 = command.version, command.stage, command.sha256
    if not command.model or not version:
        raise _refused("a model is registered by its name and its version, and the command lacks one of them")
    for what, text in (("the model's name", command.model), ("the version", version)):
        _check_name(what, text)
    if command.owner is not None:
        _check_name("the owner", command.owner)
    if stage not in ("candidate", "champion", "rejected"):
        raise _refused(f"a version is registered as candidate, champion or rejected, not as {stage}")
    if stage == "rejected":
        if (command.model, version) == known.champion:
            raise _refused(_serves(known.champion))
    elif sha256 is None or len(sha256) != _SHA256_DIGITS or not command.signature:
        raise _refused(f"{command.model} {version} cannot be {stage} without the hash of its file and a signature")
    return ModelEvent(
        event_id=_event_id(command, (command.model, version), stage),
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
        owner=command.owner,
    )


def _check_name(what: str, text: str) -> None:
    try:
        folded = name_of(what, text)
    except BadRecord as fault:
        raise _refused(fault.detail) from fault
    if folded != text:
        raise _refused(f"{what} is {text!a}; it is registered as {folded!r}")


def _promoted(known: KnownModels, command: ModelCommand, at_ms: int) -> ModelEvent:
    chosen = _meant(known, command)
    if chosen == known.champion:
        raise _refused(f"{_named(chosen)} is the champion already")
    if command.action == "approve" and chosen not in known.awaiting:
        raise _refused(f"{_named(chosen)} waits for no approval")
    previous = known.champion[1] if known.champion else None
    return _step(known.newest[chosen], command, "champion", at_ms, previous=previous)


def _rejected(known: KnownModels, command: ModelCommand, at_ms: int) -> ModelEvent:
    chosen = _meant(known, command)
    if chosen == known.champion:
        raise _refused(_serves(chosen))
    if known.newest[chosen].stage == "rejected":
        raise _refused(f"{_named(chosen)} is rejected already")
    return _step(known.newest[chosen], command, "rejected", at_ms)


def _rolled_back(known: KnownModels, command: ModelCommand, at_ms: int) -> list[ModelEvent]:
    """The champion before as champion, and the champion as rejected; they may be of two names."""
    champion = known.champion
    if champion is None:
        raise _refused(f"{command.model or 'the register'} has no champion: there is nothing to roll back")
    if command.model not in ("", champion[0]):
        raise _refused(
            f"{command.model} has no champion: {_named(champion)} is champion of all cameras, and a rollback is of that"
        )
    if command.version not in (None, champion[1]):
        raise _refused(f"{champion[0]} {command.version} is not the champion any more: {champion[1]} is")
    standing = [version for version in known.champions[1:] if known.newest[version].stage != "rejected"]
    if not standing:
        raise _refused(f"{_named(champion)} has no champion before it that was not rejected: promote another one")
    return [
        _step(known.newest[standing[0]], command, "champion", at_ms, previous=champion[1]),
        _step(known.newest[champion], command, "rejected", at_ms),
    ]


def _meant(known: KnownModels, command: ModelCommand) -> Version:
    """The version that *command* names."""
    version = command.model, command.version or ""
    if version not in known.newest:
        raise _refused(f"{command.model} has no version {command.version}")
    return version


def _step(
    newest: ModelEvent, command: ModelCommand, stage: Stage, at_ms: int, *, previous: str | None = None
) -> ModelEvent:
    """The next event of a version; what is known of its making stays on it."""
    return replace(
        newest,
        event_id=_event_id(command, (newest.model, newest.version), stage),
        stage=stage,
        previous_version=previous,
        because=command.reason or _BY_HAND,
        by=command.by,
        at_ms=at_ms,
        cameras=[],
        metrics={},
        command_id=command.command_id,
    )


def _event_id(command: ModelCommand, version: Version, stage: str) -> str:
    return digest("command", command.command_id, *version, stage)


def _named(version: Version) -> str:
    return " ".join(version)


def _serves(version: Version) -> str:
    return (
        f"{_named(version)} is the champion: `catseye models rollback` puts the one before in its place, "
        "`catseye models promote VERSION` another"
    )


def _awaits_approval(event: ModelEvent) -> bool:
    return event.stage == "shadow" and event.because.startswith("approval:")


def _refused(why: str) -> BadRecord:
    return BadRecord(Reason.COMMAND_REFUSED, why)
