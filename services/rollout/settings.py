"""What an operator can turn on rollout."""

from typing import Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from catseye.settings import Settings


class RolloutSettings(Settings):
    """When a candidate is promoted, rejected or rolled back."""

    transaction_interval_ms: float = Field(
        default=200,
        ge=0,
        description="As the common setting: labels are few, and the broker has frames to carry, milliseconds",
    )
    rollout_alpha: float = Field(
        default=0.05,
        gt=0,
        lt=0.5,
        description="Chance that a candidate is promoted that is not better by more than the margin, however often "
        "it is evaluated",
    )
    rollout_reject_alpha: float = Field(
        default=0.05,
        gt=0,
        lt=0.5,
        description="Chance that one is rejected or rolled back as worse that is not; the same again for classes and "
        "for cameras",
    )
    rollout_margin: float = Field(
        default=0.0, ge=0, lt=1, description="How much better a candidate must be, as a difference of accuracies"
    )
    rollout_tolerance: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="How much worse a candidate may be before evidence of it counts, as a difference of accuracies",
    )
    rollout_stratum_tolerance: float = Field(
        default=0.05,
        ge=0,
        lt=1,
        description="How much worse a candidate may be on one class or one camera, as a difference of accuracies",
    )
    rollout_least_propensity: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Least propensity that labels come with: the evidence weighs them by it; 0 takes the least that "
        "has come so far",
    )
    rollout_labels_min: int = Field(default=50, ge=1, description="Pairs that a promotion needs at least")
    rollout_labels_max: int = Field(
        default=5_000, ge=1, description="Pairs after which a candidate without evidence for it is rejected"
    )
    rollout_shadow_max_h: float = Field(
        default=14 * 24, gt=0, description="Time after which the same happens, hours; labels take their time"
    )
    rollout_probation_labels: int = Field(
        default=1_000, ge=1, description="Pairs without evidence against a new champion after which it stays"
    )
    rollout_probation_max_h: float = Field(
        default=7 * 24, gt=0, description="Time after which it stays in any case, hours"
    )
    rollout_approval: bool = Field(
        default=False, description="Whether a person must approve each promotion, with catseye models approve"
    )
    rollout_canary_cameras: str = Field(
        default="",
        description="Cameras that get a better candidate first, with commas between; empty promotes for all at once",
    )
    rollout_canary_h: float = Field(
        default=1, ge=0, description="How long they have it before all others get it, hours"
    )

    @field_validator("rollout_labels_max")
    @classmethod
    def _at_least_the_minimum(cls, most: int, info: ValidationInfo) -> int:
        if most < info.data.get("rollout_labels_min", 1):
            raise ValueError("it must not be under CATSEYE_ROLLOUT_LABELS_MIN")
        return most

    @model_validator(mode="after")
    def _one_partition(self) -> Self:
        # All of a model meets in these topics: they have one partition, however many those of cameras have.
        self.partitions = 1
        return self
