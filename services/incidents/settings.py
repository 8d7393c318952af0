"""What an operator can turn on incidents."""

import re
from typing import Self

from pydantic import Field, field_validator, model_validator

from catseye.settings import Settings


class IncidentsSettings(Settings):
    """When an alert opens and ends, and which alerts are one incident."""

    transaction_interval_ms: float = Field(
        default=200,
        ge=0,
        description="As the common setting: alerts are for people, and the broker has frames to carry, milliseconds",
    )
    incidents_settle_s: float = Field(
        default=5,
        ge=0,
        description="How long a statistical alarm waits for others before its alert opens, so that it opens with the "
        "right kind, seconds of event time",
    )
    incidents_after_fault_s: float = Field(
        default=30,
        ge=0,
        description="The same for what is still raised when a camera's fault has ended, seconds of event time",
    )
    incidents_resolve_s: float = Field(
        default=10, ge=0, description="How long all must be well before an alert is resolved, seconds of event time"
    )
    incidents_reopen_s: float = Field(
        default=3_600,
        ge=0,
        description="What comes back so soon after its alert was resolved goes on as the same alert: a camera has at "
        "most one new alert of a cause in that time, seconds of event time",
    )
    incidents_update_s: float = Field(
        default=30,
        ge=0,
        description="Shortest time between two updates of an alert whose kind, severity and cameras stay, seconds",
    )
    incidents_group_pattern: str = Field(
        default="",
        description="Regular expression whose one group names a camera's group, for example ^([^-]+)-; empty takes "
        "all cameras for one group, and a camera that does not match has none",
    )
    incidents_group_window_s: float = Field(
        default=3_600,
        ge=0,
        description="Alerts of a kind that open in a group so soon after the first are one incident, seconds",
    )
    incidents_stalled_s: float = Field(
        default=15,
        ge=2,
        description="A service that lets records wait for longer is an incident of the whole fleet, seconds",
    )
    incidents_accuracy_floor: float = Field(
        default=0.40, gt=0, lt=1, description="Accuracy of the whole fleet under which an alert opens"
    )
    incidents_floor_labels: float = Field(
        default=100, ge=1, description="Recent labels that are needed before the fleet's accuracy is assessed"
    )

    @field_validator("incidents_group_pattern")
    @classmethod
    def _names_one_group(cls, pattern: str) -> str:
        try:
            groups = re.compile(pattern).groups
        except re.error as fault:
            raise ValueError(f"not a regular expression: {fault}") from fault
        if pattern and groups != 1:
            raise ValueError(f"it needs one group in round brackets, which names the group, and has {groups}")
        return pattern

    @model_validator(mode="after")
    def _one_partition(self) -> Self:
        # All of a fleet meets in its topics: they have one partition, however many those of cameras have.
        self.partitions = 1
        return self
