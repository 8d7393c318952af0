"""What an operator can turn on inference."""

from pydantic import Field

from catseye.models.net import MICRO_BATCH
from catseye.settings import Settings


class InferenceSettings(Settings):
    """Threads and batches, and when the shadow makes way."""

    inference_threads: int = Field(default=1, ge=1, description="Threads that one run of the net may use")
    inference_decode_threads: int = Field(default=2, ge=1, description="Threads that decode frames beside the net")
    inference_micro_batch: int = Field(default=MICRO_BATCH, ge=1, description="Most frames of one run of the net")
    inference_shadow_age_s: float = Field(
        default=2,
        gt=0,
        description="The shadow passes over frames that were accepted longer ago than this when it reads them, seconds",
    )
