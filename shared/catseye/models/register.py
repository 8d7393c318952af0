"""Hand a model file in: check, sign and keep it, and ask rollout to register it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from catseye import clock
from catseye.contract.codec import Codec
from catseye.contract.identity import digest
from catseye.contract.records import ModelCommand, ModelEvent, Stage
from catseye.models import signing
from catseye.models.ask import WAIT_S, answers, ask, first_champion
from catseye.models.check import check_file
from catseye.models.net import Net
from catseye.models.signing import key_folder
from catseye.models.store import ArtifactStore

if TYPE_CHECKING:
    from catseye.settings import Settings


def store_of(settings: Settings) -> ArtifactStore:
    return ArtifactStore(settings.artifacts_url or f"file://{(settings.data_dir / 'artifacts').resolve()}")


def register(
    settings: Settings,
    codec: Codec,
    onnx: bytes,
    stage: Stage,
    *,
    by: str,
    because: str,
    wait_s: float = WAIT_S,
    owner: str | None = None,
) -> ModelEvent:
    """Hand a model file in, and wait until rollout has registered it.

    Args:
        settings: Where broker, store and key are.
        codec: Writes the command.
        onnx: The file.
        stage: What it is to be: candidate or champion.
        by: Who says so.
        because: Why.
        wait_s: For rollout, seconds.
        owner: Who answers for the model; None: nobody is named.

    Raises:
        BadModel: the file breaks the contract.
        Misconfigured: there is no key to sign it with.
        Unavailable: the broker, the store or rollout does not answer.
    """
    command = handed_in(settings, onnx, stage, by=by, because=because, owner=owner)
    ask(settings, codec, command)
    (event,) = answers(settings, command, wait_s)
    return event


def register_first(
    settings: Settings, codec: Codec, onnx: bytes, *, by: str, because: str, wait_s: float = WAIT_S
) -> ModelEvent:
    """Have a new fleet predict by a file: it is champion unless another version is so when rollout comes to it.

    Args:
        settings: Where broker, store and key are.
        codec: Writes the command.
        onnx: The file.
        by: Who says so.
        because: Why.
        wait_s: For rollout, seconds.

    Returns:
        The event that made the fleet's first champion, this file or another.

    Raises:
        BadModel, Misconfigured, Unavailable: as `register`.
    """
    command = replace(handed_in(settings, onnx, "champion", by=by, because=because), only_as_first=True)
    ask(settings, codec, command)
    return first_champion(settings, command, wait_s)


def handed_in(
    settings: Settings,
    onnx: bytes,
    stage: Stage,
    *,
    by: str,
    because: str,
    decision_id: str | None = None,
    owner: str | None = None,
) -> ModelCommand:
    """Check, sign and keep a model file; its version is the start of its hash.

    Args:
        settings: Where store and key are.
        onnx: The file.
        stage: What it is to be: candidate or champion.
        by: Who says so.
        because: Why.
        decision_id: Decision of the retrain trigger that it answers; however often that is said, it is one command.
        owner: Who answers for the model; None: nobody is named.

    Returns:
        The command that is to be written.

    Raises:
        BadModel: the file breaks the contract.
        Misconfigured: there is no key to sign it with.
        Unavailable: the store does not answer.
    """
    check_file(onnx)
    name = Net(onnx).spec.name
    address, at_ms = store_of(settings).put(onnx), clock.now_ms()
    version = address[:12]
    return ModelCommand(
        command_id=(
            answer_id(decision_id) if decision_id else digest("register", name, version, stage, by, because, at_ms)
        ),
        action="register",
        model=name,
        version=version,
        stage=stage,
        sha256=address,
        signature=signing.sign(address, key_folder(settings)),
        decision_id=decision_id,
        reason=because,
        by=by,
        at_ms=at_ms,
        owner=owner,
    )


def answer_id(decision_id: str) -> str:
    """Id of the command that answers a decision of the retrain trigger: one, whoever answers it and how often."""
    return digest("training", decision_id)
