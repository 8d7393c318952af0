"""What people are told of a rollback: an alert that is over as soon as it is there, since the version before serves.

Drift needs more labels of each camera than rollout needs of all: a version that is much worse is gone before drift sees
it.
"""

import math

from msgspec.structs import replace

from catseye.contract.identity import digest
from catseye.contract.records import Alert, ModelEvent
from services.rollout import NAME
from services.rollout.book import Comparison
from services.rollout.test import Pairs
from services.rollout.verdict import Look, Rules, capped, on_stratum


def rolled_back(
    rules: Rules, event: ModelEvent, comparison: Comparison, look: Look, stratum: Pairs | None
) -> list[Alert]:
    """States of the alert, in their order: opened and resolved.

    Args:
        rules: Of the operator.
        event: By which the old version is champion again.
        comparison: Of the two versions.
        look: At all pairs.
        stratum: Those of the class or camera on which the new version fell; None where it fell on all.
    """
    kind, name, pairs, evidence, strata = "", "", look.pairs, look.worse, 1
    if stratum is not None:
        kind, _, name = comparison.fallen.partition(" ")
        pairs, evidence = stratum, on_stratum(rules, stratum, rules.least(look.pairs))
        strata = comparison.classes if kind == "class" else comparison.cameras
    new, old = pairs.accuracies()
    alert_id = digest("alert", NAME, event.event_id)
    opened = Alert(
        alert_id=alert_id,
        incident_id=alert_id,
        revision=0,
        state="opened",
        kind="model_version",
        severity="critical",
        camera=name if kind == "camera" else None,
        cameras=[name] if kind == "camera" else [],
        label=name if kind == "class" else None,
        signal="accuracy",
        phase="",
        detector="paired_bets",
        estimate=new,
        reference=old,
        evidence=capped(evidence),
        threshold=math.exp(rules.rejects_at) * strata,
        model=event.model,
        version=comparison.new,
        since_ms=comparison.since_ms,
        opened_at_ms=event.at_ms,
        updated_at_ms=event.at_ms,
        explanation=f"Version {comparison.new} of {event.model} was worse than {comparison.old}, which is champion "
        f"again after {(event.at_ms - comparison.since_ms) / 1_000:.0f} s: {event.because.partition(': ')[2]}.",
        by=NAME,
    )
    return [opened, replace(opened, state="resolved", revision=1, resolved_at_ms=event.at_ms)]
