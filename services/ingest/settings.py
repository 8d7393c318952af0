"""What an operator can turn on ingest."""

from pydantic import Field

from catseye.contract.limits import FRAME_AHEAD_MAX_MS
from catseye.settings import Settings


class IngestSettings(Settings):
    """Limits of what is accepted."""

    ingest_frame_max_bytes: int = Field(
        default=2 * 2**20, ge=1_000, le=4 * 2**20, description="Longest value on frames that is looked at, bytes"
    )
    ingest_label_max_bytes: int = Field(
        default=8_192, ge=100, description="Longest value on labels that is looked at, bytes"
    )
    ingest_jpeg_max_bytes: int = Field(default=2**20, ge=100, description="Longest JPEG of a frame, bytes")
    ingest_jpeg_max_pixels: int = Field(
        default=16_000_000, ge=1, description="Most pixels of a frame, width times height"
    )
    ingest_future_max_ms: int = Field(
        default=FRAME_AHEAD_MAX_MS,
        ge=0,
        description="How far a camera's clock may be ahead of the broker's, milliseconds",
    )
    ingest_age_max_ms: int = Field(
        default=7 * 24 * 3_600_000, ge=1, description="How old a frame may be when it comes in, milliseconds"
    )
