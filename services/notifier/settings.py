"""What an operator can turn on notifier, beside the routes."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from catseye.settings import Settings


class NotifierSettings(Settings):
    """Where the routes are, and how patient it is."""

    transaction_interval_ms: float = Field(
        default=200,
        ge=0,
        description="As the common setting: messages are for people, and the broker has frames to carry, milliseconds",
    )
    notifier_file: Path | None = Field(
        default=None, description="YAML file of the routes; left out, notify.yaml in the data folder"
    )
    notifier_pages: str = Field(
        default="", description="Address of the pages, for links, where the file names none; infra/stack sets its own"
    )
    notifier_settle_s: float = Field(
        default=0.5, ge=0, description="From an alert to its first message: others of its incident may come, seconds"
    )
    notifier_timeout_s: float = Field(default=10, gt=0, le=60, description="How long one server may take, seconds")
    notifier_retry_s: float = Field(
        default=2, gt=0, description="Before a message is tried again; doubled with each try, seconds"
    )
    notifier_retry_most_s: float = Field(default=60, gt=0, description="Longest time from one try to the next, seconds")
    notifier_give_up_h: float = Field(
        default=24, gt=0, description="A message that could not be delivered for so long is not tried again, hours"
    )
    notifier_failing_s: float = Field(
        default=60, ge=0, description="A route that fails for so long is an alert on another one, seconds"
    )
    notifier_links_h: float = Field(
        default=168, gt=0, description="How long the link in a message acknowledges its incident, hours"
    )

    @model_validator(mode="after")
    def _one_partition(self) -> Self:
        # All alerts meet in one partition, however many those of cameras have.
        self.partitions = 1
        return self
