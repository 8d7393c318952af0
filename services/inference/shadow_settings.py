"""What is other for the shadow; it has the settings of inference."""

from pydantic import Field

from services.inference.settings import InferenceSettings


class ShadowSettings(InferenceSettings):
    """Nobody waits for what the shadow predicts."""

    transaction_interval_ms: float = Field(
        default=200,
        ge=0,
        description="As the common setting: the broker pays for a transaction as for the champion's, milliseconds",
    )
