"""Start incidents: settings, core, worker."""

import re

from catseye.contract.codec import Codec
from catseye.runtime.heartbeats import Problems
from catseye.runtime.service import run
from services.incidents import BATCHES, NAME, WRITES
from services.incidents.core import IncidentsCore
from services.incidents.rules import Rules
from services.incidents.settings import IncidentsSettings


def build(settings: IncidentsSettings, _codec: Codec, _logger: object, _problems: Problems) -> IncidentsCore:
    return IncidentsCore(rules_of(settings))


def rules_of(settings: IncidentsSettings) -> Rules:
    """The settings as the core has them, in milliseconds."""
    pattern = settings.incidents_group_pattern
    return Rules(
        settle_ms=round(settings.incidents_settle_s * 1_000),
        after_fault_ms=round(settings.incidents_after_fault_s * 1_000),
        resolve_ms=round(settings.incidents_resolve_s * 1_000),
        reopen_ms=round(settings.incidents_reopen_s * 1_000),
        update_ms=round(settings.incidents_update_s * 1_000),
        group_window_ms=round(settings.incidents_group_window_s * 1_000),
        group_pattern=re.compile(pattern) if pattern else None,
        stalled_ms=round(settings.incidents_stalled_s * 1_000),
        accuracy_floor=settings.incidents_accuracy_floor,
        floor_labels=settings.incidents_floor_labels,
    )


if __name__ == "__main__":
    run(NAME, BATCHES, WRITES, IncidentsSettings, build)
