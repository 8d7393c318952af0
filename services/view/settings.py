"""What an operator can turn on view."""

from pydantic import Field

from catseye.settings import Settings


class ViewSettings(Settings):
    """Where the read model is, and how often it is written."""

    redis_url: str = Field(
        default="redis://127.0.0.1:6379/0",
        validation_alias="REDIS_URL",
        description="Redis server of the read model, redis://USER:PASSWORD@HOST:PORT/NUMBER, or rediss:// for TLS",
    )
    view_interval_ms: float = Field(
        default=200, ge=0, description="Shortest time from one write of the read model to the next, milliseconds"
    )
    view_max_records: int = Field(default=5_000, ge=1, description="Most records of one write")
