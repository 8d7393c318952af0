"""What an operator can turn on gateway."""

from pydantic import Field, SecretStr

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
    gateway_public_url: str = Field(
        default="", description="Address of the pages as browsers see it, where a proxy stands before; for OIDC"
    )
    oidc_issuer: str = Field(
        default="", description="Address of an OpenID provider at which people sign in; empty: by token alone"
    )
    oidc_client_id: str = Field(default="", description="What the provider calls this gateway")
    oidc_client_secret: SecretStr = Field(
        default=SecretStr(""), description="Its secret there; the same for each gateway, which signs sessions by it"
    )
    oidc_groups_claim: str = Field(default="groups", description="Claim that names the groups of who signs in")
    oidc_rights: str = Field(
        default="[]",
        description="What groups may do, JSON: a list of group, scopes and cameras; the first entry that fits counts",
    )
    oidc_session_s: int = Field(default=28_800, ge=60, description="How long a sign-in holds, seconds")
    gateway_predict_wait_s: float = Field(
        default=5, gt=0, le=60, description="Longest time that /v1/predict waits for the prediction, seconds"
    )
    gateway_labels_per_hour: int = Field(
        default=0, ge=0, description="Labels of people an hour that are wanted, all together; 0: as many as they give"
    )
