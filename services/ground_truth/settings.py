"""What an operator can turn on ground truth; the horizon itself is a common setting."""

from pydantic import Field

from catseye.settings import Settings


class GroundTruthSettings(Settings):
    """How long labels are waited with."""

    transaction_interval_ms: float = Field(
        default=100,
        ge=0,
        description="As the common setting: labels come late anyway, and the broker has frames to carry, milliseconds",
    )
    ground_truth_early_s: float = Field(
        default=3_600,
        gt=0,
        description="How long a label waits for its prediction, seconds. It waits on while frames that were published "
        "until then are not predicted yet",
    )
