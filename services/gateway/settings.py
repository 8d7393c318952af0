"""What an operator can turn on gateway."""

from pydantic import Field

from catseye.contract.limits import FRAME_MAX_BYTES
from catseye.settings import Settings


class GatewaySettings(Settings):
    """Where it listens, who may come in, and how much one may ask for."""

    gateway_host: str = Field(
        default="127.0.0.1",
        description="Address that pages and HTTP listen on; any but a loopback address needs tokens (catseye tokens)",
    )
    gateway_port: int = Field(default=8080, ge=0, le=65535, description="Their port; 0 takes a free one")
    gateway_body_max_bytes: int = Field(
        default=FRAME_MAX_BYTES, ge=1_000, description="Longest body of a request, bytes"
    )
    gateway_requests_per_s: float = Field(
        default=200, gt=0, description="Requests a second that one token, or one address without, may send on average"
    )
    gateway_streams_most: int = Field(default=500, ge=1, description="Event streams that may be open at once")
    gateway_predict_wait_s: float = Field(
        default=5, gt=0, le=60, description="Longest time that /v1/predict waits for the prediction, seconds"
    )
    gateway_labels_per_hour: int = Field(
        default=0, ge=0, description="Labels of people an hour that are wanted, all together; 0: as many as they give"
    )
