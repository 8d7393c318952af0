"""Start rollout: settings, core, worker."""

from catseye.client import subscribe
from catseye.contract.codec import Codec
from catseye.contract.errors import BadRecord, Misconfigured
from catseye.contract.names import camera_of
from catseye.runtime.heartbeats import Problems
from catseye.runtime.service import run
from services.rollout import BATCHES, NAME, WRITES
from services.rollout.core import RolloutCore
from services.rollout.settings import RolloutSettings
from services.rollout.verdict import Rules

_HOUR_MS = 3_600_000


def build(settings: RolloutSettings, _codec: Codec, _logger: object, _problems: Problems) -> RolloutCore:
    with subscribe("models", from_="beginning", until_end=True, settings=settings) as register:
        return RolloutCore(rules_of(settings), list(register))


def rules_of(settings: RolloutSettings) -> Rules:
    """The settings as the core has them, in milliseconds."""
    try:
        cameras = [camera_of(name) for name in settings.rollout_canary_cameras.split(",") if name.strip()]
    except BadRecord as fault:
        raise Misconfigured(f"CATSEYE_ROLLOUT_CANARY_CAMERAS: {fault.detail}") from fault
    return Rules(
        alpha=settings.rollout_alpha,
        reject_alpha=settings.rollout_reject_alpha,
        margin=settings.rollout_margin,
        tolerance=settings.rollout_tolerance,
        stratum_tolerance=settings.rollout_stratum_tolerance,
        least_propensity=settings.rollout_least_propensity,
        labels_min=settings.rollout_labels_min,
        labels_max=settings.rollout_labels_max,
        shadow_max_ms=round(settings.rollout_shadow_max_h * _HOUR_MS),
        probation_labels=settings.rollout_probation_labels,
        probation_max_ms=round(settings.rollout_probation_max_h * _HOUR_MS),
        approval=settings.rollout_approval,
        canary_cameras=tuple(cameras),
        canary_ms=round(settings.rollout_canary_h * _HOUR_MS),
    )


if __name__ == "__main__":
    run(NAME, BATCHES, WRITES, RolloutSettings, build)
