"""Start drift: settings, core, worker."""

from catseye.contract.alert_kinds import require_known
from catseye.contract.codec import Codec
from catseye.runtime.heartbeats import Problems
from catseye.runtime.service import run
from services.drift import NAME, READS, WRITES
from services.drift.core import DriftCore
from services.drift.fault_rules import ALARMS
from services.drift.rules import Rules
from services.drift.settings import DriftSettings


def build(settings: DriftSettings, _codec: Codec, _logger: object, _problems: Problems) -> DriftCore:
    require_known((*ALARMS, "camera_moved"))
    return DriftCore(rules_of(settings), settings.topic_prefix)


def rules_of(settings: DriftSettings) -> Rules:
    """The settings as the core takes them."""
    return Rules(
        reference_samples=settings.drift_reference_samples,
        reference_span_ms=int(settings.drift_reference_span_h * 3_600_000),
        telemetry_span_ms=int(settings.drift_telemetry_span_h * 3_600_000),
        false_per_week=settings.drift_false_incidents_per_week,
        fleet_cameras=settings.drift_fleet_cameras,
        partitions=settings.partitions,
        night=settings.drift_night_brightness,
        tolerance_probability=settings.drift_tolerance_probability,
        tolerance_rank=settings.drift_tolerance_rank,
        tolerance_accuracy=settings.drift_tolerance_accuracy,
        tolerance_loss_share=settings.drift_tolerance_loss_share,
        tolerance_new_phase=settings.drift_tolerance_new_phase,
        accuracy_floor=settings.drift_accuracy_floor,
        latency_ms=settings.drift_latency_s * 1_000,
        clock_skew_ms=settings.drift_clock_skew_s * 1_000,
        statistics_ms=int(settings.drift_statistics_s * 1_000),
        detectors=settings.drift_detectors,
        detectors_run_length=settings.drift_detectors_run_length,
    )


if __name__ == "__main__":
    run(NAME, READS, WRITES, DriftSettings, build)
