"""What an operator can turn on view."""

from pydantic import Field

from catseye.settings import Settings


class ViewSettings(Settings):
    """How often the read model is written."""

    view_interval_ms: float = Field(
        default=200, ge=0, description="Shortest time from one write of the read model to the next, milliseconds"
    )
    view_max_records: int = Field(default=5_000, ge=1, description="Most records of one write")
