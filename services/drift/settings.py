"""What an operator can turn on drift."""

from pydantic import Field, field_validator

from catseye.contract.errors import Misconfigured
from catseye.settings import Settings
from services.drift.detector_choice import streams_of
from services.drift.detectors.registry import make


class DriftSettings(Settings):
    """How much is learned before anything is claimed, how rarely a false alarm may come, and what counts as a fault."""

    transaction_interval_ms: float = Field(
        default=2_000,
        ge=0,
        description="As the common setting: the state of each camera that was seen is written once in it, milliseconds",
    )
    drift_reference_samples: int = Field(
        default=1_000, ge=100, le=60_000, description="Frames, and labels, that a reference is made of, per phase"
    )
    drift_reference_span_h: float = Field(
        default=168,
        ge=0,
        description="Shortest time that a reference covers: Sunday is not Monday, and few false alarms are promised "
        "for what a reference has seen, hours",
    )
    drift_telemetry_span_h: float = Field(
        default=24,
        ge=0,
        description="Time a reference must cover before device telemetry is watched: boxes warm with the day, hours",
    )
    drift_false_incidents_per_week: float = Field(
        default=1.0, gt=0, description="False alarms that the whole fleet may have in a week of no change"
    )
    drift_fleet_cameras: int = Field(
        default=0, ge=0, description="Cameras that share the false alarms of the fleet; 0 counts those that are seen"
    )
    drift_night_brightness: float = Field(
        default=0.18, gt=0, lt=1, description="Mean brightness, 0 to 1, under which it is night: each has its reference"
    )
    drift_tolerance_probability: float = Field(
        default=0.02, ge=0, lt=1, description="Change of a mean probability that is tolerated"
    )
    drift_tolerance_rank: float = Field(
        default=0.05, ge=0, lt=0.5, description="Change of a mean rank within the reference that is tolerated"
    )
    drift_tolerance_accuracy: float = Field(
        default=0.02, ge=0, lt=1, description="Loss of accuracy that is tolerated, at most"
    )
    drift_tolerance_loss_share: float = Field(
        default=0.2,
        ge=0,
        description="Rise of the share of wrong answers that is tolerated, as a part of that share: a fifth of one "
        "wrong answer in twenty is one more in a hundred; one in five hundred always is",
    )
    drift_tolerance_new_phase: float = Field(
        default=0.10,
        ge=0,
        lt=1,
        description="Loss of accuracy that is tolerated in a phase that is not learned yet, against the worst phase "
        "learned",
    )
    drift_accuracy_floor: float = Field(
        default=0.40, gt=0, lt=1, description="Accuracy under which an alert opens whatever is usual"
    )
    drift_latency_s: float = Field(
        default=10, gt=0, description="Mean time from frame to prediction over which the service is too slow, seconds"
    )
    drift_clock_skew_s: float = Field(
        default=30, gt=0, description="Jump of a camera's clock against ours that is a fault, seconds"
    )
    drift_statistics_s: float = Field(
        default=5, gt=0, description="Shortest time between two statistics of a camera, seconds"
    )
    drift_detectors: dict[str, str] = Field(
        default_factory=dict,
        description='Detectors that replace the engine, by signal, as JSON: {"loss": "adwin", "confidence": "kswin"}',
    )
    drift_detectors_run_length: float = Field(
        default=1_000_000, gt=1, description="Samples until a false alarm that each of those detectors is set for"
    )

    @field_validator("drift_detectors")
    @classmethod
    def _known(cls, names: dict[str, str]) -> dict[str, str]:
        for signal, name in names.items():
            try:
                streams_of(signal)
                make(name, 0.5)
            except KeyError as fault:
                raise ValueError(f"{fault} is not a signal that has a detector of its own") from fault
            except Misconfigured as fault:
                raise ValueError(str(fault)) from fault
        return names
