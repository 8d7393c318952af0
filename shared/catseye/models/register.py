"""Register a model file: check, sign, keep and announce it."""

from catseye import clock
from catseye.contract.codec import Codec
from catseye.contract.identity import digest
from catseye.contract.records import ModelEvent, Stage
from catseye.models import signing
from catseye.models.announce import announce
from catseye.models.check import check_file
from catseye.models.net import Net
from catseye.models.signing import key_folder
from catseye.models.store import ArtifactStore
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
    decision_id: str | None = None,
) -> ModelEvent:
    """Check, sign, keep and announce a model file; its version is the start of its hash.

    Args:
        settings: Where broker, store and key are.
        codec: Writes the event.
        onnx: The file.
        stage: What it is to be.
        by: Who says so.
        because: Why.
        decision_id: Decision of the retrain trigger that it answers; said twice, that is one event.

    Raises:
        BadModel: the file breaks the contract.
        Misconfigured: there is no key to sign it with.
        Unavailable: the broker or the store does not answer.
    """
    check_file(onnx)
    name = Net(onnx).spec.name
    address = store_of(settings).put(onnx)
    version = address[:12]
    event = ModelEvent(
        event_id=digest("training", decision_id) if decision_id else digest("model", name, version, stage, because),
        model=name,
        version=version,
        stage=stage,
        sha256=address,
        signature=signing.sign(address, key_folder(settings)),
        because=because,
        by=by,
        at_ms=clock.now_ms(),
        decision_id=decision_id,
    )
    announce(settings, codec, event)
    return event
