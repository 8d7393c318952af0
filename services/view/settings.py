"""What an operator can turn on view."""

import msgspec
from pydantic import Field, field_validator

from catseye.settings import Settings
from services.view.queue import Rates


class ViewSettings(Settings):
    """How often the read model is written."""

    view_interval_ms: float = Field(
        default=200, ge=0, description="Shortest time from one write of the read model to the next, milliseconds"
    )
    view_max_records: int = Field(default=5_000, ge=1, description="Most records of one write")
    view_queue_most: int = Field(
        default=20_000, ge=100, description="Most frames of one drawer that wait to be labelled; the newest"
    )
    view_queue_rates: str = Field(
        default="",
        description="How likely frames are drawn to be labelled, by pattern of camera names, the first that fits: "
        'JSON such as {"gate-*": {"audit": 0.02, "unsure": 0.1, "evidence": 0.2}}; empty: {"*": {"audit": 0.01, '
        '"unsure": 0.05, "evidence": 0.2}}',
    )

    @field_validator("view_queue_rates")
    @classmethod
    def _rates_are_shares(cls, text: str) -> str:
        for pattern, rates in rates_of(text).items():
            for name, share in msgspec.structs.asdict(rates).items():
                if not 0 <= share <= 1:
                    raise ValueError(f"{name} of {pattern!r} is a chance, 0 to 1, not {share}")
        return text


def rates_of(text: str) -> dict[str, Rates]:
    """The setting as it is used. Raises ValueError."""
    try:
        return msgspec.json.decode(text, type=dict[str, Rates]) if text else {}
    except msgspec.DecodeError as fault:
        raise ValueError(f'{fault}; an example is {{"gate-*": {{"audit": 0.02}}}}') from fault
