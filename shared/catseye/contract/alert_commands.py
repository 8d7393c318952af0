"""The command that a person means who looks at an alert. Pure."""

from catseye.contract.identity import digest
from catseye.contract.records import Alert, AlertAction, AlertCommand


def command_on(
    alert: Alert, action: AlertAction, by: str, now_ms: int, *, until_ms: int | None = None, reason: str = ""
) -> AlertCommand:
    """What a person who looks at *alert* wants done with it.

    Args:
        alert: Its newest record.
        action: What is to be done.
        by: Who asks.
        now_ms: Unix milliseconds.
        until_ms: Until when it is to be suppressed; None until it resolves.
        reason: Why; may be empty.
    """
    return AlertCommand(
        command_id=digest("alert command", alert.alert_id, action, by, now_ms, until_ms or "", reason),
        alert_id=alert.alert_id,
        action=action,
        until_ms=until_ms,
        revision=alert.revision,
        reason=reason,
        by=by,
        at_ms=now_ms,
    )
