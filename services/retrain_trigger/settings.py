"""What an operator can turn on the retrain trigger."""

from pydantic import Field, ValidationInfo, field_validator

from catseye.contract.alert_kinds import KINDS
from catseye.settings import Settings
from services.retrain_trigger.policy import MAY_TRAIN, SEEN_WITHOUT_LABELS, TRAIN_BY_DEFAULT, Rules


class RetrainTriggerSettings(Settings):
    """When a training starts."""

    retrain_trigger_kinds: str = Field(
        default=",".join(TRAIN_BY_DEFAULT),
        description="Kinds of alert that may start a training, with commas between; empty leaves it to the schedule "
        "and to people",
    )
    retrain_trigger_confirm_s: float = Field(
        default=30, ge=0, description="How long an alert must have been open before it counts, seconds"
    )
    retrain_trigger_needs_impaired: bool = Field(
        default=True,
        description="Whether a change that is seen without labels, such as changed pictures, counts only once accuracy"
        " has fallen too",
    )
    retrain_trigger_cool_down_s: float = Field(
        default=3_600, ge=0, description="Shortest time from one accepted decision to the next, seconds"
    )
    retrain_trigger_retry_s: float = Field(
        default=600,
        ge=0,
        description="Shortest time from one accepted decision to the next where its candidate did worse than the "
        "champion, seconds; doubles with each such candidate in a row, up to the cool-down",
    )
    retrain_trigger_labels: int = Field(
        default=200,
        ge=1,
        description="Labels that a training needs, of the cameras concerned and of frames since the drift began and "
        "the champion was trained",
    )
    retrain_trigger_labels_of_class: int = Field(
        default=10, ge=1, description="Labels of one class with which the class counts as present among them"
    )
    retrain_trigger_classes: int = Field(
        default=2, ge=1, validate_default=True, description="Classes that must be present among them"
    )
    retrain_trigger_budget_per_week: int = Field(
        default=7, ge=0, description="Most trainings that are started in seven days without a person asking"
    )
    retrain_trigger_training_timeout_s: float = Field(
        default=6 * 3_600,
        gt=0,
        description="After so long without a candidate a training counts as lost, seconds",
    )
    retrain_trigger_comparison_timeout_s: float = Field(
        default=24 * 3_600,
        ge=0,
        description="How long a candidate that is still compared with the champion holds back further trainings, "
        "seconds; 0 does not wait for it",
    )
    retrain_trigger_schedule_h: float = Field(
        default=0, ge=0, description="Train anew so long after the last training whatever happens, hours; 0 never does"
    )
    retrain_trigger_look_every_s: float = Field(
        default=1, ge=0.05, le=60, description="Time from one evaluation of all that is known to the next, seconds"
    )

    @field_validator("retrain_trigger_kinds")
    @classmethod
    def _are_kinds(cls, kinds: str) -> str:
        for kind in listed(kinds):
            if kind not in MAY_TRAIN:
                why = "never starts a training" if kind in KINDS else "is no kind of alert"
                raise ValueError(f"{kind} {why}; these may: {', '.join(MAY_TRAIN)}")
        return kinds

    @field_validator("retrain_trigger_classes")
    @classmethod
    def _fit_in(cls, classes: int, others: ValidationInfo) -> int:
        labels, of_class = (others.data.get(f"retrain_trigger_{name}") for name in ("labels", "labels_of_class"))
        if labels is not None and of_class is not None and labels < classes * of_class:
            raise ValueError(
                f"{classes} classes of CATSEYE_RETRAIN_TRIGGER_LABELS_OF_CLASS {of_class} labels each are more than "
                f"CATSEYE_RETRAIN_TRIGGER_LABELS {labels}: raise that or lower the others"
            )
        return classes


def listed(kinds: str) -> list[str]:
    """The names in a list with commas."""
    return [kind.strip() for kind in kinds.split(",") if kind.strip()]


def rules_of(settings: RetrainTriggerSettings) -> Rules:
    """The settings as the policy has them, in milliseconds."""
    return Rules(
        kinds=frozenset(listed(settings.retrain_trigger_kinds)),
        confirm_ms=round(settings.retrain_trigger_confirm_s * 1_000),
        needs_impaired=SEEN_WITHOUT_LABELS if settings.retrain_trigger_needs_impaired else frozenset(),
        cool_down_ms=round(settings.retrain_trigger_cool_down_s * 1_000),
        retry_ms=round(settings.retrain_trigger_retry_s * 1_000),
        labels=settings.retrain_trigger_labels,
        labels_of_class=settings.retrain_trigger_labels_of_class,
        classes=settings.retrain_trigger_classes,
        budget=settings.retrain_trigger_budget_per_week,
        training_timeout_ms=round(settings.retrain_trigger_training_timeout_s * 1_000),
        comparison_timeout_ms=round(settings.retrain_trigger_comparison_timeout_s * 1_000),
        schedule_ms=round(settings.retrain_trigger_schedule_h * 3_600_000),
    )
