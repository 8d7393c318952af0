"""What an operator can turn on vehicles; how long labels may come is a common setting."""

from pydantic import Field

from catseye.settings import Settings


class VehiclesSettings(Settings):
    """How long pictures are waited for."""

    transaction_interval_ms: float = Field(
        default=200,
        ge=0,
        description="As the common setting: a vehicle has gone by before its pictures come, milliseconds",
    )
    vehicles_late_s: float = Field(
        default=5,
        gt=0,
        description="How long the next picture of a vehicle is waited for, by our clock, seconds. One that comes later "
        "is counted and changes nothing",
    )
