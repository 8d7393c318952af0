"""The worker's stories, told to the broker in memory."""

from tests.simulation.worker_in_memory import world
from tests.simulation.worker_stories import *  # noqa: F403 - the tests themselves

__all__ = ["world"]
